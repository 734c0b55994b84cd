"""A session that cannot be read keeps no other from being written."""

from pathlib import Path

import pyarrow.dataset as ds
from sqlalchemy import select, update

from processor.exporter.bundle import Outcome
from processor.exporter.due import hand_on, one_by_one
from processor.exporter.ports import SessionFilter
from processor.exporter.target import Target
from processor.exporter.training import TrainingWriter
from processor.exporter.verify import verify
from processor.exporter.writing import BundleWriter
from processor.store.sql import SqlStore
from processor.store.tables import MESSAGES
from tests.exporter.outputs import CODEC, message, processed
from tests.exporter.test_following import following

NOW_MS = 1_763_740_800_000
DAY_MS = 86_400_000
RECORDS = processed([message(f"user-{n % 5}", n * 1000 + n % 5 // 4 * DAY_MS, source="ui") for n in range(20)])
BAD = "user-1"


def replace_a_value(store: SqlStore, value: bytes | None = None) -> bytes:
    """Write another value into the first message of a user; return what was there."""
    rows = select(MESSAGES.c.position, MESSAGES.c.value).where(MESSAGES.c.user_id == BAD)
    with store._engine.begin() as connection:
        position, before = connection.execute(rows.order_by(MESSAGES.c.position).limit(1)).one()
        unknown = bytes.fromhex("c301") + bytes(8) + b"x"  # Avro of a schema that nobody knows.
        connection.execute(update(MESSAGES).where(MESSAGES.c.position == position).values(value=value or unknown))
    return bytes(before)


def test_all_others_are_written(store: SqlStore, tmp_path: Path) -> None:
    """It is told with its message and what to do, taken again by the next run only, and written once it can be."""
    following(store, RECORDS).run(to_end=True)
    before = replace_a_value(store)
    root = str(tmp_path)

    def write() -> BundleWriter:
        return BundleWriter(Target(root), CODEC, now_ms=lambda: NOW_MS)

    def hand_to(writer: BundleWriter) -> int:
        return hand_on(store, root, SessionFilter(), one_by_one(store, writer.take))

    (session,) = store.sessions(SessionFilter(user_id=BAD), limit=2)
    writer = write()
    assert hand_to(writer) == 4
    assert writer.outcomes == {Outcome.WRITTEN: 4, Outcome.SET_ASIDE: 1}
    ((name, why),) = writer.aside.news()
    assert name == session.session_id
    assert str(why).startswith(f"message 1 of {name}, tagged[{session.partition}]@")
    assert "which no tagged schema has; use the release and the SCHEMA_REGISTRY_URL" in str(why)
    assert hand_to(writer) == 0
    assert (writer.outcomes[Outcome.SET_ASIDE], writer.aside.news()) == (1, [])
    assert hand_to(write()) == 0
    replace_a_value(store, before)
    assert hand_to(write()) == 1
    assert [report.problems for report in verify(root)] == [[]] * 5
    store.close()


def test_all_other_dates_are_written(store: SqlStore, tmp_path: Path) -> None:
    """Of the date that holds it, what was there stays, and its sessions stay due."""
    following(store, RECORDS).run(to_end=True)
    before = replace_a_value(store)

    def hand_to(writer: TrainingWriter) -> int:
        return hand_on(store, "parquet", SessionFilter(), one_by_one(store, writer.take))

    writer = TrainingWriter(store, Target(str(tmp_path)), CODEC)
    assert hand_to(writer) == 1
    assert hand_to(writer) == 0
    assert list(writer.dates) == ["2025-06-16"]
    ((date, why),) = writer.aside.news()
    assert date == "2025-06-15"
    assert "message 1 of sess_" in str(why)
    assert ds.dataset(tmp_path / "messages").to_table()["user_id"].unique().to_pylist() == ["user-4"]
    replace_a_value(store, before)
    assert hand_to(TrainingWriter(store, Target(str(tmp_path)), CODEC)) == 4
    assert ds.dataset(tmp_path / "messages").count_rows() == 20
    store.close()
