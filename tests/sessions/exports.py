"""What a processor wrote, or a share of it, as an exporter reads it."""

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from processor.bundles.bundle import write_bundle
from processor.codec import Codec
from processor.sessions.due import view_of
from processor.sessions.ports import SESSIONS, TAGGED, SessionFilter
from processor.sessions.projection.decoding import decode
from processor.sessions.projection.feed import OutputRecord
from processor.sessions.projection.materializer import Materializer
from processor.store import open_store
from processor.targets.target import Target
from tests.runtime.stage import CODEC, NAMES, Stage

TOPIC_OF = {NAMES.tagged: TAGGED, NAMES.sessions: SESSIONS}
Shares = tuple[float, float]
ALL: Shares = 0.0, 1.0


def outputs(stage: Stage, shares: Sequence[Shares]) -> Iterator[OutputRecord]:
    """Yield what the processor wrote; of either topic what lies between two shares, as what an exporter could read."""
    for (name, topic), (first, last) in zip(TOPIC_OF.items(), shares, strict=True):
        for partition, log in enumerate(stage.broker.topics[name]):
            for record in log[round(len(log) * first) : round(len(log) * last)]:
                yield OutputRecord(topic, partition, record.position, record.append_ms, record.raw_value)


def exported(stage: Stage, root: Path, shares: Sequence[Shares] = (ALL, ALL), codec: Codec = CODEC) -> None:
    """Write what was read into a store, and bundles from there."""
    store, records = open_store(f"sqlite:///{root}.db"), list(outputs(stage, shares))
    Materializer(store.writer, partial(decode, codec)).apply(
        records, {(record.topic, record.partition): (None, record.offset + 1) for record in records}
    )
    for session in store.reader.sessions(SessionFilter(), limit=10_000):
        write_bundle(Target(str(root)), view_of(store.reader, session), codec, now_ms=0)
    store.close()
