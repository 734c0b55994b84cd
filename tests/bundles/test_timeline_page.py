"""The timeline's page: nothing in a session can become part of it, it needs no network, and it says what happened."""

import base64
import json
import re
from contextlib import closing
from dataclasses import replace
from hashlib import sha256
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from processor.bundles.bundle import write_bundle
from processor.bundles.page import json_in_script, page
from processor.sessions.forms.timeline import spooled
from processor.sessions.model import SessionView
from processor.targets.target import Target
from processor.upstream.vocabulary import QUIET
from processor.upstream.words import LANGUAGES, table
from tests.bundles.browser import Browser
from tests.sessions.views import CODEC, NOW_MS, day_view, made_view, varied

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
        self._open = f"script#{name}" if (name := dict(attrs).get("id")) in ("data", "lines") else tag

    def handle_endtag(self, tag: str) -> None:
        self._open = ""

    def handle_data(self, data: str) -> None:
        self.inside.setdefault(self._open, []).append(data)

    @property
    def data(self) -> Any:
        return json.loads("".join(self.inside["script#data"]))

    @property
    def entries(self) -> list[Any]:
        """What its script makes of the lines: the head of each, and its record."""
        lines = [line.split("\t") for line in "".join(self.inside["script#lines"]).splitlines()]
        told = [(json.loads(head), json.loads(rest)) for head, rest in lines]
        shapes = self.data["shapes"]
        return [(head, dict(zip(shapes[rest[4]], rest[5:], strict=True))) for head, rest in told]


def page_of(tmp_path: Path, view: SessionView) -> str:
    written = write_bundle(Target(str(tmp_path)), view, CODEC, now_ms=NOW_MS)
    return (Path(written.path) / "timeline.html").read_text("utf-8")


def test_the_page_has_the_words_of_all_faces(tmp_path: Path) -> None:
    """The tables that lists and terminals use, in every language."""
    data = Page(page_of(tmp_path, day_view("heron-07"))).data
    for language in LANGUAGES:
        only_served = {"service": table(language)["service"]}
        assert {**data["words"][language], **only_served} == table(language)
    assert data["quiet"] == list(QUIET)


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
    record = next(record for head, record in wild.entries if head[0] == "message")
    assert record["output_phrase"] == hostile
    assert record[hostile] == {hostile: hostile}
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
    assert len(page.entries) == view.session.held_count + view.session.event_count
    for words in (
        "Session of heron-07",
        "32 min",
        "63 (user 3, carer 4, system 56)",
        " corrected",
        "yes, “drink”",
        "yes, proven",
    ):
        assert words in text
    assert {attributes.get("lang") for tag, attributes in page.elements if tag == "html"} == {"en"}
    landmarks = {tag for tag, _ in page.elements}
    assert {"header", "main", "aside", "footer", "h1", "title", "noscript"} <= landmarks


def test_an_open_session_says_so(tmp_path):
    """Who reads it learns that there may be more."""
    assert "had not ended when this page was made" in page_of(tmp_path, made_view(varied(3), ended=False))


def test_a_page_has_its_limit():
    """What is beyond a page's limit is counted on it."""
    view = made_view(varied(30))
    with closing(spooled(view, CODEC)) as entries:
        made = Page(b"".join(page(view.session, entries, entries_max=10)).decode())
    assert len(made.entries) == 10
    assert made.data["notices"] == [["notice_left_out", {"shown": 10, "left_out": 22}]]


# --- in a browser -----------------------------------------------------------------------------------------------------

DESKTOP, PHONE = (1280, 900), (390, 844)
EVENTS = (3, 300, 20_000)
SIZES = [(count, window) for count in EVENTS for window in (DESKTOP, PHONE)]
SELECTED = "document.querySelector('.row[aria-selected=true]')"
DRAWN_MAX = 60  # lines in the document, however long the session is


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    """The pages of sessions with so many events: a start, a note, an end and messages."""
    root = Target(str(tmp_path_factory.mktemp("pages")))
    views = {count: made_view(varied(count - 3), session_id=f"of_{count}", notes=("He is tired.",)) for count in EVENTS}
    views[3] = made_view(varied(1), session_id="of_3")
    written = {count: write_bundle(root, view, CODEC, now_ms=NOW_MS).path for count, view in views.items()}
    return {count: Path(path) / "timeline.html" for count, path in written.items()}


