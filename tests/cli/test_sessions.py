"""`a3cp sessions` on a store, without a Kafka."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from processor.cli.app import app
from processor.errors import UsageError
from processor.store import open_store
from tests.sessions.exporting import applied
from tests.sessions.outputs import message, processed

HOSTILE = "evil\x1b[2J\x1b]0;title\x07 words"


@pytest.fixture
def address(tmp_path: Path) -> str:
    found = f"sqlite:///{tmp_path / 'store.db'}"
    store = open_store(found)
    values = [message(f"user-{n % 3}", n * 86_400_000 // 4, transcript=f"day {n}") for n in range(12)]
    records = processed([*values, message("eve", 0, transcript=HOSTILE, source=HOSTILE, is_demo=True)])
    applied(store, records)
    store.close()
    return found


def run(*arguments: str) -> str:
    done = CliRunner().invoke(app, ["sessions", *arguments], catch_exceptions=False, env={"COLUMNS": "200"})
    assert done.exit_code == 0
    return done.output


def run_json(*arguments: str) -> Any:
    return json.loads(run(*arguments, "--json"))


def test_list(address: str) -> None:
    """Newest first, in pages, with what was chosen; a table for people."""
    pages = [run_json("list", "--store", address, "--limit", "5", "--page", str(page)) for page in (1, 2, 3)]
    starts = [session["start_time"] for page in pages for session in page["sessions"]]
    assert starts == sorted(starts, reverse=True)
    assert (len(starts), pages[0]["count"]) == (13, 13)
    assert run_json("list", "--store", address, "--user", "user-1")["count"] == 4
    assert run_json("list", "--store", address, "--flag", "demo")["sessions"][0]["user_id"] == "eve"
    assert run_json("list", "--store", address, "--since", "2025-06-16", "--until", "2025-06-17")["count"] == 4
    assert "page 1 of 3, 13 sessions" in run("list", "--store", address, "--limit", "5")
    assert "no such sessions" in run("list", "--store", address, "--status", "open")
    assert run_json("list", "--store", address, "--status", "active")["count"] == 0
    assert run_json("list", "--store", address, "--status", "closed")["count"] == 13
    assert (
        run_json("list", "--store", address, "--flag", "not to the letter")["count"]
        == run_json("list", "--store", address, "--flag", "nonconforming")["count"]
    )
    assert "no page 9" in run("list", "--store", address, "--page", "9")


def test_roll_ups(address: str) -> None:
    """The same sessions added up, by user and by day."""
    assert {u: t["sessions"] for u, t in run_json("list", "--store", address, "--by", "user")["user"].items()} == {
        "eve": 1, "user-0": 4, "user-1": 4, "user-2": 4,
    }  # fmt: skip
    days = run_json("list", "--store", address, "--by", "day")["day"]
    assert list(days) == sorted(days)
    assert "2025-06-16" in run("list", "--store", address, "--by", "day")


def test_lanes_are_their_owners(tmp_path: Path) -> None:
    """Lists, roll-ups and searches go by person; what has come of a session is shown with it."""
    address = f"sqlite:///{tmp_path / 'store.db'}"
    store = open_store(address)
    lane = "anna~0123abcd"
    values = [
        message("anna", 0, transcript="in her own name"),
        message(lane, 1, command="start", owner="anna"),
        message(lane, 2, command="status", status="\x1b[2Jcompleted"),
        message(lane, 3, command="tag", add=["urgent", "week 3"]),
        message(lane, 4, overall_score=8.5, transcript="in a lane"),
    ]
    records = processed(values)
    applied(store, records)
    store.close()
    (latest, _) = run_json("list", "--store", address, "--user", "anna")["sessions"]
    assert (latest["user_id"], latest["owner"], latest["tags"]) == (lane, "anna", ["urgent", "week 3"])
    assert lane not in run("list", "--store", address)
    assert run_json("list", "--store", address, "--by", "user")["user"]["anna"]["sessions"] == 2
    assert len(run_json("search", "in", "--store", address, "--user", "anna")["found"]) == 2
    shown = run("show", latest["session_id"], "--store", address)
    assert f"user      anna, in the lane {lane}\n" in shown
    assert "phase     \ufffd[2Jcompleted\ntags      urgent, week 3\nscore     8.5\n" in shown


def test_show_and_search(address: str) -> None:
    """A session with its events; a text with its session."""
    (found,) = run_json("search", "DAY 7", "--store", address)["found"]
    shown = run_json("show", found["session_id"], "--store", address)
    assert (shown["status"], shown["completeness"], shown["message_count"]) == ("closed", "complete", 1)
    assert shown["user_id"] == "user-1"
    assert [event["kind"] for event in shown["events"]] == ["started", "ended"]
    assert "held      1 message, 1 expected: complete" in run("show", found["session_id"], "--store", address)
    assert "nothing found" in run("search", "nowhere", "--store", address)


def test_the_beginning_of_an_id_is_enough(address: str) -> None:
    """As a narrow terminal shows it, with the sign that there is more; a beginning that several have is refused."""
    sessions = run_json("list", "--store", address)["sessions"]
    whole = sessions[0]["session_id"]
    assert run_json("show", f"{whole[:26]}…", "--store", address)["session_id"] == whole
    assert run_json("show", whole, "--store", address)["session_id"] == whole
    with pytest.raises(UsageError, match="several sessions begin with sess_2025; give more of the id"):
        run("show", "sess_2025", "--store", address)
    with pytest.raises(UsageError, match="no session sess_2024"):
        run("show", "sess_2024", "--store", address)
    with pytest.raises(UsageError, match="no session %"):
        run("show", "%", "--store", address)


@pytest.mark.parametrize("is_terminal", [True, False], ids=["on a narrow terminal", "for a program"])
def test_a_session_is_a_line(address: str, monkeypatch: pytest.MonkeyPatch, *, is_terminal: bool) -> None:
    """Ids are not broken: they are shortened where there is no room, and whole for programs."""
    monkeypatch.setattr("rich.console.Console.is_terminal", is_terminal)
    ids = [session["session_id"] for session in run_json("list", "--store", address)["sessions"]]
    done = CliRunner().invoke(app, ["sessions", "list", "--store", address], env={"COLUMNS": "80", "TERM": "dumb"})
    lines = done.output.splitlines()
    for session_id in ids:
        shown = f"{session_id[:26]}…" if is_terminal else session_id
        assert sum(shown in line for line in lines) == 1
    assert not is_terminal or max(map(len, lines)) <= 80


def test_no_id_or_word_is_broken_on_a_narrow_terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A long user id has a line of its own, and so has what was found: 80 columns are enough for both."""
    long_id = "07e4c9ff-9b8e-4d3e-bc7c-2b1b1731df56"
    address = f"sqlite:///{tmp_path / 'narrow.db'}"
    store = open_store(address)
    records = processed([message(long_id, 5 * 86_400_000, transcript="a walk in the garden", is_demo=True)])
    applied(store, records)
    store.close()
    monkeypatch.setattr("rich.console.Console.is_terminal", True)
    for words in (["list"], ["list", "--by", "user"], ["search", "garden"]):
        given = ["sessions", *words, "--store", address]
        lines = CliRunner().invoke(app, given, env={"COLUMNS": "80", "TERM": "dumb"}).output.splitlines()
        assert any(long_id in line for line in lines)
        assert max(map(len, lines)) <= 80
        assert words[0] == "search" or any("demo" in line for line in lines)


def test_messages_do_not_steer_the_terminal(address: str) -> None:
    """Control characters in what people wrote come out marked."""
    (found,) = run_json("search", "evil", "--store", address)["found"]
    for text in (run("search", "evil", "--store", address), run("show", found["session_id"], "--store", address)):
        assert "\x1b" not in text
        assert "\x07" not in text
        assert "evil\N{REPLACEMENT CHARACTER}[2J" in text


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["list", "--status", "lost"], "--status cannot be lost"),
        (["list", "--flag", "odd"], "--flag cannot be odd"),
        (["list", "--by", "moon"], "--by cannot be moon"),
        (["list", "--since", "yesterday"], "--since is no ISO 8601 time"),
        (["show", "sess_none"], "no session sess_none"),
        (["show", ""], "no session is named"),
        (["search", " "], "no words are given"),
        (["list", "--store", "sqlite:///none/at/all.db"], "there is no store at"),
    ],
)
def test_mistakes_are_named(address: str, arguments: list[str], words: str) -> None:
    """Wrong usage says what was wrong."""
    given = [] if "--store" in arguments else ["--store", address]
    with pytest.raises(UsageError, match=words):
        CliRunner().invoke(app, ["sessions", *arguments, *given], catch_exceptions=False)
