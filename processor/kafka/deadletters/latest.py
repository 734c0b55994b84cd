"""The latest dead letters, kept current: of a topic that was read once, only what is new is read again."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from confluent_kafka import Consumer
from confluent_kafka.admin import AdminClient

from processor.codec.headers import DLQ_RETRIED
from processor.kafka.conf import reader_conf
from processor.kafka.deadletters.letter import DeadLetter, letter_of
from processor.kafka.failures import reaching
from processor.kafka.offsets import EARLIEST, LATEST, asked_offsets
from processor.kafka.reading.records import TopicPlace, read_spans
from processor.runtime.ports import TopicRecord

LETTERS_MAX: Final = 2_000
_DOING: Final = "reading the dead letters"


class LatestLetters:
    """The latest dead letters of a topic, without their content; used by one thread at a time."""

    def __init__(self) -> None:
        self._letters: dict[tuple[int, int], DeadLetter] = {}  # by partition and offset
        self._next: dict[TopicPlace, int] = {}

    def read(self, conf: Mapping[str, Any], topic: str, partitions: int) -> Sequence[DeadLetter]:
        """Read what is new, and return the letters that the topic still holds, at most `LETTERS_MAX`.

        Raises:
            A3CPError: the topic cannot be read.
        """
        places = [(topic, number) for number in range(partitions)]
        admin = AdminClient(dict(conf))
        starts, ends = (asked_offsets(admin, places, spec, _DOING, conf) for spec in (EARLIEST, LATEST))
        if any(ends[place] < offset for place, offset in self._next.items()):  # The topic was made anew.
            self._next, self._letters = {}, {}
        each_max = -(-LETTERS_MAX // partitions)
        spans = {
            place: (max(starts[place], self._next.get(place, 0), ends[place] - each_max), ends[place])
            for place in places
        }
        if any(first < end for first, end in spans.values()):
            with reaching(_DOING, conf):
                consumer = Consumer(reader_conf(conf, if_gone="earliest"))
                try:
                    for record in read_spans(consumer, spans):
                        self.take(record)
                finally:
                    consumer.close()
        self._next = ends
        firsts = {number: max(starts[topic, number], ends[topic, number] - each_max) for _, number in places}
        self._letters = {place: letter for place, letter in self._letters.items() if place[1] >= firsts[place[0]]}
        return self.letters()

    def take(self, record: TopicRecord) -> None:
        """Take the topic's next record."""
        letter = letter_of(record)
        if letter is not None:
            self._letters[record.partition, record.offset] = letter
            return
        marked = next(text or b"" for name, text in record.headers if name == DLQ_RETRIED).decode(errors="replace")
        for place, known in self._letters.items():
            if known.position == marked:
                self._letters[place] = known._replace(retried_ms=record.timestamp_ms)
                return

    def letters(self) -> Sequence[DeadLetter]:
        """Return those that were taken."""
        return list(self._letters.values())
