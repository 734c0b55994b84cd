"""What tests of the page share: how a person gets to a place in it, and what nobody should be able to do to it."""

import json

import httpx

from tests.bundles.browser import Browser
from tests.served import InMemory

DESKTOP, TABLET, PHONE = (1440, 900), (768, 1024), (360, 740)
MARKUP = "<img src=x onerror=alert(1)>"
HOSTILE = MARKUP + "\u202e\u2066" + "w" * 10_000
SERIOUS = """axe.run(document, {resultTypes: ['violations']}).then((told) => told.violations
    .filter((one) => ['serious', 'critical'].includes(one.impact)).map((one) => `${one.id}: ${one.nodes[0].html}`))"""


def begin(http: httpx.Client, user_id: str, *phrases: str) -> str:
    """Begin a session in which these phrases are spoken, and return its id."""
    session_id = str(http.post("/v1/sessions", json={"user_id": user_id}).raise_for_status().json()["session_id"])
    for phrase in phrases:
        say(http, session_id, phrase)
    return session_id


def say(http: httpx.Client, session_id: str, phrase: str) -> None:
    body = {"source": "output_planner", "output_phrase": phrase, "output_mode": "speech"}
    http.post(f"/v1/sessions/{session_id}/messages", json=body).raise_for_status()


def open_list(browser: Browser, service: InMemory, query: str = "", window: tuple[int, int] = DESKTOP) -> None:
    browser.open(f"{service.url}/{query}", width=window[0], height=window[1])
    browser.wait_for("document.querySelector('.sessions li')")


def open_session(browser: Browser, service: InMemory, session_id: str, window: tuple[int, int] = DESKTOP) -> None:
    browser.open(f"{service.url}/?session={session_id}", width=window[0], height=window[1])
    browser.wait_for("document.querySelector('#acting:not([hidden])') && document.querySelector('.row')")


def wait_until_followed(browser: Browser) -> None:
    """Wait until the session's page asks for what happens from now on."""
    while not any("/live" in url for url in browser.requests):
        browser.settle()


def wait_for_line(browser: Browser, words: str) -> None:
    """Wait until the session's page shows a line with these words."""
    rows = "[...document.querySelectorAll('.row')]"
    browser.wait_for(f"{rows}.some((row) => row.textContent.includes({json.dumps(words)}))")


def press_button(browser: Browser, words: str) -> None:
    clicked = (
        "(() => { const found = [...document.querySelectorAll('button')].find((one) => one.checkVisibility()"
        f" && one.textContent.trim() === {json.dumps(words)}); found?.click(); return Boolean(found); }})()"
    )
    assert browser.run(clicked), f"there is no button {words}"
    browser.settle()
