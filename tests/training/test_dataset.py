"""The data set for training: typed, filterable, joined by capture, and the same whenever it is written."""

import tracemalloc
from pathlib import Path
from typing import Any

import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from processor.sessions.model import SessionView
from processor.targets.paths import date_part
from processor.targets.target import Target
from processor.training.dataset import BYTES_AT_ONCE, CAPTURES, MESSAGES, WrittenDate, write_date
from tests.sessions.views import CODEC, START_MS, day_views, made_view, varied


def views_of(date: str) -> list[SessionView]:
    return [view for view in day_views() if date_part(view.session.start_ms) == date]


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """The demo's day as a data set."""
    root = tmp_path_factory.mktemp("dataset")
    for date in sorted({date_part(view.session.start_ms) for view in day_views()}):
        write_date(Target(str(root)), date, views_of(date), CODEC)
    return root


def table(root: Path, name: str, **conditions: object):
    wanted = None
    for column, value in conditions.items():
        one = ds.field(column) == value
        wanted = one if wanted is None else wanted & one
    return ds.dataset(root / name, partitioning="hive").to_table(filter=wanted)


def test_every_message_is_a_row(root):
    """All messages of all sessions, by date, with the types that were promised."""
    rows = table(root, "messages")
    assert rows.num_rows == sum(view.session.held_count for view in day_views())
    files = sorted((root / "messages").rglob("*.parquet"))
    assert [file.parent.name for file in files] == ["date=2025-11-17", "date=2025-11-20", "date=2025-11-21"]
    for file in files:
        assert pq.read_schema(file).remove_metadata() == MESSAGES
        assert pq.ParquetFile(file).metadata.row_group(0).column(0).compression == "ZSTD"
    assert all(pq.read_schema(file).remove_metadata() == CAPTURES for file in (root / "captures").rglob("*.parquet"))


def test_filters(root):
    """is_training_data, consent_given and is_demo choose rows without reading the others."""
    assert set(table(root, "messages", is_training_data=True)["user_id"].to_pylist()) == {"heron-07"}
    examples = table(root, "messages", consent_given=True, is_demo=False, source="recorded_schemas")
    assert [row["final_label"] for row in examples.to_pylist()] == ["drink", "drink"]
    assert table(root, "messages", is_demo=True).num_rows == 0


def test_captures_are_joined(root):
    """What belongs to one recording is one row: label, features, prediction, what the partner made of it, consent."""
    rows = table(root, "captures", consent_given=True).sort_by("opened_at").to_pylist()
    assert [(row["annotation_intent"], row["classifier_label"], row["final_label"]) for row in rows] == [
        ("drink", "drink", "drink"),
        ("drink", "more", "drink"),
    ]
    corrected = rows[1]
    assert dict(corrected["classifier_scores"]) == {"more": 0.44, "drink": 0.41, "unknown": 0.15}
    assert (corrected["frames"], corrected["features_shape"], corrected["partner_action"]) == (14, [14, 128], "correct")
    assert corrected["features_uri"] == f"features/{corrected['capture_id']}.npz"


def test_consent_that_anybody_refuses_is_none(tmp_path):
    """One message of a recording that refuses consent outweighs those that give it; silence is no consent."""
    contents: list[dict[str, Any]] = [
        {"capture_id": "refused", "consent_given": True},
        {"capture_id": "refused", "consent_given": False},
        {"capture_id": "given", "consent_given": True},
        {"capture_id": "silent"},
        {"capture_id": "odd", "consent_given": "yes"},
    ]
    write_date(Target(str(tmp_path)), date_part(START_MS), [made_view(contents)], CODEC)
    rows = table(tmp_path, "captures").to_pylist()
    assert {row["capture_id"]: row["consent_given"] for row in rows} == {
        "refused": False,
        "given": True,
        "silent": None,
        "odd": None,
    }


def test_odd_content_does_not_break_a_row(tmp_path):
    """Upstream's modules write what they like; what has not the column's type is left to `fields`."""
    contents: list[dict[str, Any]] = [
        {"classifier_output": ["a", 1, {}], "raw_features_ref": "x", "annotation": 3, "event": {}, "final_label": []},
        {"classifier_output": {"intent": "yes", "confidence": "high"}, "raw_features_ref": {"shape": [1, "2"]}},
        {"source": "caregiver", "transcript": "half", "is_partial": True},
    ]
    assert write_date(Target(str(tmp_path)), date_part(START_MS), [made_view(contents)], CODEC).messages == 3
    withheld = table(tmp_path, "messages").to_pylist()[2]
    assert withheld["transcript"] is None
    assert "half" not in withheld["fields"]


def test_twice_gives_the_same_bytes(root, tmp_path):
    """Written again, in place or elsewhere, the files are the same; nothing else is left."""
    date = "2025-11-20"
    write_date(Target(str(tmp_path)), date, views_of(date), CODEC)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    write_date(Target(str(tmp_path)), date, views_of(date), CODEC)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
    for path, content in before.items():
        assert (root / path.relative_to(tmp_path)).read_bytes() == content


def test_any_target_and_any_size():
    """An object store will do, and more rows than are kept in memory at once."""
    written = write_date(Target("memory://training"), date_part(START_MS), [made_view(varied(12_000))], CODEC)
    assert written == WrittenDate("2025-11-21", 12_000, written.captures)
    assert written.captures > 500


def test_memory_does_not_grow_with_the_messages(tmp_path):
    """Of long messages few are held at a time; each is a row all the same."""
    text = "x" * 500_000
    view = made_view({"source": "ui", "transcript": f"{number} {text}"} for number in range(100))
    tracemalloc.start()
    try:
        assert write_date(Target(str(tmp_path)), date_part(START_MS), [view], CODEC).messages == 100
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 3 * BYTES_AT_ONCE
    assert pq.ParquetFile(next(tmp_path.glob("messages/*/messages.parquet"))).metadata.num_row_groups == 3


def test_a_number_that_no_float_holds_is_no_score(tmp_path):
    """JSON's whole numbers have no end; the row is written without it."""
    view = made_view([{"classifier_output": {"help": 10**400, "drink": 0.5}}])
    write_date(Target(str(tmp_path)), date_part(START_MS), [view], CODEC)
    (row,) = table(tmp_path, "messages").to_pylist()
    assert dict(row["classifier_scores"]) == {"drink": 0.5}
