"""What SIGTERM and Ctrl-C do to a process."""

import os
import signal
import threading


def leave_on_signals() -> None:
    """End the process at once with exit code 0 on SIGTERM or SIGINT, until other handlers take over.

    Nothing has begun: no record was read, and a Kafka client that waits for an answer can be left. Loads little, so
    that it is called before what takes a while to load.
    """
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: os._exit(0))


def stop_on_signals(stopped: threading.Event) -> None:
    """Set `stopped` on SIGTERM and Ctrl-C."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.set())
