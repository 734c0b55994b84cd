"""What was set aside is read again once it can be: the store is then the one of a run that could read all."""

import random
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from processor.errors import SchemaUnknown
from processor.sessions.model import UnreadableRow
from processor.sessions.ports import SESSIONS, TAGGED, Place, SessionFilter
from processor.sessions.projection.decoding import Part, decode_part, parts_of
from processor.sessions.projection.feed import OutputRecord
from processor.sessions.projection.progress import ExportProgress
from processor.store import open_store
from processor.store.sql import SqlStore
from tests.sessions.exporting import Hasty, Seen, export, exporting
from tests.sessions.outputs import CODEC, message, processed
from tests.sessions.registered import FAILS, FAILS_TOO, Registered
from tests.sessions.registered import RECORDS as FRAMED

LACKING = SchemaUnknown("no such schema is known")
VALUES = [
    message(f"user-{n % 5}", n * 1000, source="ui", transcript=f"word{n}", consent_given=n % 3 > 0) for n in range(60)
]
RECORDS = processed([*VALUES, message("user-1", 70_000, command="pause"), message("user-1", 75_000, command="resume")])


class Reader:
    """A decoder that has not the schemas of the records at `lacking`."""

    def __init__(self, lacking: Iterable[Place] = ()) -> None:
        self.lacking = set(lacking)

    def __call__(self, records: Sequence[OutputRecord]) -> Iterator[Part]:
        for some in parts_of(records):
            part = decode_part(CODEC, [record for record in some if record[:3] not in self.lacking])
            for record in some:
                if record[:3] in self.lacking:
                    digest = sha256(record.value or b"").digest()
                    row = UnreadableRow(record.topic, str(LACKING), digest, len(record.value or b""), *record[1:3])
                    part.unreadable.append(row)
            yield part


def run(store: SqlStore, reader: Reader, records: list[OutputRecord] = RECORDS) -> ExportProgress:
    return export(store, records, decode=reader, chunk=11)


def held_by(store: SqlStore) -> list[Any]:
    sessions = sorted(store.reader.sessions(SessionFilter(), limit=100))
    held = [(s, list(store.reader.messages(s.session_id)), list(store.reader.events(s.session_id))) for s in sessions]
    return [held, sorted(store.reader.search("word7", limit=9)), store.reader.totals()]


@pytest.mark.parametrize("topic", [TAGGED, SESSIONS, None], ids=["messages", "events", "all"])
def test_it_comes_into_its_session(store: SqlStore, tmp_path: Path, topic: str | None) -> None:
    """In whatever order records come, sums, digests, states and texts are those of a run that reads them at once."""
    places = [record[:3] for record in RECORDS if topic in (None, record.topic)]
    some = places if topic is None else random.Random(1).sample(places, len(places) // 2)
    first = run(store, Reader(some))
    assert (first.unreadable, first.again, first.waiting) == (len(some), 0, 0)
    assert [row.place for row in first.aside] == [r[:3] for r in RECORDS if r[:3] in set(some)][:10]
    half = set(some[::2])
    second = run(store, Reader(half))
    assert (second.unreadable, second.again, second.waiting) == (0, len(some) - len(half), len(half))
    assert [row.place for row in store.reader.unreadable()] == sorted(half)
    assert run(store, Reader()).again == len(half)
    assert run(store, Reader()) == ExportProgress(left=0)
    with closing(open_store(f"sqlite:///{tmp_path / 'calm.db'}")) as calm:
        run(calm, Reader())
        assert held_by(store) == held_by(calm)
    assert {session.status.value for session in store.reader.sessions(SessionFilter(), limit=9)} == {"complete"}


def test_what_is_gone_or_another_stays_set_aside(store: SqlStore) -> None:
    """A record that the topic has no more, or that is not the one that was set aside, is not read; the rest is."""
    places = [record[:3] for record in RECORDS if record.topic == TAGGED][:3]
    run(store, Reader(places))
    gone, other, there = places
    left = [record._replace(value=b"{}") if record[:3] == other else record for record in RECORDS if record[:3] != gone]
    done = run(store, Reader(), left)
    assert (done.again, done.waiting) == (1, 0)
    assert {row.place for row in store.reader.unreadable()} == {gone, other}
    assert there not in {row.place for row in store.reader.unreadable()}


def test_a_registry_that_fails_for_one_schema_holds_up_no_other(store: SqlStore) -> None:
    """What is set aside for another schema comes into its session, and what has no answer is counted as waiting."""
    codec = Registered()
    codec.unknown = {FAILS, FAILS_TOO}
    first = export(store, FRAMED, decode=codec.decode)
    assert (first.left, first.unreadable) == (0, 4)
    codec.unknown, codec.fails = set(), {FAILS}
    second = export(store, FRAMED, decode=codec.decode)
    assert (second.left, second.again, second.waiting, second.standing) == (0, 2, 2, ())
    codec.fails = set()
    assert export(store, FRAMED, decode=codec.decode) == ExportProgress(left=0, again=2)
    assert {session.status.value for session in store.reader.sessions(SessionFilter(), limit=9)} == {"complete"}


def test_one_that_follows_reads_again_by_itself(store: SqlStore) -> None:
    """Without a restart, some time after the schema is there."""
    places = [record[:3] for record in RECORDS if record.topic == TAGGED][:3]
    reader = Reader(places)

    class Mending(Seen):
        def followed(self, progress: ExportProgress) -> None:
            super().followed(progress)
            if progress.left == 0:
                reader.lacking.clear()

    report = Mending()

    exporting(
        store,
        RECORDS,
        decode=reader,
        report=report,
        stopped=lambda: bool(report.progress) and report.progress[-1].again == 3,
        clock=Hasty(),
    ).run(to_end=False)
    assert list(store.reader.unreadable()) == []
    assert {session.status.value for session in store.reader.sessions(SessionFilter(), limit=9)} == {"complete"}
