"""The index of a root: a bundle that is gone is missed, and one that was removed by us is not."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from processor.bundles import index
from processor.bundles.verify import listed, verify
from processor.bundles.writing import BundleWriter, write_index
from processor.removal.clearing import clear
from processor.sessions.due import hand_on
from processor.sessions.forms.shapes import Index
from processor.sessions.ports import Gone, SessionFilter
from processor.store import open_store
from processor.store.sql import SqlStore
from processor.targets.target import Target
from tests.removal.stage import values
from tests.sessions.exporting import applied
from tests.sessions.outputs import CODEC, START_MS, processed

MISSING = "it is missing: the index lists it, and neither a3cp erase nor a3cp retention has removed it"


@pytest.fixture
def filled_store(tmp_path: Path) -> Iterator[SqlStore]:
    """A store with four sessions of two users on two dates."""
    store = applied(open_store(f"sqlite:///{tmp_path / 'store.db'}"), processed(values()))
    yield store
    store.close()


def export(store: SqlStore, target: Target, wanted: SessionFilter = SessionFilter()) -> None:  # noqa: B008
    writer = BundleWriter(store.reader, target, CODEC, now_ms=lambda: START_MS)
    hand_on(store.ledger, writer, wanted)
    write_index(store, writer)


def told(root: str) -> list[str]:
    return [str(problem) for report in verify(root) for problem in report.problems]


@pytest.fixture(params=["folder", "memory"])
def target(request: pytest.FixtureRequest, tmp_path: Path) -> Target:
    """A root in a folder, and one elsewhere."""
    root = str(tmp_path / "root") if request.param == "folder" else f"memory://index-{tmp_path.name}"
    return Target(root)


def test_a_bundle_that_is_gone_is_missed(filled_store: SqlStore, target: Target) -> None:
    """One bundle, then the whole date: each is named; the next export does not hide it."""
    export(filled_store, target)
    assert (listed(target.url), told(target.url)) == (4, [])
    sessions = filled_store.reader.sessions(SessionFilter(), limit=9)
    target.files.rm(target.path(f"2025-06-16/{sessions[0].session_id}"), recursive=True)
    assert told(target.url) == [MISSING]
    target.files.rm(target.path("2025-06-16"), recursive=True)
    export(filled_store, target)
    assert told(target.url) == [MISSING, MISSING]
    target.files.rm(target.path("2025-06-15"), recursive=True)
    assert told(target.url) == [MISSING] * 4
    assert next(report.path for report in verify(target.url)).startswith(target.path("2025-06-15/sess_2025"))


def test_what_we_removed_is_not_missed(filled_store: SqlStore, target: Target) -> None:
    """A person is erased: how many bundles went is told by date, and nobody is named."""
    export(filled_store, target)
    filled_store.removal.remove(Gone(user_id="anna-4711"))
    assert clear(target, lambda user_id, _: user_id == "anna-4711").is_whole
    assert (listed(target.url), told(target.url)) == (2, [])
    contents = [content for _, content in index.read(target)]
    assert [(content.removed, len(content.sessions)) for content in contents if isinstance(content, Index)] == [
        (1, 1), (1, 1),
    ]  # fmt: skip
    export(filled_store, target)
    assert (listed(target.url), told(target.url)) == (2, [])


def test_bundles_that_a_store_has_let_go_stay_listed(filled_store: SqlStore, target: Target) -> None:
    """Sessions went from the store, their bundles stayed, as asked for: these are counted on."""
    export(filled_store, target, SessionFilter(owner="anna-4711"))
    filled_store.removal.remove(Gone(ended_before_ms=START_MS + 10**9))
    export(filled_store, target)
    assert told(target.url) == []
    assert listed(target.url) == 2


def test_several_stores_share_a_root(filled_store: SqlStore, target: Target, tmp_path: Path) -> None:
    """Each has an index of its own; who is erased is gone from all of them."""
    other = applied(open_store(f"sqlite:///{tmp_path / 'other.db'}"), processed(values()))
    export(filled_store, target)
    export(other, target)
    other.close()
    assert listed(target.url) == 8
    clear(target, lambda user_id, _: user_id == "ben")
    assert (listed(target.url), told(target.url)) == (4, [])


def test_an_index_that_was_changed_is_told(filled_store: SqlStore, target: Target) -> None:
    """A bundle and its line are gone: the seal is broken, and the next export lists it again."""
    export(filled_store, target)
    session = filled_store.reader.sessions(SessionFilter(), limit=9)[0]
    target.files.rm(target.path(f"2025-06-16/{session.session_id}"), recursive=True)
    (path,) = [path for path, _ in index.read(target) if "2025-06-16" in path]
    target.files.pipe_file(path, target.files.cat_file(path).replace(session.session_id.encode(), b"sess_x"))
    assert told(target.url) == ["its SHA-256 is not that of its content: it was changed"]
    writer = BundleWriter(filled_store.reader, target, CODEC, now_ms=lambda: START_MS)
    write_index(filled_store, writer, all_dates=True)
    assert told(target.url) == [MISSING]


def test_a_root_without_an_index(filled_store: SqlStore, tmp_path: Path) -> None:
    """It is none, as of an earlier release, or it was taken away: that is known, and nothing is called missing."""
    target = Target(str(tmp_path / "root"))
    export(filled_store, target)
    shutil.rmtree(tmp_path / "root" / "index")
    assert (listed(target.url), told(target.url)) == (None, [])
