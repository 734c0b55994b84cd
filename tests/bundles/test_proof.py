"""The proof on a timeline's page, computed in the reader's browser: exact about what is wrong."""

import re
from collections.abc import Callable
from contextlib import closing
from itertools import repeat
from pathlib import Path

import pytest

from processor.bundles.page import checkable, page
from processor.sessions.forms.timeline import Spool, message_line, spooled
from processor.sessions.model import SessionView
from tests.bundles.browser import Browser
from tests.odd_records import json_records, shipped_records
from tests.sessions.views import CODEC, day_view, made_view

DIGEST = "The messages are not those that the session's digest tells of."
SHOWN = "Message 3 is shown otherwise than it came."
CONTENTS = "Your browser has computed this now, from the messages as they came."
WRONG = "Do not rely on this page:"
SIX = [{"transcript": f"word {number}"} for number in range(1, 7)]


def page_of(view: SessionView, *, contents: bool = True, pinned: str | None = None) -> str:
    """The page of a session; with the messages as they came, or without."""
    with closing(spooled(view, CODEC)) as timeline, closing(Spool()) as came:
        for row in view.messages():
            line, content = message_line(row, CODEC)
            came.add(line.at_ms, line.rank, checkable(row, content))
        for event in view.events():  # Their places among the messages: a start is first, an end is last.
            came.add(event.timestamp_ms, 0 if event.kind == "started" else 3, None)
        parts = page(view.session, timeline, contents=came if contents else repeat(b""), pinned=pinned)
        return b"".join(parts).decode()


def told(browser: Browser, tmp_path: Path, text: str) -> tuple[str, list[str]]:
    """What the page says of itself: how, and in which sentences."""
    file = tmp_path / "page.html"
    file.write_text(text, "utf-8", newline="\n")
    browser.open(file, width=1280, height=900)
    browser.run(
        "new Promise((done) => { const look = () => document.querySelector('#proof.right, #proof.wrong')"
        " ? done(0) : setTimeout(look, 5); look(); })"
    )
    assert browser.errors == []
    lines: list[str] = browser.run("[...document.getElementById('proof').children].map((each) => each.textContent)")
    return browser.run("document.getElementById('proof').className"), lines


def changed(text: str, change: Callable[[list[str]], list[str]]) -> str:
    """The page with other lines of messages; the first line is the start's, the last one the end's."""
    begin, lines, end = re.split(r'(?<=id="lines">)(.*?)(?=</script>)', text, maxsplit=1, flags=re.DOTALL)
    first, *messages, last = lines.splitlines()
    return "\n".join([f"{begin}{first}", *change(messages), f"{last}\n{end}"])


def test_a_whole_session_is_complete_and_unaltered(browser: Browser, tmp_path: Path) -> None:
    """The browser computes the digest that the session's end tells of."""
    view = day_view("heron-07")
    how, lines = told(browser, tmp_path, page_of(view))
    assert how == "proof right"
    assert lines[0] == "Complete and unaltered: 63 of 63 messages."
    assert lines[2] == f"Digest: {view.session.expected_digest}"


def test_an_open_session_is_unaltered_until_then(browser: Browser, tmp_path: Path) -> None:
    """Nothing is said of what may come."""
    how, lines = told(browser, tmp_path, page_of(made_view(SIX, ended=False)))
    assert (how, lines[:2]) == ("proof right", ["Unaltered: 6 messages until then.", CONTENTS])


def test_without_contents_it_says_what_is_not_checked(browser: Browser, tmp_path: Path) -> None:
    """The fingerprints alone prove that no message is missing, and no more."""
    how, lines = told(browser, tmp_path, page_of(made_view(SIX), contents=False))
    assert (how, lines[0]) == ("proof right", "Nothing is missing: 6 of 6 messages.")
    assert lines[1].endswith("Whether the contents belong to them is not checked here.")
    how, lines = told(browser, tmp_path, page_of(made_view([*SIX, {"is_partial": True}])))
    assert (how, lines[0]) == ("proof right", "Nothing is missing: 7 of 7 messages.")
    assert lines[1].endswith("is not checked here for 1 message.")


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (lambda lines: [line.replace("word 3", "word 9") for line in lines], "Message 3 is not as it came."),
        (lambda lines: [*lines[:2], lines[2].split("\t")[0] + '\t[]\t"{"', *lines[3:]], "Message 3 is not as it came."),
        (lambda lines: [*lines[:2], shown_otherwise(lines[2]), *lines[3:]], SHOWN),
        (lambda lines: [*lines[:2], *lines[3:]], "Message 3 is missing."),
        (lambda lines: [*lines[:2], *lines[4:]], "Message 3 is missing, and 1 after it."),
        (lambda lines: [*lines[:3], *lines[2:]], "Message 3 is here twice."),
        (lambda lines: lines[:-1], "5 messages here; 6 are told of."),
        (lambda lines: [*lines, lines[-1].replace('"message",6', '"message",7')], "7 messages here; 6 are told of."),
        (lambda lines: [renumbered(line) for line in lines], DIGEST),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said(
    browser: Browser, tmp_path: Path, change: Callable[[list[str]], list[str]], fault: str
) -> None:
    """A message that was changed, left out, doubled, added or moved is found, and named."""
    how, lines = told(browser, tmp_path, changed(page_of(made_view(SIX)), change))
    assert (how, lines[0]) == ("proof wrong", WRONG)
    assert fault in lines
    assert "proven" not in browser.run("document.getElementById('facts').textContent")


def shown_otherwise(line: str) -> str:
    """What is shown is changed, and the message beside it is not."""
    head, rest, content = line.split("\t")
    return "\t".join((head, rest.replace("word 3", "word 9"), content))


def renumbered(line: str) -> str:
    """Messages 3 and 4 change places."""
    return line.replace('"message",3,', '"message",X,').replace('"message",4,', '"message",3,').replace("X,", "4,", 1)


def test_what_was_promised_is_compared_too(browser: Browser, tmp_path: Path) -> None:
    """A session may be whole, and still not the one that was shared."""
    how, lines = told(browser, tmp_path, page_of(made_view(SIX), pinned="0" * 64))
    assert (how, lines) == ("proof wrong", [WRONG, DIGEST])


def test_many_faults_are_counted(browser: Browser, tmp_path: Path) -> None:
    """Few are named."""
    how, lines = told(browser, tmp_path, changed(page_of(made_view(SIX * 2)), lambda lines: lines * 2))
    assert (how, len(lines), lines[-1]) == ("proof wrong", 7, "And 8 more faults.")


def test_messages_of_every_length(browser: Browser, tmp_path: Path) -> None:
    """The script's SHA-256 is right however much is missing to a whole block."""
    how, lines = told(browser, tmp_path, page_of(made_view({"transcript": "x" * length} for length in range(130))))
    assert how == "proof right", lines


def test_odd_messages_raise_no_alarm(browser: Browser, tmp_path: Path) -> None:
    """Whatever is legal in a record is found unaltered."""
    view = made_view([*json_records().values(), *shipped_records().values()])
    how, lines = told(browser, tmp_path, page_of(view))
    assert how == "proof right", lines
