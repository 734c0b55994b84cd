"""A person's page: a week of theirs, on the screen and on paper."""

import re
from datetime import datetime, timedelta
from urllib.parse import quote

import httpx
import pytest

from tests.bundles.browser import Browser
from tests.faces.page.stage import DESKTOP, HOSTILE, MARKUP, PHONE, SERIOUS, TABLET, begin, open_session
from tests.served import InMemory

READ = "document.querySelector('.choice button.main:not([disabled])')"
LINES = "[...document.querySelectorAll('.line')].map((line) => line.innerText.replace(/\\s+/g, ' '))"
WEEK = "document.querySelector('.week').textContent"


def open_person(
    browser: Browser, service: InMemory, user_id: str, more: str = "", window: tuple[int, int] = DESKTOP
) -> None:
    browser.open(f"{service.url}/?user={quote(user_id)}{more}", width=window[0], height=window[1])
    browser.wait_for("document.querySelector('.made')")
    browser.wait_for(f"{READ} || document.querySelector('.empty')")


def note(http: httpx.Client, session_id: str, text: str) -> None:
    http.post(f"/v1/sessions/{session_id}/notes", json={"text": text, "performer_id": "ann"}).raise_for_status()


def test_a_week_is_told_day_by_day(browser, service, http):
    """What it adds up to, what was expressed, and each session with what was said and noted."""
    first = begin(http, "week-01", "a drink", "a walk")
    note(http, first, "calm today")
    http.post(f"/v1/sessions/{first}/bookmarks", json={"seq": 2, "text": "smiled"}).raise_for_status()
    begin(http, "week-01", "a drink")
    open_person(browser, service, "week-01")
    facts = browser.run(
        "Object.fromEntries([...document.querySelectorAll('.facts div')].map((one) => one.innerText.split('\\n')))"
    )
    assert (facts["Sessions"], facts["Messages"], facts["Notes"]) == ("2", "3", "1")
    expressed = browser.run("[...document.querySelectorAll('.counted li')].map((one) => one.textContent)")
    assert expressed == ["2 × Spoken: “a drink”", "1 × Spoken: “a walk”"]
    assert browser.run("document.querySelectorAll('.day').length") == 1
    assert [line[6:] for line in browser.run(LINES)] == [
        "User Spoken: “a drink”",
        "User Spoken: “a walk” ★ smiled",
        "Carer Note by ann: “calm today”",
        "User Spoken: “a drink”",
    ]
    assert browser.run("document.title").startswith("week-01, ")
    assert "null" not in browser.run("document.querySelector('main').textContent")
    assert browser.errors == []


def test_the_week_is_chosen_by_keyboard_alone(browser, service, http):
    """Its day stands in the address; the week before has nothing, and one comes back."""
    begin(http, "week-02", "hello")
    open_person(browser, service, "week-02")
    this_week = browser.run(WEEK)
    browser.run("document.querySelector('main').focus()")
    browser.press("Tab", "Tab")
    assert browser.run("document.activeElement.textContent") == "← Week before"
    browser.press("Enter")
    browser.wait_for("document.querySelector('.empty')")
    today = datetime.now().astimezone()
    monday = today - timedelta(days=today.weekday() + 7)
    assert browser.run("location.search") == f"?user=week-02&week={monday:%Y-%m-%d}"
    assert browser.run(WEEK) != this_week
    browser.press("Tab", "Tab", "Tab")
    assert browser.run("document.activeElement.textContent") == "Week after →"
    browser.press("Enter")
    browser.wait_for(READ)
    assert browser.run(WEEK) == this_week


def test_one_comes_from_a_session_and_from_the_list(browser, service, http):
    """The week of the session is shown; a name in the overview leads there too."""
    session_id = begin(http, "week-07", "hello")
    open_session(browser, service, session_id)
    browser.run("[...document.querySelectorAll('.kicker a')].pop().click()")
    browser.wait_for(READ)
    assert browser.run("document.querySelector('.person .name').textContent") == "week-07"
    assert browser.run("document.querySelectorAll('.session-told').length") == 1
    for query in ("?user_id=week-07", "?view=overview"):
        browser.open(f"{service.url}/{query}", width=DESKTOP[0], height=DESKTOP[1])
        browser.wait_for("document.querySelector('a[href=\"/?user=week-07\"]')")


