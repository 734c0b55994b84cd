"""A session whose records were sent again after it was forgotten: two under one id (docs/adr/0006)."""

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from processor.bundles.bundle import write_bundle
from processor.bundles.verify import verify
from processor.cli.app import app
from processor.cli.printing.exported import tell_partial
from processor.sessions.due import view_of
from processor.sessions.model import SessionRow, SessionView, Status
from processor.sessions.ports import SESSIONS, SessionFilter
from processor.sessions.report import Report
from processor.store import open_store
from processor.store.sql import SqlStore
from processor.targets.target import Target
from processor.upstream.notices import Notice
from tests.sessions.exporting import export
from tests.sessions.outputs import CODEC, message, processed
from tests.sessions.views import NOW_MS, made_view, varied

VALUES = [message("anna", n * 1_000, source="ui", transcript=f"word {n}") for n in range(4)]
FIRST = processed(VALUES)
# By a processor that knows nothing of the first time; one message is missing, one is late.
AGAIN = [
    record._replace(offset=record.offset + 100, append_ms=record.append_ms + 86_400_000)
    for record in processed([VALUES[0], VALUES[3], VALUES[1]])
]


def session_in(store: SqlStore) -> SessionRow:
    (row,) = store.reader.sessions(SessionFilter(), limit=2)
    return row


def verified(root: Path, view: SessionView) -> Report:
    write_bundle(Target(str(root)), view, CODEC, now_ms=NOW_MS)
    (report,) = verify(str(root))
    return report


@pytest.mark.parametrize("chunk", [1, 1_000])
def test_it_is_known(store: SqlStore, chunk: int) -> None:
    """It holds all that came, counts as partial, and has a flag to be found by; in whatever order it was read."""
    in_order = sorted(FIRST + AGAIN, key=lambda record: record.topic == SESSIONS)
    export(store, in_order, chunk=chunk)
    row = session_in(store)
    assert (row.status, row.held_count, row.expected_count) == (Status.PARTIAL, 7, 3)
    assert "opened_twice" in row.flags
    assert store.reader.count(SessionFilter(notices=Notice.OPENED_TWICE)) == 1


def test_the_first_time_is_known_as_nothing_else(store: SqlStore) -> None:
    """Until it comes again, it is a session like any other."""
    export(store, FIRST)
    assert (session_in(store).status, session_in(store).flags) == (Status.COMPLETE, ())


def test_its_bundle_is_sound(store: SqlStore, tmp_path: Path) -> None:
    """Every message is in it and agrees with itself; it says what it is."""
    export(store, FIRST + AGAIN)
    report = verified(tmp_path, view_of(store.reader, session_in(store)))
    assert report.problems == []
    assert (report.status, report.is_opened_twice, report.messages) == ("partial", True, 7)


@pytest.mark.parametrize("says", [True, False])
def test_who_says_so_must_show_it(store: SqlStore, tmp_path: Path, says: bool) -> None:
    """The flag neither covers up messages that repeat, nor may it be left out."""
    if says:
        view = made_view(varied(3))
        changed = view.session._replace(notices=view.session.notices | Notice.OPENED_TWICE)
    else:
        export(store, FIRST + AGAIN)
        view = view_of(store.reader, session_in(store))
        changed = view.session._replace(notices=view.session.notices & ~Notice.OPENED_TWICE)
    report = verified(tmp_path, SessionView(changed, view.messages, view.events))
    assert any("flags" in str(problem) for problem in report.problems)


def test_a_message_that_repeats_is_broken(store: SqlStore, tmp_path: Path) -> None:
    """Also in a session that was opened twice: numbers begin anew at 1 only, and as often as it started."""
    export(store, FIRST + AGAIN)
    view = view_of(store.reader, session_in(store))
    rows = list(view.messages())
    rows.insert(6, rows[5]._replace(offset=rows[5].offset + 50, append_ms=rows[5].append_ms + 1))
    report = verified(tmp_path, SessionView(view.session, lambda: iter(rows), view.events))
    assert "records.jsonl, line 7: message 2 stands where message 3 should" in map(str, report.problems)


def test_what_people_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`opened twice`, wherever it would be called partial or broken."""
    address = f"sqlite:///{tmp_path / 'store.db'}"
    store = open_store(address)
    export(store, FIRST + AGAIN)
    row = session_in(store)
    view = view_of(store.reader, row)
    write_bundle(Target(str(tmp_path / "bundles")), view, CODEC, now_ms=NOW_MS)
    page = next((tmp_path / "bundles").rglob("timeline.html")).read_text()
    (notices,) = re.findall(r'<div id="notices">(.*?)</div>', page)
    assert "This session was opened twice" in notices
    assert "Not all of this session is here" not in notices

    def run(*arguments: str) -> str:
        done = CliRunner().invoke(app, list(arguments), catch_exceptions=False, env={"COLUMNS": "200"})
        assert done.exit_code == 0
        return done.output

    assert "opened twice" in run("sessions", "list", "--store", address, "--flag", "opened_twice")
    assert "held      7 messages, opened twice: 3 expected of the second time" in run(
        "sessions", "show", row.session_id, "--store", address
    )
    told = run("verify", str(tmp_path / "bundles"))
    assert told.startswith("sound ")
    assert "7 messages, partial (opened twice)" in told
    assert "1 holds a session that was opened twice" in told
    tell_partial([{"session_id": "sess_1", "held": 7, "expected": 3, "opened_twice": True}])
    assert capsys.readouterr().out == "opened twice: sess_1 holds 7 messages; records were sent again much later\n"
    store.close()