def is_in_sight(browser: Browser, element: str) -> bool:
    """Whether all of an element is in the window, and below what sticks to its top."""
    return bool(
        browser.run(
            f"""(() => {{
                const box = {element}.getBoundingClientRect(), top = document.getElementById("sticky");
                return box.top >= top.getBoundingClientRect().bottom - 1 && box.bottom <= innerHeight + 1;
            }})()"""
        )
    )


def assert_sound(browser: Browser, page: Path, window: tuple[int, int]) -> None:
    """The page has said nothing to the console, asked for nothing but itself, and is as wide as the window."""
    assert browser.errors == []
    assert set(browser.requests) == {page.as_uri()}
    assert browser.run("document.documentElement.scrollWidth") <= window[0]


@pytest.mark.parametrize(("count", "window"), SIZES)
def test_a_browser_draws_it(browser, pages, count, window):
    """The lines in view are drawn, few of them whatever the session's length: at its start, middle and end."""
    browser.open(pages[count], width=window[0], height=window[1])
    for part in (0, 0.5, 1):
        browser.run(f"scrollTo(0, {part} * document.documentElement.scrollHeight)")
        browser.settle()
        drawn = browser.run("document.querySelectorAll('[role=option]').length")
        assert 3 <= drawn < DRAWN_MAX
        rows_in_sight = browser.run(
            "[...document.querySelectorAll('.row')].filter((row) => { const box = row.getBoundingClientRect();"
            " return box.bottom > 0 && box.top < innerHeight; }).length"
        )
        assert rows_in_sight > 2
        assert_sound(browser, pages[count], window)


@pytest.mark.parametrize(("count", "window"), SIZES)
def test_the_keyboard_reaches_every_line(browser, pages, count, window):
    """Tab comes to the list, arrows walk it, End shows its last line, Enter opens it, Escape closes it on a phone."""
    browser.open(pages[count], width=window[0], height=window[1])
    for _ in range(18):
        browser.press("Tab")
        if browser.run("document.activeElement.id") == "list":
            break
    assert browser.run("document.activeElement.id") == "list"
    browser.press("Home", "ArrowDown")
    assert browser.run(f"{SELECTED}.ariaPosInSet") == "2"
    assert browser.run(f"{SELECTED}.id === document.getElementById('list').getAttribute('aria-activedescendant')")
    browser.press("End", "Enter")
    assert browser.run(f"{SELECTED}.ariaPosInSet === {SELECTED}.ariaSetSize")
    assert is_in_sight(browser, SELECTED)
    assert "ended" in browser.run("document.querySelector('#details h2').textContent")
    assert_sound(browser, pages[count], window)
    browser.press("Escape")
    assert browser.run("document.getElementById('details').hidden") == (window == PHONE)
    assert browser.run("document.activeElement.id") == "list"
    browser.press("/", "z", "z")
    assert browser.run("document.getElementById('query').value") == "zz"


def test_the_details_say_why_a_message_does_not_conform(browser, tmp_path):
    """In plain words, with the flag's own."""
    view = day_view("heron-07")
    row = next(row for row in view.messages() if "nonconforming" in row.flags)
    page_of(tmp_path, view)
    (page,) = tmp_path.rglob("timeline.html")
    browser.open(page, width=1280, height=900, fragment=f"#seq={row.seq}")
    told = browser.run("document.querySelector('#details').textContent")
    assert "Not to the letter. It lacks something that A3CP asks of a message. Its content is unchanged. Why: " in told
    assert "it has no id of its own." in told


def test_the_details_name_the_trace(browser, tmp_path):
    """For developers, of a line that has one."""
    view, trace_id = day_view("heron-07"), "0af7651916cd43dd8448eb211c80319c"
    rows = [row._replace(trace_id=trace_id if row.seq == 1 else None) for row in view.messages()]
    page_of(tmp_path, replace(view, messages=lambda: iter(rows)))
    (page,) = tmp_path.rglob("timeline.html")
    for seq in (1, 2):
        browser.open(page, width=1280, height=900, fragment=f"#seq={seq}")
        told = browser.run("document.querySelector('#details').textContent")
        assert (f"Trace id{trace_id}" in told) == (seq == 1)


