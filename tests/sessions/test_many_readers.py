"""A store's reader is used by many threads at once while an exporter writes: each sees what was committed, whole."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Event

from processor.sessions.ports import SESSIONS, TAGGED, SessionFilter
from processor.sessions.projection.feed import OutputRecord
from processor.sessions.projection.materializer import Materializer
from processor.store.sql import SqlStore
from tests.sessions.outputs import DECODE, message, processed

THREADS = 24
USERS = 8
RECORDS = processed([message(f"user-{n % USERS}", n * 1000, source="ui", transcript=f"word{n}") for n in range(400)])
EVERYTHING = SessionFilter()


def batches(size: int) -> Iterator[list[OutputRecord]]:
    return (RECORDS[start : start + size] for start in range(0, len(RECORDS), size))


def look(store: SqlStore) -> int:
    """Read each session with all that is in it; return how many messages it was."""
    reader, seen = store.reader, 0
    for row in reader.sessions(EVERYTHING, limit=100):
        messages = list(reader.messages(row.session_id, count_max=row.held_count))
        assert [one.seq for one in messages] == list(range(1, row.held_count + 1))
        assert {one.user_id for one in messages} == {row.user_id}
        assert len(list(reader.events(row.session_id, count_max=row.event_count))) == row.event_count
        seen += row.held_count
    totals = reader.totals()
    assert totals.messages >= seen
    assert len(reader.search("word0", limit=5)) <= 1
    assert set(reader.users()) <= {f"user-{n}" for n in range(USERS)}
    return seen


def test_many_threads_read_while_one_writes(store: SqlStore) -> None:
    """On SQLite and on PostgreSQL: nothing is torn, none sees less than before, all see everything in the end."""
    done = Event()

    def watch(_: int) -> list[int]:
        counts = [look(store)]
        while not done.is_set():
            counts.append(look(store))
        return [*counts, look(store)]

    with ThreadPoolExecutor(THREADS) as pool:
        watching = pool.map(watch, range(THREADS))
        try:
            materializer, offsets = Materializer(store.writer, DECODE), dict[tuple[str, int], int]()
            for batch in batches(40):
                ends = {(one.topic, one.partition): one.offset + 1 for one in batch}
                materializer.apply(batch, {source: (offsets.get(source), end) for source, end in ends.items()})
                offsets |= ends
        finally:
            done.set()
        for counts in watching:
            assert counts == sorted(counts)
            assert counts[-1] == sum(record.topic == TAGGED for record in RECORDS)
    assert sum(record.topic == SESSIONS for record in RECORDS) == store.reader.totals().events
