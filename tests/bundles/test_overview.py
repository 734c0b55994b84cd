"""index.html of a root and of its dates: who reads it finds each session, and nobody who was removed."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from processor.bundles import overview
from processor.bundles.writing import BundleWriter, write_index
from processor.removal.clearing import clear
from processor.sessions.due import hand_on
from processor.sessions.ports import SessionFilter
from processor.store import open_store
from processor.store.sql import SqlStore
from processor.targets.target import Target
from tests.bundles.browser import Browser
from tests.sessions.exporting import applied
from tests.sessions.outputs import CODEC, START_MS, message, processed

HOUR_MS = 3_600_000
MARKUP = "<b>'mia'</b>"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqlStore]:
    """Sessions of three users on two days, one with a note at its start and one with markup for a name."""
    records = [
        message("ann", 0, command="start", performer_id="carer-1", session_notes="Tired <today>."),
        message("ann", 60_000, transcript="hello"),
        message("ann", 90_000, command="end", performer_id="carer-1"),
        message("bob", 30 * HOUR_MS, label_status="corrected", label_correction="eat"),
        message(MARKUP, 31 * HOUR_MS, transcript="hello"),
    ]
    opened = applied(open_store(f"sqlite:///{tmp_path / 'store.db'}"), processed(records))
    yield opened
    opened.close()


def export(store: SqlStore, root: Path, wanted: SessionFilter = SessionFilter()) -> None:  # noqa: B008
    writer = BundleWriter(store.reader, Target(str(root)), CODEC, now_ms=lambda: START_MS)
    hand_on(store.ledger, writer, wanted)
    write_index(store, writer)


def rows_of(page: Path) -> list[str]:
    return re.findall(r"<tr><td>.*?</tr>", page.read_text("utf-8"))


def test_a_root_says_what_is_in_it(store: SqlStore, tmp_path: Path) -> None:
    """The latest first, each with a link that leads to its timeline: user, length, notes, what is notable, proof."""
    root = tmp_path / "root"
    export(store, root)
    rows = rows_of(root / "index.html")
    assert [next(user for user in ("ann", "bob", "mia") if user in row) for row in rows] == ["mia", "bob", "ann"]
    assert "corrected" in rows[1]
    assert "Tired &lt;today&gt;." in rows[2]
    assert ">yes, proven<" in rows[2]
    assert "&lt;b&gt;" in rows[0]
    links = re.findall(r'href="([^"]+)"', "".join(rows))
    assert all((root / link).is_file() for link in links)
    days = sorted({link.split("/")[0] for link in links})
    assert [len(rows_of(root / day / "index.html")) for day in days] == [1, 2]
    for day in days:
        for link in re.findall(r'href="([^"]+)"', (root / day / "index.html").read_text("utf-8")):
            assert (root / day / link).is_file()


def test_it_is_kept_current(store: SqlStore, tmp_path: Path) -> None:
    """Another session comes into it; a page that says the same already is not written again."""
    root = tmp_path / "root"
    export(store, root, SessionFilter(owner="ann"))
    assert len(rows_of(root / "index.html")) == 1
    export(store, root)
    assert len(rows_of(root / "index.html")) == 3
    before = (root / "index.html").stat().st_mtime_ns
    writer = BundleWriter(store.reader, Target(str(root)), CODEC, now_ms=lambda: START_MS)
    write_index(store, writer, all_dates=True)
    assert (root / "index.html").stat().st_mtime_ns == before


def test_who_is_removed_is_not_in_it(store: SqlStore, tmp_path: Path) -> None:
    """Neither in the root's page nor in that of the date; with the last session of a date its page goes."""
    root = tmp_path / "root"
    export(store, root)
    cleared = clear(Target(str(root)), lambda user_id, _: user_id in ("ann", "bob"))
    assert (cleared.bundles, cleared.others) == (2, ())
    assert not [path for path in root.rglob("*.html") if re.search(r"\b(ann|bob)\b", path.read_text("utf-8"))]
    assert len(rows_of(root / "index.html")) == 1
    assert len(list(root.glob("*/index.html"))) == 1
    clear(Target(str(root)), lambda *_: True)
    assert not list(root.rglob("*.html"))


def test_a_long_root_has_links_to_earlier_days(
    store: SqlStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whole dates stand in it, and the others are one click away."""
    monkeypatch.setattr(overview, "ROWS_MAX", 1)
    root = tmp_path / "root"
    export(store, root)
    page = (root / "index.html").read_text("utf-8")
    assert len(rows_of(root / "index.html")) == 2
    (earlier,) = re.findall(r'<li><a href="([^"]+)">', page)
    assert "ann" in (root / earlier).read_text("utf-8")


@pytest.mark.parametrize("width", [360, 768, 1440])
def test_a_browser_shows_it_in_its_language(browser: Browser, store: SqlStore, tmp_path: Path, width: int) -> None:
    """In German here; nothing runs but its own script, nothing is fetched, and it is as wide as the window."""
    root = tmp_path / "root"
    export(store, root)
    page = root / "index.html"
    browser.call("Emulation.setUserAgentOverride", userAgent="test", acceptLanguage="de-DE")
    browser.open(page, width=width, height=900)
    shown = browser.run("document.body.innerText")
    assert (browser.errors, set(browser.requests)) == ([], {page.as_uri()})
    assert browser.run("document.documentElement.scrollWidth") <= width
    assert "Sitzungen" in shown
    assert "ja, bewiesen" in shown
    assert "berichtigt" in shown
    assert MARKUP in shown
    browser.screenshot(tmp_path / f"{width}.png")
