"""The page for everybody: every size of screen, enlarged, dark, calm, right to left, and whatever was written."""

import json
from urllib.parse import urlencode

import httpx
import pytest

from processor.faces.auth.doors import Doors
from processor.faces.auth.tokens import TokenFile, add_token
from processor.faces.middleware.shell import Shell
from tests.bundles.browser import Browser
from tests.faces.page.stage import DESKTOP, HOSTILE, MARKUP, PHONE, SERIOUS, TABLET, begin, press_button
from tests.patience import PATIENCE_S
from tests.served import InMemory, served

NAME = f"{MARKUP}{'w' * 100}"
TWICE = (320, 450)  # CSS pixels that are left of 640 px of a screen at 200 %
WIDTH = "document.documentElement.scrollWidth"


@pytest.fixture(scope="module")
def hostile(service):
    """A session in which everything that people can write is markup, turns text around, or does not end."""
    with httpx.Client(base_url=service.url, timeout=PATIENCE_S) as http:
        session_id = begin(http, NAME, HOSTILE, "\u202bأريد أن أشرب\u202c")
        path = f"/v1/sessions/{session_id}"
        for route, told in (
            ("notes", {"text": HOSTILE}),
            ("context", {"context": {MARKUP: HOSTILE}}),
            ("tags", {"add": [MARKUP, "w" * 60]}),
            ("status", {"status": "w" * 60}),
            ("messages", {"source": MARKUP, "performer_id": NAME, "text": HOSTILE, HOSTILE: HOSTILE}),
        ):
            http.post(f"{path}/{route}", json=told).raise_for_status()
        link = http.post(f"{path}/shares", json={"expires_in_s": 3600}).raise_for_status().json()["url"]
    return {
        "list": ("/", "a.session"),
        "filters": (f"/?{urlencode({'tag': MARKUP, 'has_notes': 'true'})}", "a.session"),
        "overview": ("/?view=overview", "caption"),
        "person": (f"/?{urlencode({'user': NAME})}", "[role=heading]"),
        "session": (f"/?session={session_id}", ".row"),
        "shared": (link.removeprefix(service.url), ".row"),
    }


@pytest.fixture
def checked(browser, axe):
    """A function that returns what axe-core finds serious on the page that is shown."""
    browser.call("Page.setBypassCSP", enabled=True)

    def check():
        browser.run(axe)
        return browser.run(SERIOUS)

    yield check
    browser.call("Page.setBypassCSP", enabled=False)


@pytest.fixture
def preferring(browser):
    """A function that sets what the reader prefers, such as `prefers-color-scheme`."""

    def prefer(**features):
        told = [{"name": name.replace("_", "-"), "value": value} for name, value in features.items()]
        browser.call("Emulation.setEmulatedMedia", features=told)

    yield prefer
    browser.call("Emulation.setEmulatedMedia", features=[])


def show(browser: Browser, service: InMemory, view: tuple[str, str], window: tuple[int, int] = PHONE) -> None:
    path, there = view
    browser.open(f"{service.url}{path}", width=window[0], height=window[1])
    browser.wait_for(f"document.querySelector({json.dumps(there)})")
    browser.settle()


VIEWS = pytest.mark.parametrize("name", ["list", "filters", "overview", "person", "session", "shared"])


@VIEWS
def test_nothing_that_was_written_runs_or_breaks_the_page(browser, service, hostile, name):
    """Names, notes, context, tags, phrases; it is as wide as the screen on all sizes, and from right to left."""
    for window in (PHONE, TWICE, TABLET, DESKTOP):
        show(browser, service, hostile[name], window)
        assert browser.run(WIDTH) <= window[0], window
        browser.run("document.documentElement.dir = 'rtl'")
        browser.settle()
        assert browser.run(WIDTH) <= window[0], (window, "right to left")
        assert browser.run("document.querySelector('img')") is None
        assert browser.errors == []
        assert [url for url in browser.requests if not url.startswith((service.url, "data:"))] == []


@VIEWS
def test_it_is_accessible(browser, service, hostile, checked, preferring, name):
    """axe-core finds nothing serious on a phone that is dark, and on a desktop that is light."""
    for window, scheme in ((PHONE, "dark"), (DESKTOP, "light")):
        preferring(prefers_color_scheme=scheme)
        show(browser, service, hostile[name], window)
        assert checked() == []


@pytest.mark.parametrize("button", ["Note", "Tag", "Share", "End", "Why is it as it is?"])
def test_dialogs_are_accessible(browser, service, hostile, checked, button):
    """On a phone they fit; Escape closes them, and the keyboard is where it was."""
    show(browser, service, hostile["session"])
    browser.wait_for("document.querySelector('#acting:not([hidden])')")
    named = f"(one) => one.textContent.trim() === {json.dumps(button)}"
    browser.run(f"[...document.querySelectorAll('button')].find({named}).focus()")
    press_button(browser, button)
    browser.wait_for("document.querySelector('dialog[open]')")
    assert checked() == []
    assert browser.run(WIDTH) <= PHONE[0]
    box = browser.run(
        "(({ left, right }) => [left, right])(document.querySelector('dialog[open]').getBoundingClientRect())"
    )
    assert 0 <= box[0] < box[1] <= PHONE[0]
    browser.press("Escape")
    browser.wait_for("!document.querySelector('dialog[open]')")
    assert browser.run("document.activeElement.textContent.trim()") == button


def test_the_door_is_accessible(browser, checked, tmp_path):
    """Who has no token yet is asked for one; a wrong one is told, and the field is ready for the next."""
    file = tmp_path / "tokens.json"
    token = add_token(file, "ruth", "reviewer", frozenset("*"))
    with served(tmp_path, shell=Shell(doors=Doors(TokenFile(file, lambda error: None)))) as service:
        for window in (PHONE, DESKTOP):
            show(browser, service, ("/", "#token"), window)
            assert browser.run("document.activeElement.id") == "token"
            assert checked() == []
            browser.press(*"a3cp_wrong", "Enter")
            browser.wait_for("document.querySelector('[role=alert]').textContent")
            assert checked() == []
        browser.run(f"document.getElementById('token').value = {json.dumps(token)}")
        browser.press("Enter")
        browser.wait_for("document.querySelector('.sessions')")
        assert browser.run("document.getElementById('who').textContent").startswith("ruth")
        press_button(browser, "Sign out")
        browser.wait_for("document.querySelector('#token')")


@pytest.mark.parametrize("name", ["list", "session"])
def test_nothing_moves_for_who_wants_it_calm(browser, service, hostile, preferring, name):
    """With `prefers-reduced-motion` there is no animation, and nothing glides."""
    show(browser, service, hostile[name])
    assert name != "list" or browser.run("document.getAnimations().length") > 0
    preferring(prefers_reduced_motion="reduce")
    browser.settle()
    assert browser.run("document.getAnimations().length") == 0
    assert browser.run("getComputedStyle(document.documentElement).scrollBehavior") == "auto"
