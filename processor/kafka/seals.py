"""Seals in the sessions topic: written as any producer would, read as any consumer would."""

from collections.abc import Mapping
from typing import Any, Final

from processor.bundles.seals import InLog, text_of
from processor.codec.codec import Codec
from processor.codec.events import SEALED, SOURCE, sealed_view, to_json
from processor.codec.isotime import parse_time
from processor.errors import RecordError
from processor.kafka.producer import RecordProducer
from processor.kafka.reading.reader import Reader
from processor.kafka.reading.records import place_in
from processor.runtime.partitioner import partition_of
from processor.runtime.ports import TopicRecord
from processor.sessions.forms.shapes import Seal

_KEY: Final = SOURCE.encode()


class KafkaSealLog:
    """See `SealLog`."""

    def __init__(self, conf: Mapping[str, Any], topic: str, codec: Codec) -> None:
        """`topic`: the sessions topic. Nothing is connected yet."""
        self._conf = conf
        self._topic = topic
        self._codec = codec

    def append(self, seal: Seal) -> str:
        """See `SealLog.append`."""
        places: list[tuple[int, int]] = []
        producer = RecordProducer(self._conf, self._topic)
        event = sealed_view(text_of(seal).decode(), parse_time(seal.made_at))
        producer.send(to_json(event), _KEY, on_place=lambda *place: places.append(place))
        producer.flush()
        ((partition, offset),) = places
        return f"{self._topic}[{partition}]@{offset}"

    def since(self, position: str) -> InLog:
        """See `SealLog.since`."""
        partition, offset = place_in(position)
        with Reader(self._conf, self._topic) as reader:
            if (
                not position.startswith(f"{self._topic}[") or partition >= reader.partitions
            ):  # Of the log before a move.
                partition, offset = partition_of(_KEY, reader.partitions), 0
            found = {}
            for record in reader.read_from(partition, offset):
                text = self._seal_in(record) if record.key == _KEY else None
                if text is not None:
                    found[record.position] = text
            return InLog(found, is_whole=reader.start(partition) <= offset)

    def _seal_in(self, record: TopicRecord) -> str | None:
        try:
            event = self._codec.decode_event(record.value or b"")
        except RecordError:  # `a3cp verify --topic` tells of it.
            return None
        return event.details if event.kind == SEALED else None