@pytest.fixture
def heron(browser: Browser, tmp_path: Path) -> Path:
    """The page of a session of the demo's day, open in the browser."""
    page_of(tmp_path, day_view("heron-07"))
    (page,) = tmp_path.rglob("timeline.html")
    browser.open(page, width=1440, height=3000)
    return page


ROWS = "[...document.querySelectorAll('.row')].map((row) => [row.className.split(' ')[1], row.textContent])"


def test_the_users_lane_has_what_the_user_expressed(browser, heron):
    """What was signed and spoken is the user's; a recording is one line of the system's."""
    rows = browser.run(ROWS)
    of_user = [text for voice, text in rows if voice == "user"]
    for words in ("Signed: “drink” (81 % sure)", "Spoken: “I would like a drink.”", "Signed: “more” (44 % sure)"):
        assert any(text.endswith(words) for text in of_user)
    assert [voice for voice, text in rows if "Camera, 2 s, 1" in text] == ["system"] * 3


def test_a_filtered_list_says_what_it_hides(browser, heron):
    """Between its lines stand the numbers of those not shown; a silence is told only where all is shown."""
    all_of_it = browser.run(ROWS)
    assert sum(text.endswith("without messages") for _, text in all_of_it) == 4
    assert not any(kind == "hidden" for kind, _ in all_of_it)
    browser.run("document.getElementById('notable').click()")
    browser.settle()
    rows = browser.run(ROWS)
    assert ["hidden", "23 lines not shown"] in rows
    beside = [index for index, (kind, _) in enumerate(rows) if kind == "hidden"]
    assert all(rows[index + 1][0] != "idle" for index in beside if index + 1 < len(rows))
    told = sum(int(text.split()[0]) for kind, text in rows if kind == "hidden")
    assert browser.run("document.getElementById('count').textContent") == f"{68 - told} of 68 lines shown"
    browser.run("document.querySelector('.row.hidden').click()")
    browser.settle()
    assert browser.run(ROWS) != rows
    assert not browser.run("document.querySelector('.row.hidden')")


def test_playback_goes_from_line_to_line(browser, heron):
    """It plays, pauses, steps, and finds what is notable; the pace can be changed."""
    position = f"Number({SELECTED}.ariaPosInSet)"
    browser.run("document.getElementById('next').click()")
    assert browser.run(position) == 2
    browser.run("document.getElementById('play').click()")
    assert browser.run("document.getElementById('play').ariaLabel") == "Pause"
    browser.run(
        f"new Promise((done) => {{ const look = () => ({position} > 4 ? done(0) : setTimeout(look, 50)); look(); }})"
    )
    browser.press(" ")
    assert browser.run("document.getElementById('play').ariaLabel") == "Play"
    stopped = browser.run(position)
    browser.run("document.getElementById('next-notable').click()")
    assert browser.run(position) > stopped
    assert "Note by carer-02" in browser.run(f"{SELECTED}.textContent")
    browser.run("document.getElementById('speed').click()")
    assert browser.run("document.getElementById('speed').textContent").endswith("16×")


def test_the_page_speaks_the_readers_language(browser, tmp_path):
    """Every text, number and time of it; what people said stays as they said it."""
    page_of(tmp_path, day_view("heron-07"))
    (page,) = tmp_path.rglob("timeline.html")
    browser.call("Emulation.setUserAgentOverride", userAgent="test", acceptLanguage="de-AT,en")
    browser.open(page, width=1440, height=900)
    browser.press("?")
    shown = browser.run("document.body.innerText")
    browser.call("Emulation.setUserAgentOverride", userAgent="test", acceptLanguage="en-GB")
    assert browser.run("document.documentElement.lang") == "de"
    for text in ("Sitzung von heron-07", "Donnerstag, 20. November 2025", "63 (Nutzer 3, Begleitung 4, System 56)"):
        assert text in shown
    for text in ("Gebärdet: „drink“ (81 % sicher)", "11 Minuten ohne Nachrichten", "Wie man diese Seite liest"):
        assert text in shown
    english = set(table("en")["page"].values()) - set(table("de")["page"].values())
    assert [text for text in english if len(text) > 12 and text in shown] == []


