"""The page as a person uses it: in a Chromium, over a service on a log in memory."""

import httpx
import pytest

from processor.upstream.words import LANGUAGES, table
from tests.faces.page.stage import (
    PHONE,
    begin,
    open_list,
    open_session,
    press_button,
    say,
    wait_for_line,
)
from tests.patience import PATIENCE_S

ROWS = "document.querySelectorAll('a.session')"


def test_a_session_is_found_by_a_word_and_by_its_person(browser, service, http):
    """What is typed stands in the address, so that a link shows the same."""
    begin(http, "finder-01", "a purple balloon")
    begin(http, "finder-02", "a green tree")
    open_list(browser, service)
    browser.run("document.querySelector('input[type=search]').focus()")
    browser.press(*"balloon")
    browser.wait_for("location.search === '?q=balloon'")
    browser.wait_for(f"{ROWS}.length === 1 && {ROWS}[0].textContent.includes('finder-01')")
    open_list(browser, service, "?user_id=finder-02&status=open")
    assert browser.run(f"{ROWS}.length") == 1
    assert "finder-02" in browser.run(f"{ROWS}[0].textContent")
    assert browser.errors == []


def test_the_keyboard_finds_and_opens(browser, service, http):
    """`/` goes to the search, the arrows through the list, Enter opens a session."""
    session_id = begin(http, "keys-01", "hello")
    open_list(browser, service, "?user_id=keys-01")
    browser.press("/")
    assert browser.run("document.activeElement.type") == "search"
    browser.run("document.activeElement.blur()")
    browser.run("document.querySelector('main').focus()")
    browser.press("ArrowDown")
    assert "keys-01" in browser.run("document.activeElement.textContent")
    browser.run("document.activeElement.click()")
    browser.wait_for(f"location.search === '?session={session_id}' && document.querySelector('.row')")


def test_a_new_session_is_told_and_moves_nothing(browser, service, http):
    """The list stays as it is until the reader wants the new ones; one that ends is shown as ended."""
    first = begin(http, "live-01", "hello")
    open_list(browser, service, "?user_id=live-01")
    assert browser.run(f"{ROWS}[0].querySelector('.live') !== null")
    begin(http, "live-01", "hello again")
    browser.wait_for("document.querySelector('.fresh button')?.textContent === '1 new session'")
    assert browser.run(f"{ROWS}.length") == 1
    http.post(f"/v1/sessions/{first}/end", json={}).raise_for_status()
    browser.wait_for(f"{ROWS}[0].querySelector('.live') === null")
    browser.run("document.querySelector('.fresh button').click()")
    browser.wait_for(f"{ROWS}.length === 2")


def test_a_session_is_read_while_it_runs(browser, service, http):
    """What is said appears without a reload, in the user's lane; the line that was chosen stays chosen."""
    session_id = begin(http, "reader-01", "first words")
    open_session(browser, service, session_id)
    assert browser.run("document.getElementById('title').textContent") == "Session of reader-01"
    chosen = "document.querySelector('.row[aria-selected=true]').textContent"
    before = browser.run(chosen)
    say(http, session_id, "I want a drink")
    wait_for_line(browser, "I want a drink")
    assert browser.run(chosen) == before
    assert browser.errors == []


def test_a_note_is_added_and_nothing_is_edited(browser, service, http):
    """A note and a tag come into the session; there is no way to change or delete what is there."""
    session_id = begin(http, "noted-01", "hello")
    open_session(browser, service, session_id)
    press_button(browser, "Note")
    assert "edited or deleted" in browser.run("document.querySelector('.rights').textContent")
    assert not browser.run("document.querySelector('.rights').hidden")
    browser.press(*"calm today")
    press_button(browser, "Add the note")
    wait_for_line(browser, "calm today")
    press_button(browser, "Tag")
    browser.press(*"music")
    press_button(browser, "Add the tag")
    browser.wait_for("document.getElementById('tags').textContent === 'music'")
    assert http.get(f"/v1/sessions/{session_id}").json()["note_count"] == 1


