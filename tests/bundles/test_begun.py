"""What is there of an open session before its bundle: session_metadata.json alone."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from processor.bundles.begun import BegunWriter, is_begun, write_begun
from processor.bundles.verify import verify
from processor.bundles.writing import BundleWriter, write_index
from processor.core.ids import is_of
from processor.errors import UsageError
from processor.removal.clearing import clear
from processor.sessions.due import hand_on, view_of
from processor.sessions.forms.shapes import schema_text
from processor.sessions.ports import EVERYTHING, Gone, SessionFilter
from processor.sessions.projection.feed import OutputRecord
from processor.sessions.projection.materializer import Materializer
from processor.store import open_store
from processor.targets.target import Target
from tests.sessions.outputs import CODEC, DECODE, START_MS, message, processed

LANE = "anna~0123abcd"
OPENING = [
    message(LANE, 0, command="start", template="assessment", owner="anna"),
    message(LANE, 1, command="status", status="created"),
]
GOING_ON = [
    message(LANE, 2, transcript="I need a ramp"),
    message(LANE, 3, command="step", name="search", duration_ms=1250, timing_key="search_ms"),
    message(LANE, 4, command="tag", add=["urgent"]),
]


class Site:
    """A store, a root, and what writes there; records are read as an exporter reads them."""

    def __init__(self, folder: Path) -> None:
        self.store = open_store(f"sqlite:///{folder / 'store.db'}")
        self.target = Target(str(folder / "root"))
        self.writer = BegunWriter(self.store.reader, self.store.ledger, self.target, EVERYTHING)
        self._read: dict[Any, int | None] = {}

    def read(self, values: list[bytes], *, quiet: bool = False) -> None:
        """Read what the processor makes of all `values` so far, and write what is due of open sessions."""
        records = [
            r for r in processed(values, quiet=quiet) if r.offset >= (self._read.get((r.topic, r.partition)) or 0)
        ]
        self.writer.note(self._apply(records))
        self.writer.write_some()

    def _apply(self, records: list[OutputRecord]) -> Any:
        ends = {(r.topic, r.partition): r.offset + 1 for r in records}
        moved = {source: (self._read.get(source), end) for source, end in ends.items()}
        self._read.update(ends)
        return Materializer(self.store.writer, DECODE).apply(records, moved).told

    def export(self) -> dict[str, int]:
        """Write the bundles that are due, as an exporter that follows does."""
        bundles = BundleWriter(self.store.reader, self.target, CODEC, now_ms=lambda: START_MS)
        hand_on(self.store.ledger, bundles, SessionFilter(status="complete"))
        write_index(self.store, bundles)
        return bundles.counts()

    def files(self) -> dict[str, bytes]:
        root = Path(self.target.root)
        paths = [path for path in root.rglob("*") if path.is_file() and ".tmp" not in path.parts]
        return {str(path.relative_to(root)): path.read_bytes() for path in paths}

    def metadata(self) -> Any:
        """Return the only file that is there."""
        (content,) = self.files().values()
        return json.loads(content)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    made = Site(tmp_path)
    yield made
    made.store.close()


def test_an_open_session_is_there_from_its_start(site: Site) -> None:
    """One file with the document's words; events change it, messages alone do not."""
    site.read(OPENING)
    (name,) = site.files()
    told = site.metadata()
    assert name == f"2025-06-15/{told['session_id']}/session_metadata.json"
    assert (told["status"], told["phase"], told["completeness"], told["created_at"]) == (
        "active", "created", "open", "2025-06-15T15:06:40.000Z",
    )  # fmt: skip
    assert (told["owner"], told["user_id"], told["steps_completed"]) == ("anna", LANE, [])
    jsonschema.validate(told, json.loads(schema_text("session_metadata")))
    before = site.files()
    site.read([*OPENING, *GOING_ON[:1]])
    assert site.files() == before
    site.read([*OPENING, *GOING_ON])
    told = site.metadata()
    assert (told["steps_completed"], told["timing"]["search_ms"], told["tags"]) == (["search"], 1250, ["urgent"])
    assert told["message_count"] == 1


