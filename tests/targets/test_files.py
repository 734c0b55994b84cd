"""Targets whose client raises errors of its own: each is told as what it is, a target that does not answer."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFile, MemoryFileSystem

from processor.bundles.bundle import BundleOutcome, write_bundle
from processor.bundles.reading import read_records
from processor.bundles.verify import verify
from processor.bundles.writing import BundleWriter
from processor.errors import A3CPError, Fatal, TargetUnavailable
from processor.processes.exporter.files import Files, Wanted
from processor.removal.clearing import clear
from processor.sessions.model import EventRow, MessageRow, SessionView
from processor.settings.sources import load
from processor.store import open_store
from processor.targets.target import Target
from tests.observe.told import Told
from tests.sessions.damaged import RECORDS
from tests.sessions.exporting import export
from tests.sessions.outputs import CODEC
from tests.sessions.views import NOW_MS, day_view, day_views

ROOT = "refusing://bucket/bundles"


class NoCredentials(Exception):
    """As botocore's, no OSError."""


class Refusing(MemoryFileSystem):  # type: ignore[misc]  # It has no types.
    """An object store that refuses the calls in `refused`; `read`: of files that are open."""

    protocol = "refusing"
    store: dict[str, Any] = {}  # noqa: RUF012  # As the class above has it.
    pseudo_dirs = [""]  # noqa: RUF012
    refused: frozenset[str] = frozenset()

    def __getattribute__(self, name: str) -> Any:
        if name in Refusing.refused:
            return refuse
        return super().__getattribute__(name)

    def _open(self, path: str, mode: str = "rb", **named: Any) -> Any:
        file = super()._open(path, mode, **named)
        return Broken(file.getvalue()) if "read" in Refusing.refused else file


class Broken(MemoryFile):  # type: ignore[misc]
    """A file whose stream breaks."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data=data)

    def read(self, *_: object) -> Any:
        return refuse()


def refuse(*_: object, **__: object) -> Any:
    raise NoCredentials("unable to locate credentials\nand much more")


@pytest.fixture(autouse=True)
def _registered() -> Iterator[None]:
    fsspec.register_implementation("refusing", Refusing, clobber=True)
    Refusing.store.clear()
    Refusing.pseudo_dirs[:] = [""]
    Refusing.refused = frozenset()
    yield
    Refusing.refused = frozenset()


class Held:
    """Reads one session."""

    def __init__(self, view: SessionView) -> None:
        self._view = view

    def messages(self, _: str, *, count_max: int) -> Iterator[MessageRow]:
        return self._view.messages()

    def events(self, _: str, *, count_max: int) -> Iterator[EventRow]:
        return self._view.events()


def write(view: SessionView) -> BundleWriter:
    """Write the bundle of a session; return its writer."""
    reader: Any = Held(view)
    writer = BundleWriter(reader, Target(ROOT), CODEC, now_ms=lambda: NOW_MS)
    assert list(writer.take([view.session])) == [view.session]
    return writer


@pytest.mark.parametrize("call", ["put_file", "makedirs", "exists"])
def test_a_bundle(call: str) -> None:
    """It is told with the client's own words, and written once the target answers."""
    Refusing.refused = frozenset({call})
    with pytest.raises(TargetUnavailable, match=r"cannot be written \(NoCredentials: unable to locate credentials\)"):
        write(day_view("heron-07"))
    Refusing.refused = frozenset()
    assert write(day_view("heron-07")).outcomes == {BundleOutcome.WRITTEN: 1}
    assert [report.problems for report in verify(ROOT)] == [[]]


def test_following_goes_on(tmp_path: Path) -> None:
    """The trouble is told, and what is due is written when it is over: bundles and training data."""
    store = open_store(f"sqlite:///{tmp_path / 'store.db'}")
    export(store, RECORDS)
    settings = load({"KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1"}, tmp_path).settings
    told = Told()
    for to, training in ((Target(ROOT), None), (None, Target(ROOT))):
        Refusing.refused = frozenset({"put_file"})
        made = Files(store, settings, Wanted(to, training), told.observer, lambda: False)
        made.write_some(caught_up=False)
        assert "NoCredentials: unable to locate credentials" in told.health.not_ready()[0]
        Refusing.refused = frozenset()
        made.write_all()
        assert not made.has_set_aside
    assert len(list(verify(ROOT))) == 5
    assert Target(ROOT).files.exists(Target(ROOT).path("messages/date=2025-06-15/messages.parquet"))


@pytest.mark.parametrize(
    ("act", "call"),
    [
        (lambda: list(verify(ROOT)), "ls"),
        (lambda: clear(Target(ROOT), lambda *_: True), "ls"),
        (lambda: clear(Target(ROOT), lambda *_: True), "read"),
        (lambda: list(read_records(Target(path_of_first()))), "read"),
    ],
    ids=["verify", "clear, listing", "clear, reading", "read"],
)
def test_what_reads(act: Callable[[], object], call: str) -> None:
    """Whoever reads a target has one error to tell, no traceback."""
    for view in day_views():
        write_bundle(Target(ROOT), view, CODEC, now_ms=NOW_MS)
    Refusing.refused = frozenset({call})
    with pytest.raises(A3CPError):
        act()


def path_of_first() -> str:
    refused, Refusing.refused = Refusing.refused, frozenset()
    path = next(verify(ROOT)).path
    Refusing.refused = refused
    return f"refusing://{path}"


def test_a_bundle_that_breaks_while_it_is_verified() -> None:
    """It is told of that bundle."""
    write_bundle(Target(ROOT), day_view("heron-07"), CODEC, now_ms=NOW_MS)
    Refusing.refused = frozenset({"read"})
    (report,) = verify(ROOT)
    assert "it cannot be read: NoCredentials: unable to locate credentials" in str(report.problems[0])


def test_a_client_that_cannot_be_made() -> None:
    """It is told with the target's name."""

    class Locked(MemoryFileSystem):  # type: ignore[misc]
        def __init__(self, *_: Any, **__: Any) -> None:
            refuse()

    fsspec.register_implementation("locked", Locked, clobber=True)
    with pytest.raises(
        Fatal, match=r"locked://x cannot be reached \(NoCredentials: unable to locate credentials\); see"
    ):
        Target("locked://x")


def test_our_own_mistakes_pass() -> None:
    """A call that there is not, or an error in what is written, is no trouble of the target's."""
    with pytest.raises(AttributeError):
        Target(ROOT).files.no_such_call()
    view = day_view("heron-07")

    def mistaken() -> Any:
        raise TypeError("ours")

    with pytest.raises(TypeError, match="ours"):
        write(SessionView(view.session, mistaken, view.events))