def test_any_day_names_its_week(browser, service, http):
    """A Sunday is of the week that began six days before; what is no day is left aside."""
    begin(http, "week-03", "hello")
    open_person(browser, service, "week-03", "&week=2026-03-29")  # The clocks went forward on it in Europe.
    assert browser.run(WEEK).replace("\u2009", " ") == "23 – 29 March 2026"
    assert browser.run("document.querySelector('.empty').textContent") == "There were no sessions in this week."
    open_person(browser, service, "week-03", "&week=nonsense")
    assert browser.run("document.querySelectorAll('.session-told').length") == 1


def test_a_week_on_paper(browser, service, http):
    """No controls; a heading stays with what follows it; the numbers of the sheets are on them."""
    for number in range(12):
        session_id = begin(http, "week-04", *(f"phrase {number} {each}" for each in range(6)))
        note(http, session_id, "a note that is worth keeping " * 12)
    open_person(browser, service, "week-04")
    assert len(re.findall(rb"/Type */Page\b", browser.pdf())) in range(3, 9)
    browser.call("Emulation.setEmulatedMedia", media="print")
    try:
        controls = "[...document.querySelectorAll('.top, .choice, .control, footer, button, input')]"
        assert browser.run(f"{controls}.some((one) => one.checkVisibility())") is False
        style = "new Set([...document.querySelectorAll({!r})].map((one) => getComputedStyle(one)[{!r}]))"
        assert browser.run("[..." + style.format("h2, h3, h3 + .line:not(:last-child)", "breakAfter") + "]") == [
            "avoid"
        ]
        assert browser.run("[..." + style.format(".line", "breakInside") + "]") == ["avoid"]
    finally:
        browser.call("Emulation.setEmulatedMedia", media="")


def test_the_whole_file_is_got_from_the_page(browser, service, http):
    """The page says what is in it, and the link gives it."""
    begin(http, "week-08", "hello")
    open_person(browser, service, "week-08")
    assert "index.html lists them" in browser.run("document.querySelector('.whole').textContent")
    got = browser.run(
        "fetch(document.querySelector('.whole a[download]').href).then(async (answer) =>"
        " [answer.status, answer.headers.get('content-type'), (await answer.blob()).size > 10000])"
    )
    assert got == [200, "application/zip", True]


@pytest.mark.parametrize("window", [DESKTOP, TABLET, PHONE])
def test_nothing_that_was_written_runs_or_breaks_a_week(browser, service, http, window):
    """Markup, marks that turn text around and endless words, in names, notes, tags and phrases."""
    user_id = f"{MARKUP}שרה{'w' * 150}{window[0]}"
    session_id = begin(http, user_id, HOSTILE)
    note(http, session_id, HOSTILE)
    http.post(f"/v1/sessions/{session_id}/tags", json={"add": [MARKUP]}).raise_for_status()
    open_person(browser, service, user_id, window=window)
    assert browser.run("document.querySelector('img')") is None
    assert browser.run("document.documentElement.scrollWidth") <= window[0]
    assert browser.errors == []


def test_a_week_in_german(browser, service, http):
    """Words, dates and numbers are the reader's."""
    begin(http, "week-05", "hallo")
    browser.call("Emulation.setLocaleOverride", locale="de-DE")
    browser.call("Network.setUserAgentOverride", userAgent="test", acceptLanguage="de-DE")
    try:
        open_person(browser, service, "week-05", "&week=2026-03-25")
        assert browser.run(WEEK) == "23.–29. März 2026"
        assert browser.run("document.querySelector('.empty').textContent").startswith("In dieser Woche")
        open_person(browser, service, "week-05")
        assert "Gesprochen: „hallo“" in browser.run(LINES)[0]
    finally:
        browser.call("Emulation.setLocaleOverride")
        browser.call("Network.setUserAgentOverride", userAgent="", acceptLanguage="")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_week_is_accessible(browser, axe, service, http, scheme):
    """axe-core finds nothing serious, by day and by night."""
    session_id = begin(http, "week-06", "hello")
    note(http, session_id, "calm today")
    browser.call("Page.setBypassCSP", enabled=True)
    browser.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
    try:
        open_person(browser, service, "week-06", window=(1280, 900))
        browser.run(axe)
        assert browser.run(SERIOUS) == []
    finally:
        browser.call("Page.setBypassCSP", enabled=False)
        browser.call("Emulation.setEmulatedMedia", features=[])