@pytest.mark.parametrize("width", [360, 768, 1440])
def test_hostile_content_breaks_no_layout(browser, tmp_path, width):
    """Markup, marks that turn text around and words of 10,000 characters: nothing runs, nothing is too wide."""
    texts = (*HOSTILE, "\u202etxet dedils\u2066", "שלום \u200f(x)", "w" * 10_000, "\u0335\u0489" * 2_000)
    contents = [{"output_phrase": text, "output_mode": "speech", "source": text, text: text} for text in texts]
    view = made_view(contents, user_id="u" * 10_000, notes=texts, session_id="hostile")
    page_of(tmp_path, view)
    (page,) = tmp_path.rglob("timeline.html")
    browser.open(page, width=width, height=900)
    browser.run("window.alert = () => { window.ran = true; }")
    for index in range(browser.run("Number(document.querySelector('.row').ariaSetSize)")):
        browser.press("ArrowDown", "Enter") if index else browser.run("document.getElementById('list').focus()")
        assert browser.run("document.documentElement.scrollWidth") <= width
    browser.press("/", "<")
    browser.run("new Promise((done) => setTimeout(done, 200))")
    assert browser.run("window.ran") is None
    assert_sound(browser, page, (width, 900))


@pytest.mark.parametrize("window", [DESKTOP, PHONE])
@pytest.mark.parametrize(("count", "seq"), [(3, 1), (300, 5), (300, 290), (20_000, 15_000), (20_000, 19_997)])
def test_a_link_opens_its_line(browser, pages, count, window, seq):
    """Also one that is folded with others like it, or far down."""
    browser.open(pages[count], width=window[0], height=window[1], fragment=f"#seq={seq}")
    assert browser.run("document.querySelector('#details').hidden") is False
    assert f"number {seq} of the session" in browser.run("document.querySelector('#details').textContent")
    assert is_in_sight(browser, SELECTED)
    assert_sound(browser, pages[count], window)


@pytest.mark.parametrize("count", [3, 300])
def test_it_prints(browser, pages, count):
    """On paper stand all lines, no buttons; afterwards the page is as before."""
    browser.open(pages[count], width=DESKTOP[0], height=DESKTOP[1])
    before = browser.run("document.querySelectorAll('.row').length")
    browser.run("addEventListener('beforeprint', () => { window.printed = document.querySelectorAll('.row').length; })")
    sheets = len(re.findall(rb"/Type */Page\b", browser.pdf()))
    assert browser.run("printed") == int(browser.run("document.querySelector('.row').ariaSetSize"))
    assert (sheets == 1) if count == 3 else (3 < sheets < 30)
    browser.settle()
    assert browser.run("document.querySelectorAll('.row').length") == before
    browser.call("Emulation.setEmulatedMedia", media="print")
    hidden = browser.run("getComputedStyle(document.querySelector('.tools')).display")
    browser.call("Emulation.setEmulatedMedia", media="")
    assert hidden == "none"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(("count", "window"), SIZES[:4])  # Of 20,000 no more is drawn than of 300.
def test_axe_finds_no_serious_problem(browser, pages, axe, count, window, scheme):
    """Neither as it opens, nor with a line's details, nor with the help open."""
    browser.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
    browser.open(pages[count], width=window[0], height=window[1])
    browser.run(f"{axe}; 0")
    for keys in ((), ("Home", "ArrowDown", "Enter"), ("?",)):
        browser.press(*keys)
        told = browser.run(
            "axe.run().then((found) => ({passes: found.passes.map((one) => one.id), problems: found.violations.map("
            "(one) => [one.id, one.impact, one.nodes.map((node) => node.html).slice(0, 3)])}))"
        )
        assert {"color-contrast", "button-name"} <= set(told["passes"])
        assert [problem for problem in told["problems"] if problem[1] in ("serious", "critical")] == []
    assert browser.errors == []
