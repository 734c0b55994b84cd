"""A schema that the registry does not give: one partition waits for it, all others are stored, and order is kept."""

import itertools
import pickle
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from processor.errors import RegistryUnavailable
from processor.runtime.ports import Cause
from processor.sessions import waiting
from processor.sessions.decoding import RecordWaits, decode
from processor.sessions.following import Following, Progress
from processor.sessions.materializer import Materializer
from processor.sessions.ports import SESSIONS, TAGGED, OutputRecord, Standing
from processor.store import open_store
from processor.store.sql import SqlStore
from tests.sessions.outputs import CODEC, MemoryFeed, message, processed

FINE, FAILS, FAILS_TOO = 1, 2, 3
HEADER_BYTES = 5


def framed(record: OutputRecord, schema_id: int) -> OutputRecord:
    return record._replace(value=b"\0" + schema_id.to_bytes(4, "big") + (record.value or b""))


class Registered:
    """A codec whose values have a schema id each before them; the registry fails on those in `fails`."""

    def __init__(self, *fails: int) -> None:
        self.fails = set(fails)
        self.asked: list[int] = []

    def _content(self, value: bytes) -> bytes:
        schema_id = int.from_bytes(value[1:HEADER_BYTES], "big")
        if schema_id in self.fails:
            self.asked.append(schema_id)
            raise RegistryUnavailable(f"no answer for {schema_id}", remedy="look at the registry")
        return value[HEADER_BYTES:]

    def untag(self, value: bytes) -> Any:
        return CODEC.untag(self._content(value))

    def decode_event(self, value: bytes) -> Any:
        return CODEC.decode_event(self._content(value))


def with_ids(records: list[OutputRecord], ids: dict[tuple[str, int, int], int]) -> list[OutputRecord]:
    """Return the records, each with a schema id: the one that `ids` names at its topic, partition and number there."""
    numbers: dict[tuple[str, int], Any] = {}
    made = []
    for record in records:
        number = next(numbers.setdefault(record[:2], itertools.count()))
        made.append(framed(record, ids.get((*record[:2], number), FINE)))
    return made


PLAIN = processed([message(f"user-{n % 5}", n * 1000, source="ui", transcript=f"word{n}") for n in range(60)])
RECORDS = with_ids(
    PLAIN, {(TAGGED, 0, 4): FAILS, (TAGGED, 1, 9): FAILS_TOO, (TAGGED, 0, 8): FAILS_TOO, (SESSIONS, 1, 1): FAILS}
)
FIRST = {  # where each partition waits
    (TAGGED, 0): next(r.offset for r in RECORDS if r[:2] == (TAGGED, 0) and r.value[4] == FAILS),  # type: ignore[index]
    (TAGGED, 1): next(r.offset for r in RECORDS if r[:2] == (TAGGED, 1) and r.value[4] == FAILS_TOO),  # type: ignore[index]
    (SESSIONS, 1): next(r.offset for r in RECORDS if r[:2] == (SESSIONS, 1) and r.value[4] == FAILS),  # type: ignore[index]
}


def following(store: SqlStore, codec: Registered, seen: list[Progress], **more: Any) -> Following:
    chunk = more.pop("chunk", 7)
    options: dict[str, Any] = {"stopped": lambda: False, "give_up_s": -1.0, "on_trouble": pytest.fail, **more}
    return Following(
        lambda: MemoryFeed(RECORDS, store.offsets(), chunk=chunk),
        store,
        Materializer(store, partial(decode, codec)),  # type: ignore[arg-type]
        wait=lambda _: None,
        on_progress=seen.append,
        **options,
    )


def held_by(store: SqlStore) -> Any:
    sessions = store.sessions_beginning("", limit=100)
    return [(s, list(store.messages(s.session_id)), list(store.events(s.session_id))) for s in sessions]


@pytest.fixture
def calm(tmp_path: Path) -> Any:
    """What a run leaves to which the registry gives all."""
    store = open_store(f"sqlite:///{tmp_path / 'calm.db'}")
    following(store, Registered(), []).run(to_end=True)
    held = held_by(store)
    store.close()
    return held


@pytest.mark.parametrize("chunk", [1, 7, 1000])
def test_all_else_is_stored(store: SqlStore, calm: Any, chunk: int) -> None:
    """Up to the end: each partition is stored up to its record that waits, and all others whole; then all is read."""
    seen: list[Progress] = []
    done = following(store, Registered(FAILS, FAILS_TOO), seen, chunk=chunk).run(to_end=True)
    assert {place[:2]: place for place in done.standing} == {
        (topic, partition): Standing(
            topic, partition, offset, Cause.REGISTRY,
            f"no answer for {FAILS_TOO if (topic, partition) == (TAGGED, 1) else FAILS}", "look at the registry",
        )
        for (topic, partition), offset in FIRST.items()
    }  # fmt: skip
    ends = MemoryFeed(RECORDS, {}).ends()
    assert store.offsets() == {**ends, **FIRST}
    assert done.left == sum(ends[source] - offset for source, offset in FIRST.items())
    assert done.messages + done.events == sum(r.offset < FIRST.get(r[:2], 10**9) for r in RECORDS)
    last = following(store, Registered(), seen, chunk=chunk).run(to_end=True)
    assert (last.left, last.standing) == (0, ())
    assert held_by(store) == calm


def until(seen: list[Progress], *conditions: Callable[[Progress], bool], then: Callable[[int], None]) -> Any:
    """Return what stops once each of `conditions` has been met, one after the other; `then` is told of each."""
    met = iter(range(len(conditions)))
    number = next(met)

    def stopped() -> bool:
        nonlocal number
        if seen and conditions[number](seen[-1]):
            then(number)
            number = next(met, -1)
        return number < 0

    return stopped


def test_each_goes_on_by_itself(store: SqlStore, calm: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """What follows asks again; an answer lets the partitions go on that wait for it, and no others."""
    monkeypatch.setattr(waiting, "AGAIN_MIN_S", 0.0)
    monkeypatch.setattr(waiting, "AGAIN_MAX_S", 0.0)
    seen: list[Progress] = []
    codec = Registered(FAILS, FAILS_TOO)
    mend = [FAILS, FAILS_TOO, FINE]
    stopped = until(
        seen,
        lambda now: len(now.standing) == 3 and len(codec.asked) > 20,
        lambda now: {place.why[-1] for place in now.standing} == {str(FAILS_TOO)} and len(now.standing) == 2,
        lambda now: not now.standing and held_by(store) == calm,
        then=lambda number: codec.fails.discard(mend[number]),
    )
    following(store, codec, seen, stopped=stopped, give_up_s=None).run(to_end=False)
    assert held_by(store) == calm


def test_a_schema_is_asked_for_once_at_a_time(store: SqlStore) -> None:
    """However many partitions and records wait for it."""
    codec = Registered(FAILS, FAILS_TOO)
    following(store, codec, []).run(to_end=True)
    assert sorted(codec.asked) == [FAILS, FAILS, FAILS_TOO]  # Of each topic, since it is another question there.


def test_a_process_can_hand_on_what_waits() -> None:
    """Another process decodes, and this one hears of which record."""
    error = RecordWaits("no answer", (TAGGED, 1, 5), remedy="look")
    again = pickle.loads(pickle.dumps(error))
    assert (again.what, again.place, again.remedy, str(again)) == (error.what, error.place, "look", "no answer; look")
