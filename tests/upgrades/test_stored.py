"""What earlier releases have stored is read by this one, and still means what it meant.

A folder of a release is made once (`make record`) and never changed. Before the release it is made anew whenever that
which is stored changes. 0.1.0.dev1 is from before the first release: its databases have no column of traces. It has
nothing else, since the rest is as in 0.1.0.
"""

import json
import shutil
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import inspect

from processor.store import open_store
from tests.postgres import Cluster
from tests.upgrades.meaning import is_whole, meaning_of, store_at
from tests.upgrades.sums import SUMS, recordings, sums


@pytest.fixture(params=recordings(), ids=lambda path: path.name)
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Return a copy of a recording."""
    return shutil.copytree(request.param, tmp_path / "recording")


@pytest.fixture(params=[path for path in recordings() if is_whole(path)], ids=lambda path: path.name)
def whole(request: pytest.FixtureRequest) -> Path:
    """Return a recording of all that is stored."""
    path: Path = request.param
    return path


def differences(then: Any, now: Any, where: str = "") -> list[str]:
    """Return where `now` does not say what was said `then`; it may say more."""
    match then:
        case Mapping() if isinstance(now, Mapping):
            return [
                one
                for key, value in then.items()
                for one in (
                    differences(value, now[key], f"{where}/{key}") if key in now else [f"{where}/{key} is gone"]
                )
            ]
        case list() if isinstance(now, list) and len(then) == len(now):
            return [
                one
                for number, pair in enumerate(zip(then, now, strict=True))
                for one in differences(*pair, f"{where}/{number}")
            ]
        case _:
            return [] if then == now else [f"{where} was {then!r}, and is {now!r}"]


def test_it_means_what_it_meant(folder: Path) -> None:
    """Records, states, dead letters, the store, bundles and seals, the outbox, persons and tokens."""
    then = json.loads((folder / "meaning.json").read_text("utf-8"))
    assert differences(then, meaning_of(folder)) == []


def test_it_has_all_there_is(whole: Path) -> None:
    """A recording holds each kind of record, in each encoding, and each shape of a state."""
    then = json.loads((whole / "meaning.json").read_text("utf-8"))
    events = then["sessions"].values()
    assert {event["kind"] for event in events} >= {
        "started", "reopened", "paused", "resumed", "ended", "note", "context", "step", "status", "tag", "unchanged",
        "rejected", "sealed",
    }  # fmt: skip
    states = [state for state in then["state"].values() if "current" in state]
    now = [state["current"] for state in states if state["current"] is not None]
    assert {state["encoding"] for state in states} == {1, 2, 3}
    assert any(one["paused_at_ms"] is not None for one in now)
    assert any(one["end_ms"] is not None for one in now)
    assert any(one["end_ms"] is None and one["paused_at_ms"] is None for one in now)
    assert any(state["closed"] for state in states)
    assert any(state["policy"] is not None for state in states)
    assert any("erased" in state for state in then["state"].values())
    assert any("forgotten" in state for state in then["state"].values())
    assert {letter["stage"] for letter in then["dlq"].values()} == {"decode", "validate"}
    assert {one["is"] for one in then["raw"].values() if "is" in one} == {"Message", "Command", "Erase"}
    assert {one["status"] for one in then["bundles"]["sessions"].values()} == {"complete"}
    assert not any(one["problems"] for one in then["bundles"]["sessions"].values())
    assert any(one["sealed"] for one in then["bundles"]["sessions"].values())


def test_a_store_comes_to_the_tables_of_today(folder: Path, tmp_path: Path) -> None:
    """Brought forward, it has the very tables of a new one: whoever changes those writes a step that leads there."""
    assert shape(f"sqlite:///{folder / 'store.db'}") == shape(f"sqlite:///{tmp_path / 'new.db'}")


def test_a_store_in_postgresql(folder: Path, cluster: Cluster, prefix: str) -> None:
    """The same, and it holds the same."""
    address = cluster.new_database(prefix)
    cluster.restore(address, folder / "store.sql")
    then = json.loads((folder / "meaning.json").read_text("utf-8"))
    assert differences(then["store"], store_at(address)) == []
    assert shape(address) == shape(cluster.new_database(f"{prefix}-new"))


def shape(address: str) -> Mapping[str, Any]:
    """Return the columns and indexes of all tables of a store."""
    with closing(open_store(address)) as store, store.database.reading() as connection:
        found = inspect(connection)
        return {
            name: (
                {column["name"]: (str(column["type"]), column["nullable"]) for column in found.get_columns(name)},
                sorted((index["name"], index["column_names"]) for index in found.get_indexes(name)),
                found.get_pk_constraint(name),
            )
            for name in found.get_table_names()
        }


def test_a_recording_is_never_changed() -> None:
    """Each file is as it was when it was recorded. Of a version that is not released, `make record` makes them anew."""
    assert sums() == SUMS.read_text("utf-8")


def test_a_difference_is_found() -> None:
    """What is lost, other or shorter is told; what is new is not."""
    then = {"a": [1, {"b": 2}], "c": 3, "d": None}
    assert differences(then, {**then, "new": 1, "a": [1, {"b": 2, "more": 5}]}) == []
    assert differences(then, {"a": [1, {"b": 7}], "d": None}) == ["/a/1/b was 2, and is 7", "/c is gone"]
    assert differences(then["a"], [1]) == [" was [1, {'b': 2}], and is [1]"]
