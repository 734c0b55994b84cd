"""Bookmarks on the page: marked by keyboard or by hand, listed, jumped to, found again; never edited."""

import httpx
import pytest

from tests.bundles.browser import Browser
from tests.faces.page.stage import (
    DESKTOP,
    MARKUP,
    PHONE,
    begin,
    open_list,
    open_session,
    press_button,
    say,
    wait_for_line,
)

STARRED = "document.querySelectorAll('.row.starred').length"
LISTED = "[...document.querySelectorAll('#bookmarks:not([hidden]) li')].map((one) => one.textContent.slice(9))"
ASKED = "document.getElementById('ask-what').textContent"


def end(http: httpx.Client, session_id: str) -> None:
    http.post(f"/v1/sessions/{session_id}/end").raise_for_status()


def fill(browser: Browser, text: str) -> None:
    """Type a text at once."""
    browser.call("Input.insertText", text=text)


def test_a_moment_is_marked_by_keyboard_alone(browser, service, http):
    """Of a session that has ended too. The list leads back to it, and the line has a star."""
    session_id = begin(http, "marked-01", "first words", "a drink", "last words")
    end(http, session_id)
    open_session(browser, service, session_id)
    browser.run("document.getElementById('list').focus()")
    browser.press("Home", "ArrowDown", "ArrowDown", "b")
    assert "Spoken: “a drink”" in browser.run(ASKED)
    assert "cannot be edited or deleted" in browser.run(ASKED)
    fill(browser, "asked by herself")
    browser.press("Tab", " ")
    browser.wait_for(f"{LISTED}.length === 1")
    assert browser.run(LISTED) == ["Spoken: “a drink” – asked by herself"]
    assert browser.run(STARRED) == 1
    browser.run("document.getElementById('list').focus()")
    browser.press("End")
    browser.run("document.querySelector('#bookmarks a').focus()")
    browser.press("Enter")
    assert "a drink" in browser.run("document.querySelector('.row[aria-selected=true]').textContent")
    assert browser.errors == []


def test_on_a_phone_the_line_that_is_read_is_marked(browser, service, http):
    """The button stands beside the details, which cover the others; without a line there is no moment to mark."""
    session_id = begin(http, "marked-05", "a drink", "last words")
    end(http, session_id)
    open_session(browser, service, session_id, PHONE)
    press_button(browser, "Bookmark")
    assert browser.run("document.getElementById('wrong').textContent").startswith("Choose a line first")
    browser.run("document.querySelectorAll('.row.user')[0].click()")
    browser.run("document.querySelector('#details .bookmark').click()")
    press_button(browser, "Mark it")
    browser.wait_for(f"{LISTED}.length === 1")
    assert browser.run(LISTED) == ["Spoken: “a drink”"]


def test_no_means_no_and_no_words_are_needed(browser, service, http):
    """A reader who says nothing of the moment has marked it all the same."""
    session_id = begin(http, "marked-02", "hello")
    open_session(browser, service, session_id)
    press_button(browser, "Bookmark")
    press_button(browser, "No")
    assert http.get(f"/v1/sessions/{session_id}/bookmarks").json() == {"bookmarks": []}
    press_button(browser, "Bookmark")
    press_button(browser, "Mark it")
    browser.wait_for(f"{LISTED}.length === 1")
    assert browser.run("document.querySelectorAll('#bookmarks button').length") == 0
    assert http.get(f"/v1/sessions/{session_id}").json()["event_count"] == 1  # It is no event of the session.


def test_a_session_is_read_where_its_bookmarks_cannot_be(browser, service, http):
    """What is wrong is told, and what is said appears all the same."""
    session_id = begin(http, "marked-06", "hello")
    browser.call("Network.setBlockedURLs", urls=["*/bookmarks"])
    try:
        open_session(browser, service, session_id)
        browser.wait_for("document.getElementById('wrong').textContent")
        say(http, session_id, "a drink")
        wait_for_line(browser, "a drink")
        assert browser.run("document.getElementById('title').textContent") == "Session of marked-06"
    finally:
        browser.call("Network.setBlockedURLs", urls=[])


def test_it_is_found_by_its_bookmark(browser, service, http):
    """The filter stands in the address."""
    marked, _ = begin(http, "marked-03", "hello"), begin(http, "marked-03", "hello")
    http.post(f"/v1/sessions/{marked}/bookmarks", json={"seq": 1}).raise_for_status()
    open_list(browser, service, "?user_id=marked-03")
    assert browser.run("document.querySelectorAll('a.session').length") == 2
    browser.run("document.querySelector('[name=bookmarked]').click()")
    browser.wait_for("document.querySelectorAll('a.session').length === 1")
    assert browser.run("location.search") == "?user_id=marked-03&bookmarked=true"
    assert browser.errors == []


@pytest.mark.parametrize("window", [DESKTOP, PHONE])
def test_nothing_that_was_written_breaks_bookmarks(browser, service, http, window):
    """Neither markup nor endless words, in the moment and in what is said of it."""
    session_id = begin(http, "marked-04", MARKUP + "w" * 10_000)
    http.post(f"/v1/sessions/{session_id}/bookmarks", json={"seq": 1, "text": MARKUP + "w" * 200}).raise_for_status()
    open_session(browser, service, session_id, window)
    browser.wait_for(f"{LISTED}.length === 1")
    press_button(browser, "Bookmark")
    assert browser.run("document.documentElement.scrollWidth") <= window[0]
    assert browser.run("document.getElementById('ask').scrollWidth <= document.getElementById('ask').clientWidth")
    assert browser.run("document.querySelector('img')") is None
    press_button(browser, "No")
    assert browser.errors == []
