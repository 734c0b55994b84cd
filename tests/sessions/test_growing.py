"""A store that is filled from topics that were given more partitions, in whatever order it comes to these."""

import contextlib
import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from itertools import zip_longest
from pathlib import Path
from typing import TypeAlias

import pytest

from processor.bundles.bundle import write_bundle
from processor.bundles.verify import verify
from processor.errors import StoreMoved, StoreUnavailable
from processor.sessions.due import view_of
from processor.sessions.model import SessionRow, Status
from processor.sessions.ports import EVERYTHING, SESSIONS, TAGGED, Source
from processor.sessions.projection.decoding import decode
from processor.sessions.projection.feed import OutputRecord
from processor.sessions.projection.materializer import Materializer
from processor.store import open_store
from processor.store.sql import SqlStore
from processor.targets.target import Target
from tests.runtime.stage import CODEC, NAMES, PARTITIONS, Stage, grown

Logs: TypeAlias = dict[Source, list[OutputRecord]]
Offsets: TypeAlias = dict[Source, tuple[int | None, int]]


def chunks(stage: Stage) -> Logs:
    return {
        (topic, number): [OutputRecord(topic, number, r.position, r.append_ms, r.raw_value) for r in log]
        for topic, name in ((TAGGED, NAMES.tagged), (SESSIONS, NAMES.sessions))
        for number, log in enumerate(stage.broker.topics[name])
    }


def in_any_order(logs: Logs, chance: random.Random) -> Iterator[list[OutputRecord]]:
    """Yield all records in batches, those of each partition in their order."""
    left = {source: records for source, records in logs.items() if records}
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


def fill_with(store: SqlStore, logs: Logs, seed: int) -> Iterator[None]:
    """Write what is in `logs`, batch by batch, as one of several exporters. What fails is repeated."""
    materializer, chance = Materializer(store.writer, partial(decode, CODEC)), random.Random(seed)
    for batch, offsets in steps(in_any_order(logs, chance)):
        while True:
            with contextlib.suppress(StoreMoved, StoreUnavailable):
                materializer.apply(batch, offsets)
                break
        yield


def steps(batches: Iterator[list[OutputRecord]]) -> Iterator[tuple[list[OutputRecord], Offsets]]:
    """Yield batches, each with the offsets before it and behind it."""
    done: dict[Source, int] = {}
    for batch in batches:
        ends = {(record.topic, record.partition): record.offset + 1 for record in batch}
        yield batch, {source: (done.get(source), end) for source, end in ends.items()}
        done |= ends


def export(batches: Iterator[list[OutputRecord]], store: SqlStore, chance: random.Random) -> dict[str, SessionRow]:
    materializer = Materializer(store.writer, partial(decode, CODEC))
    for batch, offsets in steps(batches):
        materializer.apply(batch, offsets)
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
        found = export(in_any_order(chunks(stage), chance), mixed, chance)
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


@pytest.mark.parametrize("at_once", [False, True], ids=["in turns", "at once"])
def test_two_exporters_fill_a_new_store(store: SqlStore, tmp_path: Path, *, at_once: bool) -> None:
    """One reads the old partitions and one the new ones: each session is whole, though both write it."""
    stage = grown(0)
    with closing(open_store(f"sqlite:///{tmp_path / 'calm.db'}")) as calm:
        expected = export(by_number(stage), calm, random.Random(0))
    logs = chunks(stage)
    halves = (
        {source: logs[source] for source in logs if (source[1] < PARTITIONS) is is_old} for is_old in (True, False)
    )
    filling = [fill_with(store, half, seed) for seed, half in enumerate(halves)]
    if at_once:
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(list, filling))
    else:
        list(zip_longest(*filling))
    assert {row.session_id: row for row in store.reader.sessions(EVERYTHING, limit=10_000)} == expected
