"""A session that cannot be read keeps no other from being written."""

from pathlib import Path

import pyarrow.dataset as ds
import pytest

from processor.bundles.bundle import BundleOutcome
from processor.bundles.verify import verify
from processor.bundles.writing import BundleWriter
from processor.errors import DecodeError
from processor.sessions.aside import NEWS_MAX, SetAside
from processor.sessions.due import hand_on
from processor.sessions.ports import SessionFilter
from processor.store.sql import SqlStore
from processor.targets.target import Target
from processor.training.writer import TrainingWriter
from tests.sessions.damaged import BAD, RECORDS, VALUES, replace_a_value
from tests.sessions.exporting import export
from tests.sessions.outputs import CODEC, message, processed

NOW_MS = 1_763_740_800_000
LATER = processed([*VALUES, *(message(BAD, at_ms, source="ui") for at_ms in (21_000, 22_000))], quiet=False)


def test_all_others_are_written(store: SqlStore, tmp_path: Path) -> None:
    """It is told with its message and what to do, and the next run writes it once it can be."""
    export(store, RECORDS)
    before = replace_a_value(store)
    root = str(tmp_path)

    def write() -> BundleWriter:
        return BundleWriter(store.reader, Target(root), CODEC, now_ms=lambda: NOW_MS)

    def hand_to(writer: BundleWriter) -> int:
        return hand_on(store.ledger, writer, SessionFilter())

    (session,) = store.reader.sessions(SessionFilter(owner=BAD), limit=2)
    writer = write()
    assert hand_to(writer) == 4
    assert writer.outcomes == {BundleOutcome.WRITTEN: 4, BundleOutcome.SET_ASIDE: 1}
    assert writer.aside.waits(session.session_id, session)
    ((name, why),) = writer.aside.news()
    assert name == session.session_id
    assert str(why).startswith(f"message 1 of {name}, tagged[{session.partition}]@")
    assert "which no tagged schema has; use the release and the SCHEMA_REGISTRY_URL" in str(why)
    assert hand_to(writer) == 0
    assert (writer.outcomes[BundleOutcome.SET_ASIDE], writer.aside.news()) == (1, [])
    assert hand_to(write()) == 0
    replace_a_value(store, before)
    assert hand_to(write()) == 1
    assert [report.problems for report in verify(root)] == [[]] * 5
    store.close()


def test_all_other_dates_are_written(store: SqlStore, tmp_path: Path) -> None:
    """Of the date that holds it, what was there stays, and its sessions stay due."""
    export(store, RECORDS)
    before = replace_a_value(store)

    def hand_to(writer: TrainingWriter) -> int:
        return hand_on(store.ledger, writer, SessionFilter())

    writer = TrainingWriter(store.reader, Target(str(tmp_path)), CODEC)
    assert hand_to(writer) == 1
    assert hand_to(writer) == 0
    assert list(writer.dates) == ["2025-06-16"]
    ((date, why),) = writer.aside.news()
    assert date == "2025-06-15"
    assert "message 1 of sess_" in str(why)
    assert ds.dataset(tmp_path / "messages").to_table()["user_id"].unique().to_pylist() == ["user-4"]
    replace_a_value(store, before)
    assert hand_to(TrainingWriter(store.reader, Target(str(tmp_path)), CODEC)) == 4
    assert ds.dataset(tmp_path / "messages").count_rows() == 20
    store.close()


class Trying:
    """A writer of bundles or of training data, the clock of what it sets aside, and how often it read a session."""

    def __init__(self, kind: str, store: SqlStore, root: str) -> None:
        self.now_s = 0.0
        self.store = store
        writer: BundleWriter | TrainingWriter = (
            TrainingWriter(store.reader, Target(root), CODEC)
            if kind == "training"
            else BundleWriter(store.reader, Target(root), CODEC, now_ms=lambda: NOW_MS)
        )
        writer.aside = SetAside(lambda: self.now_s)
        self.writer = writer

    def after(self, wait_s: float) -> tuple[int, list[str | None]]:
        """Hand on what is due, `wait_s` later; return how many sessions were written, and what is told (None: well)."""
        self.now_s += wait_s
        count = hand_on(self.store.ledger, self.writer, SessionFilter())
        return count, [None if why is None else why.what.partition(": ")[2] for _, why in self.writer.aside.news()]


@pytest.fixture(params=["bundles", "training"])
def trying(request: pytest.FixtureRequest, store: SqlStore, tmp_path: Path) -> Trying:
    """A store with five sessions; one of them, on the first of two dates, cannot be read."""
    export(store, LATER[:-2])
    return Trying(request.param, store, str(tmp_path))


NO_SCHEMA = "value has schema fingerprint 0000000000000000, which no tagged schema has"


def test_it_is_tried_again_after_a_while(trying: Trying) -> None:
    """Ten seconds, then twice as long each time, ten minutes at most; each cause is told once, and that it is well."""
    before = replace_a_value(trying.store)
    written, told = trying.after(0)
    assert told == [NO_SCHEMA]
    waits = []
    for wait_s in (10, 20, 40, 80, 160, 320, 600, 600):
        assert trying.after(wait_s - 1) == (0, [])
        waits.append(trying.after(1))
    assert waits == [(0, [])] * 8
    replace_a_value(trying.store, bytes.fromhex("c301") + b"12345678" + b"x")
    assert trying.after(599) == (0, [])
    assert trying.after(1) == (0, [NO_SCHEMA.replace("0" * 16, b"87654321".hex())])
    replace_a_value(trying.store, before)
    assert trying.after(599) == (0, [])
    assert trying.after(1) == (5 - written, [None])
    assert trying.after(600) == (0, [])
    assert len(trying.writer.aside) == 0


def test_it_is_tried_again_when_it_changed(trying: Trying) -> None:
    """As soon as the store has more of the session, without waiting."""
    before = replace_a_value(trying.store)
    written, told = trying.after(0)
    assert told == [NO_SCHEMA]
    replace_a_value(trying.store, before)
    assert trying.after(1) == (0, [])
    export(trying.store, LATER)
    (count, told), (rest, _) = trying.after(0), trying.after(0)  # Those before it on its date were left alone at first.
    assert (count + rest, told) == (5 - written, [None])


def test_many_are_told_by_and_by() -> None:
    """Ten each time; of those that nobody was told of, nobody is told that they are well."""
    aside = SetAside()
    for n in range(NEWS_MAX + 2):
        assert aside.add(f"s{n}", {}, DecodeError("unknown"))
        assert not aside.add(f"s{n}", {}, DecodeError("unknown"))
    aside.wrote("s11")
    assert [name for name, _ in aside.news()] == [f"s{n}" for n in range(NEWS_MAX)]
    assert [name for name, _ in aside.news()] == ["s10"]
    assert aside.news() == []
