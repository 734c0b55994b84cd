"""The timeline's page: nothing in a session can become part of it, it needs no network, and it says what happened."""

import base64
import json
import re
import shutil
import subprocess
from hashlib import sha256
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from processor.exporter.bundle import Target, write_bundle
from processor.exporter.model import SessionView
from processor.exporter.timeline import json_in_script
from tests.exporter.views import CODEC, NOW_MS, day_view, day_views, made_view, varied

HOSTILE = (
    "<script>alert(1)</script>",
    "</script><script>alert(1)</script>",
    "<!--<script>",
    "]]><img src=x onerror=alert(1)>",
    '" onmouseover="alert(1)" \'',
    "javascript:alert(1)",
    "&lt;b&gt;&amp;",
    "\u2028\u2029",
    "@@data@@ @@script@@ @@facts@@",
    "${alert(1)} {{7*7}}",
)
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


class Page(HTMLParser):
    """What a parser makes of the page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.inside: dict[str, list[str]] = {}
        self._open = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self._open = tag + ("#data" if dict(attrs).get("id") == "data" else "")

    def handle_endtag(self, tag: str) -> None:
        self._open = ""

    def handle_data(self, data: str) -> None:
        self.inside.setdefault(self._open, []).append(data)

    @property
    def data(self) -> Any:
        return json.loads("".join(self.inside["script#data"]))


def page_of(tmp_path: Path, view: SessionView) -> str:
    written = write_bundle(Target(str(tmp_path)), view, CODEC, now_ms=NOW_MS)
    return (Path(written.path) / "timeline.html").read_text("utf-8")


@pytest.mark.parametrize("hostile", HOSTILE)
def test_nothing_in_a_session_becomes_part_of_the_page(tmp_path, hostile):
    """Hostile ids, notes and phrases change no element, and arrive in the data as they were."""
    tame, wild = (
        Page(
            page_of(
                tmp_path / folder,
                made_view(
                    [{"source": text, "output_phrase": text, text: {text: text}, "performer_id": text}],
                    user_id=text, session_id=text, notes=(text,),
                ),
            )
        )
        for folder, text in (("tame", "tame"), ("wild", hostile))
    )  # fmt: skip
    assert [tag for tag, _ in wild.elements] == [tag for tag, _ in tame.elements]
    assert [sorted(attributes) for _, attributes in wild.elements] == [
        sorted(attributes) for _, attributes in tame.elements
    ]
    message = next(entry for entry in wild.data["timeline"] if entry["kind"] == "message")
    assert message["record"]["output_phrase"] == hostile
    assert message["record"][hostile] == {hostile: hostile}
    assert wild.data["session"]["user_id"] == hostile


def test_json_in_a_script_means_the_same():
    """Nothing that could end a script block or a line is left, and the JSON reads back."""
    text = json.dumps(HOSTILE, ensure_ascii=False).encode()
    safe = json_in_script(text)
    assert not re.search(rb"[<>&]|\xe2\x80[\xa8\xa9]", safe)
    assert json.loads(safe) == list(HOSTILE)


def test_the_policy_lets_only_its_own_script_run(tmp_path):
    """The hashes in the policy are those of the page's script and style; nothing may be fetched."""
    page = Page(page_of(tmp_path, day_view("heron-07")))
    policy = next(
        attributes["content"] or ""
        for tag, attributes in page.elements
        if tag == "meta" and attributes.get("http-equiv") == "Content-Security-Policy"
    )
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules["default-src"] == "'none'"
    for tag, rule in (("script", "script-src"), ("style", "style-src")):
        text = "".join(page.inside[tag])
        assert rules[rule] == f"'sha256-{base64.b64encode(sha256(text.encode()).digest()).decode()}'"
    assert "unsafe" not in policy


def test_the_page_needs_no_network(tmp_path):
    """It names no other place: no source, no import, no font, no link but to its own lines."""
    text = page_of(tmp_path, day_view("heron-07"))
    page = Page(text)
    for tag, attributes in page.elements:
        assert not {"src", "srcset", "action", "style", "onclick", "onload"} & attributes.keys()
        assert tag not in {"link", "iframe", "object", "embed", "img", "base"}
        assert (attributes.get("href") or "#").startswith("#")
    assert not re.findall(r"@import|url\(|fetch\(|XMLHttpRequest|innerHTML|eval\(", text)
    assert set(re.findall(r"https?://[^\"' ]+", text)) <= {"http://www.w3.org/2000/svg"}


def test_the_page_says_what_happened(tmp_path):
    """Every entry is in its data; the head says whose session, how long, how much, what is worth knowing."""
    view = day_view("heron-07")
    text = page_of(tmp_path, view)
    page = Page(text)
    assert len(page.data["timeline"]) == view.session.held_count + view.session.event_count
    for words in ("Session of heron-07", "32 min", "63 (partner", " corrected", "yes, “drink”", "yes, proven"):
        assert words in text
    assert {attributes.get("lang") for tag, attributes in page.elements if tag == "html"} == {"en"}
    landmarks = {tag for tag, _ in page.elements}
    assert {"header", "main", "aside", "footer", "h1", "title", "noscript"} <= landmarks


def test_an_open_session_says_so(tmp_path):
    """Who reads it learns that there may be more."""
    assert "had not ended when this page was made" in page_of(tmp_path, made_view(varied(3), ended=False))


def test_a_page_has_its_limit(tmp_path, monkeypatch):
    """What is beyond a page's limit is counted on it, and in the other files."""
    from processor.exporter import timeline

    monkeypatch.setattr(timeline, "PAGE_ENTRIES_MAX", 10)
    data = Page(page_of(tmp_path, made_view(varied(30)))).data
    assert (len(data["timeline"]), data["left_out"]) == (10, 22)


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")
@pytest.mark.parametrize("count", [3, 20_000])
def test_a_browser_draws_it(tmp_path, count):
    """Chromium draws the lines that are in view, few of them whatever the session's length, and no error."""
    view = made_view(varied(count)) if count > 3 else day_views()[0]
    written = write_bundle(Target(str(tmp_path)), view, CODEC, now_ms=NOW_MS)
    flags = (
        "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
        "--disable-background-networking", "--disable-component-update", f"--user-data-dir={tmp_path / 'browser'}",
        "--window-size=1280,900", "--virtual-time-budget=3000", "--enable-logging=stderr", "--dump-dom",
    )  # fmt: skip
    assert CHROMIUM is not None
    ran = subprocess.run(
        [CHROMIUM, *flags, f"file://{written.path}/timeline.html"], capture_output=True, timeout=120, check=False
    )
    drawn = Page(ran.stdout.decode())
    options = [attributes for _, attributes in drawn.elements if attributes.get("role") == "option"]
    assert 3 <= len(options) < 60
    assert len([attributes for attributes in options if attributes.get("aria-selected") == "true"]) == 1
    assert b"CONSOLE" not in ran.stderr
