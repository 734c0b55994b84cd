"""A whole deployment in memory, for tests of what uses sessions; needs the `serve` extra.

`Sessions("memory://")` is the short way. With `MemoryDeployment` a test also takes the processor or Kafka away, and
lets time pass. `InterviewDouble` stands for all that an interview works with.
"""

from processor.client.interview.doubles import InterviewDouble
from processor.in_memory import MemoryDeployment
from processor.testing import ManualClock, RunningClock

__all__ = ["InterviewDouble", "ManualClock", "MemoryDeployment", "RunningClock"]