def test_an_end_is_asked_about_first(browser, service, http):
    """No means no; yes ends the session, and then it is not offered again. What takes a note now is told."""
    session_id = begin(http, "ended-01", "hello")
    open_session(browser, service, session_id)
    press_button(browser, "End")
    assert "cannot be taken back" in browser.run("document.getElementById('ask-what').textContent")
    assert browser.run("document.querySelector('.rights').hidden"), "nothing is added under the reader's name"
    press_button(browser, "No")
    assert http.get(f"/v1/sessions/{session_id}").json()["status"] == "active"
    press_button(browser, "End")
    press_button(browser, "Yes")
    browser.wait_for("document.querySelector('[data-act=end]').hidden")
    assert http.get(f"/v1/sessions/{session_id}").json()["end_reason"] == "command"
    press_button(browser, "Note")
    assert "press “Bookmark”" in browser.run("document.getElementById('ask-what').textContent")
    assert browser.run("document.getElementById('ask-text').hidden")
    press_button(browser, "Why is it as it is?")
    browser.wait_for("document.querySelectorAll('#reasons-list li').length >= 2")


def test_what_the_service_does_not_answer_is_told(browser, service, http):
    """Whatever button was pressed, the reader reads that nothing came of it."""
    open_session(browser, service, begin(http, "away-01", "hello"))
    browser.run("window.fetch = () => Promise.reject(new TypeError('Failed to fetch'))")
    for words in ("Why is it as it is?", "Share"):
        browser.run("document.getElementById('wrong').textContent = ''")
        press_button(browser, words)
        browser.wait_for("document.getElementById('wrong').textContent.startsWith('The service does not answer.')")


def test_nobody_writes_a_note_twice(browser, service, http):
    """What the service does not take stands there again; after the session's end it goes with a bookmark."""
    session_id = begin(http, "kept-01", "hello")
    open_session(browser, service, session_id)
    written = "document.getElementById('ask-text').value"
    press_button(browser, "Note")
    browser.press(*"calm")
    browser.run("window.real = fetch; fetch = () => Promise.reject(new TypeError('no network')); 0")
    press_button(browser, "Add the note")
    browser.wait_for("document.getElementById('wrong').textContent.startsWith('The service does not answer.')")
    browser.run("fetch = real; 0")
    press_button(browser, "Note")
    assert browser.run(written) == "calm"
    http.post(f"/v1/sessions/{session_id}/end").raise_for_status()
    browser.wait_for("document.querySelector('[data-act=end]').hidden")
    press_button(browser, "Add the note")
    browser.wait_for("document.getElementById('wrong').textContent.startsWith('This session has ended')")
    browser.run("document.querySelector('.row.user').click()")
    press_button(browser, "Bookmark")
    assert browser.run(written) == "calm"
    press_button(browser, "Mark it")
    browser.wait_for("document.getElementById('bookmarks').textContent.includes('calm')")
    press_button(browser, "Bookmark")
    assert browser.run(written) == ""


@pytest.mark.parametrize(
    ("instead", "told"),
    [
        ("throw new TypeError('the answer is lost')", "The service does not answer."),
        ("return new Response('', {status: 502})", "HTTP 502"),  # As a proxy in between says it.
    ],
)
def test_a_note_whose_answer_is_lost_is_written_once(browser, service, http, instead, told):
    """The reader presses again, and it is the same note; written anew later, it is another one."""
    session_id = begin(http, "lost-01", "hello")
    open_session(browser, service, session_id)
    count = f"/v1/sessions/{session_id}"
    press_button(browser, "Note")
    browser.press(*"calm")
    browser.run(
        """
        window.real = fetch;
        fetch = async (...request) => {
          const answer = await real(...request);
          if (request[1].method === "POST") {INSTEAD};
          return answer;
        }; 0
        """.replace("{INSTEAD}", instead)
    )
    press_button(browser, "Add the note")
    browser.wait_for(f"document.getElementById('wrong').textContent.startsWith('{told}')")
    assert http.get(count).json()["note_count"] == 1
    browser.run("fetch = real; 0")
    press_button(browser, "Note")
    press_button(browser, "Add the note")
    browser.wait_for("document.getElementById('wrong').textContent === ''")
    press_button(browser, "Note")
    browser.press(*"calm")
    press_button(browser, "Add the note")
    browser.wait_for(
        "[...document.querySelectorAll('.row')].filter((row) => row.textContent.includes('calm')).length > 1"
    )
    assert http.get(count).json()["note_count"] == 2


