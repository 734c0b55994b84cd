"""A store that is filled from topics that were given more partitions, in whatever order it comes to these."""

import random
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest

from processor.bundles.bundle import write_bundle
from processor.bundles.verify import verify
from processor.sessions.decoding import decode
from processor.sessions.due import view_of
from processor.sessions.feed import OutputRecord
from processor.sessions.materializer import Materializer
from processor.sessions.model import SessionRow, Status
from processor.sessions.ports import EVERYTHING, SESSIONS, TAGGED, Source
from processor.store import open_store
from processor.store.sql import SqlStore
from processor.targets.target import Target
from tests.runtime.stage import CODEC, NAMES, PARTITIONS, Stage, grown


def chunks(stage: Stage) -> dict[Source, list[OutputRecord]]:
    return {
        (topic, number): [OutputRecord(topic, number, r.position, r.append_ms, r.raw_value) for r in log]
        for topic, name in ((TAGGED, NAMES.tagged), (SESSIONS, NAMES.sessions))
        for number, log in enumerate(stage.broker.topics[name])
    }


def in_any_order(stage: Stage, chance: random.Random) -> Iterator[list[OutputRecord]]:
    """Yield all records in batches, those of each partition in their order."""
    left = {source: records for source, records in chunks(stage).items() if records}
    while left:
        batch: list[OutputRecord] = []
        for source in chance.sample(sorted(left), min(len(left), 3)):
            count = chance.randrange(1, 30)
            batch += left[source][:count]
            left[source] = left[source][count:]
        yield batch
        left = {source: records for source, records in left.items() if records}


def by_number(stage: Stage) -> Iterator[list[OutputRecord]]:
    """Yield all records, the old partitions first."""
    yield from (records for _, records in sorted(chunks(stage).items(), key=lambda item: item[0][1]) if records)


def export(batches: Iterator[list[OutputRecord]], store: SqlStore, chance: random.Random) -> dict[str, SessionRow]:
    materializer = Materializer(store.writer, partial(decode, CODEC))
    done: dict[Source, int] = {}
    for batch in batches:
        ends = {(record.topic, record.partition): record.offset + 1 for record in batch}
        materializer.apply(batch, {source: (done.get(source), end) for source, end in ends.items()})
        done |= ends
        if chance.random() < 0.3:
            materializer.forget()  # As when the exporter starts anew.
    return {row.session_id: row for row in store.reader.sessions(EVERYTHING, limit=10_000)}


@pytest.mark.parametrize("seed", range(4))
def test_a_new_store_is_the_same_in_any_order(tmp_path: Path, seed: int) -> None:
    """The new partition of a user may be read before the old one: sums, digests and ends are the same."""
    stage, chance = grown(seed), random.Random(seed)
    with (
        closing(open_store(f"sqlite:///{tmp_path / 'calm.db'}")) as calm,
        closing(open_store(f"sqlite:///{tmp_path / 'mixed.db'}")) as mixed,
    ):
        expected = export(by_number(stage), calm, chance)
        found = export(in_any_order(stage, chance), mixed, chance)
        assert found == expected
        moved = [row for row in found.values() if len({m.partition for m in mixed.reader.messages(row.session_id)}) > 1]
        assert len(moved) > 2
        target = Target(str(tmp_path / "bundles"))
        for row in moved:
            assert row.partition >= PARTITIONS
            assert row.status is not Status.PARTIAL
            assert [each.seq for each in mixed.reader.messages(row.session_id)] == [*range(1, row.held_count + 1)]
            write_bundle(target, view_of(mixed.reader, row), CODEC, now_ms=0)
        reports = list(verify(str(tmp_path / "bundles"), CODEC))
        assert len(reports) == len(moved)
        assert all(report.is_sound for report in reports)
