"""Session events whose schema the registry does not tell: put aside in their order, so that the others are not held up.

The thread that feeds the view tries each schema once. While there is no answer another thread asks again.
"""

from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

from processor.errors import A3CPError, RegistryUnavailable
from processor.runtime.ports import TopicRecord

UNREAD_MAX: Final = 100_000  # the oldest go first; they are a session's events all the same, but no outcomes


class Unread:
    """One thread puts and takes back; another one asks."""

    def __init__(self, decode: Callable[[bytes], object]) -> None:
        """`decode` asks the registry, and raises RegistryUnavailable if it does not answer."""
        self._decode = decode
        self._records: deque[TopicRecord] = deque(maxlen=UNREAD_MAX)
        self._is_answered = False

    def __bool__(self) -> bool:
        return bool(self._records)

    def put(self, record: TopicRecord) -> None:
        """Put `record` aside."""
        self._records.append(record)

    def ask(self) -> None:
        """Ask for the schema of the first record, if there is one."""
        if not self._records:
            return
        try:
            self._decode(self._records[0].value or b"")
        except RegistryUnavailable:
            return
        except A3CPError:
            pass  # That is an answer too.
        self._is_answered = True

    def readable(self) -> Sequence[TopicRecord]:
        """Return what was put aside once there is an answer, and no longer keep it; else nothing."""
        if not self._is_answered:
            return ()
        self._is_answered = False
        records = list(self._records)
        self._records.clear()
        return records
