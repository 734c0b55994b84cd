"""Notices that records of the raw topic wait behind a transaction that somebody left open there.

A reader of committed records stops at the last stable offset, where the oldest open transaction begins. So it seems to
have read all, though records wait. Each fetch says how far the log really goes (the high watermark).
"""

import time
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

from confluent_kafka import IsolationLevel
from confluent_kafka.admin import AdminClient

from processor.kafka.conf import Waits
from processor.kafka.offsets import LATEST, log_offsets
from processor.runtime.ports import Cause, LogObserver
from processor.upstream.words.counting import counted

_ASK_TIMEOUT_S: Final = 1.0


class _Seen(NamedTuple):
    offset: int
    since_s: float


class HiddenWatch:
    """Watches the partitions in which records wait."""

    def __init__(
        self, raw: str, observer: LogObserver, waits: Waits, monotonic_s: Callable[[], float] = time.monotonic
    ) -> None:
        self._monotonic_s = monotonic_s
        self._raw = raw
        self._observer = observer
        self._waits = waits
        self._seen: dict[int, _Seen] = {}
        self._told_s: dict[int, float] = {}  # partition -> when a transaction was last open there for so long

    def look(self, hidden: Mapping[int, tuple[int, int]], admin: AdminClient) -> None:
        """Tell the observer which partitions have waited for long. Long transactions in a row are one wait.

        Args:
            hidden: by partition, the last stable offset, where its reader stands, and how many offsets are after it.
            admin: asked for that offset again before an open transaction is blamed.

        Raises:
            KafkaException: no answer.
        """
        now_s = self._monotonic_s()
        for partition in self._seen.keys() - hidden.keys():
            del self._seen[partition]
        for partition, (offset, count) in hidden.items():
            seen = self._seen.get(partition)
            if seen is None or seen.offset != offset:
                self._seen[partition] = _Seen(offset, now_s)
            elif now_s - seen.since_s >= self._waits.hidden_s and self._is_end(partition, offset, admin):
                self._told_s[partition] = now_s
                self._tell(partition, offset, count)
        for partition, told_s in list(self._told_s.items()):
            if now_s - told_s >= self._waits.calm_s:
                del self._told_s[partition]
                self._observer.waiting(partition, Cause.OPEN_TRANSACTION, None)

    def _is_end(self, partition: int, offset: int, admin: AdminClient) -> bool:
        place = (self._raw, partition)
        return log_offsets(admin, [place], LATEST, IsolationLevel.READ_COMMITTED, _ASK_TIMEOUT_S)[place] == offset

    def _tell(self, partition: int, offset: int, count: int) -> None:
        self._observer.waiting(
            partition,
            Cause.OPEN_TRANSACTION,
            f"{counted(count, 'offset waits', 'offsets wait')} behind a producer's open transaction",
            position=f"{self._raw}[{partition}]@{offset}",
            remedy="let that producer commit or abort, or wait for its transaction.timeout.ms; kafka-transactions.sh "
            f"describe-producers --topic {self._raw} --partition {partition} names it",
        )