def test_a_link_is_shared_and_taken_back(browser, service, http):
    """Who has the link reads the session without a token, until it is taken back."""
    session_id = begin(http, "shared-01", "hello")
    open_session(browser, service, session_id)
    press_button(browser, "Share")
    browser.wait_for("document.getElementById('ask-what').textContent.includes('without signing in')")
    press_button(browser, "Make the link")
    browser.wait_for("document.querySelector('#shares[open] input')")
    link = browser.run("document.querySelector('#shares input').value")
    assert httpx.get(link, timeout=PATIENCE_S).status_code == 200
    open_session(browser, service, session_id)
    press_button(browser, "Share")
    browser.wait_for("document.querySelector('#shares[open] input')")
    assert browser.run("document.querySelector('#shares input').value") == link
    press_button(browser, "Make another link")
    press_button(browser, "Make the link")
    browser.wait_for("document.querySelectorAll('#shares[open] input').length === 2")
    press_button(browser, "Take back")
    browser.wait_for("document.querySelectorAll('#shares[open] input').length === 1")
    press_button(browser, "Take back")
    browser.wait_for("!document.querySelector('#shares[open]')")
    assert httpx.get(link, timeout=PATIENCE_S).status_code == 410
    assert [each["status"] for each in http.get(f"/v1/sessions/{session_id}/shares").json()["shares"]] == [
        "revoked"
    ] * 2


def test_a_session_that_is_not_there(browser, service):
    """It is said in one sentence that leads back to the list, and no tool stands beside it that would do nothing."""
    browser.open(f"{service.url}/?session=sess_nowhere", width=PHONE[0], height=PHONE[1])
    browser.wait_for("document.querySelector('#title').textContent.startsWith('This session is not here.')")
    assert not browser.run("document.querySelector('main').checkVisibility()")
    browser.run("document.querySelector('.kicker a').click()")
    browser.wait_for("document.querySelector('.sessions')")
    browser.errors.clear()  # The browser itself notes the 404.


def test_each_language_says_all() -> None:
    """What is said is in the table of every language."""
    service = [table(language)["service"] for language in LANGUAGES]
    assert [{part: set(words) for part, words in one.items()} for one in service[1:]] == [
        {part: set(words) for part, words in service[0].items()}
    ]


def test_german(browser, service, http):
    """The words are the reader's, dates too."""
    begin(http, "deutsch-01", "hallo")
    browser.call("Emulation.setLocaleOverride", locale="de-DE")
    browser.call("Network.setUserAgentOverride", userAgent="test", acceptLanguage="de-DE")
    try:
        open_list(browser, service, "?user_id=deutsch-01")
        assert browser.run("document.querySelector('h1').textContent") == "Sitzungen"
        assert browser.run("document.querySelector('h2').textContent") == "heute"
        browser.open(f"{service.url}/?session=sess_nowhere", width=PHONE[0], height=PHONE[1])
        browser.wait_for("document.querySelector('#title').textContent.startsWith('Diese Sitzung gibt es hier nicht.')")
    finally:
        browser.call("Emulation.setLocaleOverride")
        browser.call("Network.setUserAgentOverride", userAgent="", acceptLanguage="")