def test_the_bundle_takes_its_place(site: Site) -> None:
    """Once it has ended; and the metadata of a bundle are never written over, also when its session goes on."""
    values = [*OPENING, *GOING_ON]
    site.read(values)
    site.read(values, quiet=True)
    assert site.metadata()["status"] == "active"  # Nothing is written of a session whose bundle comes next.
    assert site.export() == {"written": 1}
    assert [problem for report in verify(site.target.root) for problem in report.problems] == []
    before = site.files()
    assert len(before) > 2
    (session,) = site.store.reader.sessions(EVERYTHING, limit=2)
    write_begun(site.target, view_of(site.store.reader, session))
    assert site.files() == before


def test_one_that_is_not_whole_tells_its_end(site: Site) -> None:
    """Of a session with a missing message no bundle comes while an exporter follows."""
    ended = processed([*OPENING, *GOING_ON], quiet=True)
    site.writer.note(site._apply([record for record in ended if record.topic != "tagged"]))
    site.writer.write_some()
    told = site.metadata()
    assert (told["status"], told["completeness"], told["end_reason"]) == ("closed", "partial", "timeout")


def test_what_is_there_is_verified(site: Site) -> None:
    """Beside bundles it is no fault. In the place of a bundle that the index lists, or said to be complete, it is."""
    ben = message("ben", 0)
    site.read([ben, *OPENING])
    with pytest.raises(UsageError, match="holds no bundle"):
        list(verify(site.target.root))
    folder = Path(site.target.root, next(iter(site.files()))).parent
    with pytest.raises(UsageError, match="is no bundle yet: its session is open"):
        list(verify(str(folder)))
    site.read([ben, *OPENING, message(LANE, 5, command="end"), message("ben", 6, command="end")])
    site.export()
    names = [report.session_id for report in verify(site.target.root)]
    assert len(names) == 2
    place = next(path for path in Path(site.target.root, "2025-06-15").iterdir() if path.name == names[0])
    for path in place.iterdir():
        if path.name != "session_metadata.json":
            path.unlink()
    (report,) = (report for report in verify(site.target.root) if report.problems)
    assert "it is missing: the bundle was not finished" in str(report.problems[0])
    text = (place / "session_metadata.json").read_text().replace('"complete"', '"open"')
    (place / "session_metadata.json").write_text(text)
    (report,) = (report for report in verify(site.target.root) if report.problems)
    assert "it is missing: the index lists it" in str(report.problems[0])


def test_an_erasure_finds_it(site: Site) -> None:
    """The store knows the root, and the folder goes with the person."""
    site.read([*OPENING, message("ben", 0)])
    assert site.store.ledger.targets(Gone(user_id="anna")) == {f"{site.target.name} begun"}
    assert list(site.store.ledger.exported(site.target.name)) == []
    assert clear(site.target, lambda user_id, _: is_of(user_id, "anna")).bundles == 1
    assert site.metadata()["user_id"] == "ben"


def test_turns_are_bounded(site: Site) -> None:
    """At first all open sessions are looked at, some in each turn; with too many in wait, all are looked at again."""
    reader, ledger = site.store.reader, site.store.ledger
    site.writer = BegunWriter(reader, ledger, site.target, EVERYTHING, at_once=2, waiting_max=4)
    values = [message(f"user-{number}", number) for number in range(5)]
    site._apply(processed(values, quiet=False))
    counts = []
    for _ in range(4):
        site.writer.write_some()
        counts.append(len(site.files()))
    assert counts == [2, 4, 5, 5]
    clear(site.target, lambda *_: True)
    ids = [session.session_id for session in site.store.reader.sessions(EVERYTHING, limit=9)]
    site.writer.note(ids[:3])
    for expected in (2, 3, 3):
        site.writer.write_some()
        assert len(site.files()) == expected
    site.writer.note(ids)
    for _ in range(3):
        site.writer.write_some()
    assert len(site.files()) == 5
    assert all(is_begun(site.target, str(Path(site.target.root, name).parent)) for name in site.files())


def test_only_what_is_wanted(site: Site) -> None:
    """Of other persons' sessions nothing is written."""
    site.writer = BegunWriter(site.store.reader, site.store.ledger, site.target, SessionFilter(owner="anna"))
    site.read([*OPENING, message("ben", 0)])
    assert site.metadata()["owner"] == "anna"
