"""What may keep the system from its work, one finding a check."""

from processor.doctor.examining import examine
from processor.doctor.finding import Finding, State

__all__ = ["Finding", "State", "examine"]
