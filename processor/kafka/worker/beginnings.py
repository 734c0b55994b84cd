"""Where a partition is read from. Offsets that are skipped are reported, never skipped silently."""

from collections.abc import Mapping, Sequence
from typing import Final

from confluent_kafka import IsolationLevel, TopicPartition
from confluent_kafka.admin import AdminClient

from processor.kafka.committed.marks import Marks, is_ours, marks_in
from processor.kafka.offsets import EARLIEST, LATEST, log_offsets
from processor.runtime.ports import Alarm, Cause, LogObserver

_TIMEOUT_S: Final = 2.0
_SEE: Final = "docs/operations.md, 'Lost input and moved offsets'"


class Beginnings:
    """Finds where to begin, reports what is wrong there, and knows what is to be remembered."""

    def __init__(self, raw: str, observer: LogObserver) -> None:
        self._raw = raw
        self._observer = observer
        self._marks: dict[int, Marks] = {}

    def marks(self, partition: int) -> Marks:
        """Return what is to be remembered of a partition."""
        return self._marks.get(partition, Marks())

    def find(self, admin: AdminClient, committed: Sequence[TopicPartition]) -> dict[int, int]:
        """Return where to begin to read. A partition that has to stand still is reported and left out.

        Raises:
            KafkaException: no answer.
        """
        for place in committed:
            self._remember(place)
        return self.at(admin, {place.partition: place.offset for place in committed})

    def at(self, admin: AdminClient, wanted: Mapping[int, int]) -> dict[int, int]:
        """Return where to begin, given the wanted offset by partition; below 0 if nothing was read yet."""
        places = [(self._raw, partition) for partition in wanted]
        starts = log_offsets(admin, places, EARLIEST, IsolationLevel.READ_UNCOMMITTED, _TIMEOUT_S)
        ends = log_offsets(admin, places, LATEST, IsolationLevel.READ_UNCOMMITTED, _TIMEOUT_S)
        found = {}
        for partition, offset in wanted.items():
            start, end = starts[self._raw, partition], ends[self._raw, partition]
            is_beyond = offset > end
            self._observer.waiting(
                partition,
                Cause.OFFSETS,
                f"the group's offset is {offset}, and the log ends at {end}" if is_beyond else None,
                remedy=f"stop the workers and set the group's offset; {_SEE}",
            )
            if not is_beyond:
                self._compare(partition, offset, start)
                found[partition] = max(offset, start)
        return found

    def _remember(self, place: TopicPartition) -> None:
        partition, text = place.partition, place.metadata
        self._marks.pop(partition, None)
        if place.offset < 0:
            return
        if not is_ours(text):
            self._alarm(
                partition, Alarm.OFFSETS_SET,
                f"the group's offset, {place.offset}, was set by somebody else: what it skips is never tagged",
            )  # fmt: skip
        marks = self._marks[partition] = marks_in(text)
        if marks.lost is not None:
            self._alarm(partition, Alarm.LOST_INPUT, lost_words(*marks.lost))

    def _compare(self, partition: int, offset: int, start: int) -> None:
        if offset < 0 < start:
            self._marks[partition] = self.marks(partition)._replace(late=start)
            self._alarm(partition, Alarm.LATE_BEGINNING, f"it begins at {start}; what was before was never read")
        elif 0 <= offset < start:
            self._marks[partition] = self.marks(partition)._replace(lost=(offset, start))
            self._alarm(partition, Alarm.LOST_INPUT, lost_words(offset, start), lost=start - offset)

    def _alarm(self, partition: int, alarm: Alarm, why: str, *, lost: int = 0) -> None:
        remedy = f"see what is missing with a3cp audit; {_SEE}"
        self._observer.alarm(partition, alarm, why, remedy=remedy, lost=lost)


def lost_words(first: int, after: int) -> str:
    """Return in words that the offsets from `first` to the one before `after` are lost."""
    return f"offsets {first} to {after - 1} were removed before they were read: by retention, or by hand"
