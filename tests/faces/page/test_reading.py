"""A session's page while it is read: part by part, as it grows, with its proof."""

import json

from processor.codec.isotime import format_time
from processor.faces.page.session import MESSAGES_A_TIME
from tests.bundles.browser import Browser
from tests.faces.page.stage import begin, open_session, press_button, say, wait_for_line, wait_until_followed
from tests.served import InMemory

BADGE = "document.getElementById('proof')"
DRAWN_MAX = 60  # lines in the document, however long the session is


def long_session(service: InMemory, user_id: str, count: int) -> str:
    """Begin a session of so many messages, and return its id."""
    deployment = service.deployment
    now_ms = deployment.clock.now_ms()
    for number in range(1, count + 1):
        record_id, at = f"{number:08x}-0000-4000-8000-000000000000", format_time(now_ms + number)
        told = {"schema_version": "1.0.1", "record_id": record_id, "user_id": user_id, "timestamp": at}
        said = {"source": "output_planner", "output_phrase": f"word {number}.", "output_mode": "speech"}
        deployment.broker.produce("raw", user_id, json.dumps(told | said).encode())
    deployment.run()
    session_id = deployment.view.memory.open_session(user_id)
    assert session_id is not None
    return session_id


def badge(browser: Browser) -> tuple[str, str]:
    """How the proof's badge looks once it is told, and what it says first."""
    browser.wait_for("document.querySelector('#proof.right, #proof.wrong')")
    look, first = browser.run(f"[{BADGE}.className, {BADGE}.firstChild.textContent]")
    return look, first


def test_the_badge_is_computed_as_lines_arrive(browser, service, http):
    """From the messages as they came; each that arrives is checked too, also of a person's further session at once."""
    session_id = begin(http, "proven-01", "one", "two")
    open_session(browser, service, session_id)
    assert badge(browser) == ("proof right", "Unaltered: 2 messages until then.")
    say(http, session_id, "three")
    browser.wait_for(f"{BADGE}.textContent.includes('3 messages')")
    assert badge(browser) == ("proof right", "Unaltered: 3 messages until then.")
    http.post(f"/v1/sessions/{session_id}/end", json={}).raise_for_status()
    browser.wait_for(f"{BADGE}.textContent.includes('3 of 3')")
    assert badge(browser) == ("proof right", "Complete and unaltered: 3 of 3 messages.")


def test_a_message_that_is_changed_on_its_way_turns_the_badge_red(browser, service, http):
    """It is named, and what comes after it makes the badge green no more."""
    session_id = begin(http, "forged-01", "tired", "calm")
    script = "const real = fetch; fetch = async (...of) => { const answer = await real(...of); const text = await"
    script += " answer.text(); return new Response(text.replaceAll('tired', 'happy'), answer); };"
    added = browser.call("Page.addScriptToEvaluateOnNewDocument", source=script)["identifier"]
    try:
        open_session(browser, service, session_id)
    finally:
        browser.call("Page.removeScriptToEvaluateOnNewDocument", identifier=added)
    assert badge(browser) == ("proof wrong", "Do not rely on this page:")
    assert "Message 1 is not as it came." in browser.run(f"{BADGE}.textContent")


def test_a_long_session_is_read_part_by_part(browser, service):
    """All of it is there in the end, proven, and few lines are drawn."""
    count = 2 * MESSAGES_A_TIME + 7
    session_id = long_session(service, "long-01", count)
    open_session(browser, service, session_id)
    browser.wait_for("document.querySelector('#proof.right')")
    assert badge(browser)[1] == "Unaltered: 4,007 messages until then."
    assert browser.run("document.getElementById('count').textContent") == "4,008 lines"
    assert browser.run("document.querySelectorAll('.row').length") < DRAWN_MAX
    browser.open(f"{service.url}/?session={session_id}#seq={count}", width=1280, height=900)
    browser.wait_for(f"document.querySelector('.row[aria-selected=true]')?.textContent.includes('word {count}.')")
    assert browser.errors == []


def test_who_reads_elsewhere_is_told_of_new_lines(browser, service, http):
    """Nothing moves under the reader's eyes; who goes to the end sees them, and is told no more."""
    session_id = begin(http, "away-01", *(f"phrase {number}" for number in range(60)))
    open_session(browser, service, session_id, (1280, 700))
    browser.run("scrollTo(0, 900)")
    browser.settle()
    seen = "[...document.querySelectorAll('.row')].map((row) => [row.textContent, row.getBoundingClientRect().top])[9]"
    before = browser.run(seen)
    for phrase in ("one more", "two more", "three more"):
        say(http, session_id, phrase)
    browser.wait_for("document.getElementById('new-lines').textContent === '3 new lines'")
    assert browser.run(seen) == before
    browser.run("document.getElementById('new-lines').click()")
    browser.settle()
    assert "three more" in browser.run("[...document.querySelectorAll('.row')].at(-1).textContent")
    assert browser.run("document.getElementById('new-lines').hidden")


def test_a_tag_is_taken_off_and_its_history_stays(browser, service, http):
    """It says who put it there; the keyboard alone takes it off; the line that tells of it is still there."""
    session_id = begin(http, "tagged-01", "hello")
    http.post(f"/v1/sessions/{session_id}/tags", json={"add": ["music"], "performer_id": "anna"}).raise_for_status()
    open_session(browser, service, session_id)
    browser.run("document.querySelector('#tags button').focus()")
    browser.press(" ")
    assert "“music”: added by anna, " in browser.run("document.getElementById('ask-what').textContent")
    press_button(browser, "Take it off")
    browser.wait_for("document.getElementById('tags').childElementCount === 0")
    rows = "[...document.querySelectorAll('.row')].map((row) => row.textContent).join()"
    assert "Tags changed by anna: music" in browser.run(rows)
    browser.wait_for(f"{rows}.includes('without music')")
    assert http.get(f"/v1/sessions/{session_id}").json()["tags"] == []


def test_what_is_typed_in_a_dialog_stays_there(browser, service, http):
    """The page's own keys do not count while somebody writes a note."""
    open_session(browser, service, begin(http, "typing-01", "hello"))
    press_button(browser, "Note")
    browser.press(*"why? n/p")
    assert browser.run("document.getElementById('ask-text').value") == "why? n/p"
    assert not browser.run("document.getElementById('help').open")
    browser.run("document.getElementById('ask').close()")


def test_versions_are_set_side_by_side(browser, service, http):
    """An evaluation came after the end: what is new, that nothing is gone, and the session as it stood before."""
    session_id = begin(http, "revised-01", "one", "two")
    http.post(f"/v1/sessions/{session_id}/end", json={}).raise_for_status()
    open_session(browser, service, session_id)
    assert browser.run("document.getElementById('versions-button').hidden")
    http.post(f"/v1/sessions/{session_id}/evaluation", json={"overall_score": 82}).raise_for_status()
    browser.wait_for("!document.getElementById('versions-button').hidden")
    assert "late" not in browser.run("document.getElementById('facts').textContent")
    press_button(browser, "Versions")
    browser.wait_for("document.getElementById('versions').open")
    cells = "[...row.cells].map((cell) => cell.textContent)"
    rows = browser.run(f"[...document.querySelectorAll('#versions-table tr')].map((row) => {cells})")
    table = {name: cells for name, *cells in rows}
    assert table["Messages"] == ["2", "3"]
    assert table["Proof"] == ["unaltered: they are those that this end told of"] * 2
    changes = browser.run("[...document.querySelectorAll('#versions-changes li')].map((line) => line.textContent)")
    assert changes[0] == "New: 2 lines."
    assert changes[1].startswith("No line is gone")
    assert changes[2].endswith("Evaluation: 82")
    browser.run("document.querySelector('#versions-table a').click()")
    browser.wait_for("location.search.includes('as_of') && document.querySelector('#acting .notice')")
    assert badge(browser) == ("proof right", "Complete and unaltered: 2 of 2 messages.")
    assert "Evaluation" not in browser.run("document.getElementById('list').textContent")
    assert browser.run("[...document.querySelectorAll('[data-act]')].every((button) => button.hidden)")
    assert browser.errors == []


def test_a_line_that_is_lost_is_said(browser, service, http):
    """Else nobody would know that what is shown may be old; once it is back, what was missed is there."""
    session_id = begin(http, "lost-01", "hello")
    open_session(browser, service, session_id)
    wait_until_followed(browser)
    browser.run("window.real = fetch; fetch = () => Promise.reject(new TypeError('no network')); 0")
    say(http, session_id, "meanwhile")
    lost = "document.getElementById('lost').textContent"
    browser.wait_for(f"{lost}.startsWith('The service has not answered since ')")
    browser.run("fetch = real; 0")
    wait_for_line(browser, "meanwhile")
    assert browser.run(lost) == ""


def test_who_asks_too_often_is_answered_later(browser, service, http):
    """As when many read at once: the page asks again, and nothing is left out."""
    session_id = begin(http, "often-01", "hello")
    open_session(browser, service, session_id)
    wait_until_followed(browser)
    browser.run(
        """
        window.real = fetch;
        fetch = () => { fetch = real; return Promise.resolve(new Response("{}", { status: 429 })); }; 0
        """
    )
    say(http, session_id, "meanwhile")
    wait_for_line(browser, "meanwhile")
    assert browser.run("document.getElementById('lost').textContent") == ""


def test_a_line_that_is_lost_as_soon_as_the_session_is_shown(browser, service, http):
    """The session stays there, and is followed once the service answers."""
    session_id = begin(http, "lost-02", "hello")
    script = browser.call(
        "Page.addScriptToEvaluateOnNewDocument",
        source="""
        const real = fetch;
        const isAway = () => document.querySelector(".row") && !window.isBack;
        window.fetch = (...request) => isAway() ? Promise.reject(new TypeError("no network")) : real(...request);
        """,
    )
    open_session(browser, service, session_id)
    browser.call("Page.removeScriptToEvaluateOnNewDocument", **script)  # Other tests have the same page.
    browser.wait_for("document.getElementById('wrong').textContent.startsWith('The service does not answer.')")
    browser.wait_for("document.getElementById('lost').textContent.startsWith('The service has not answered since ')")
    say(http, session_id, "meanwhile")
    browser.run("window.isBack = true")
    wait_for_line(browser, "meanwhile")
    assert browser.run("document.getElementById('title').textContent") == "Session of lost-02"
    assert browser.errors == []


def test_who_comes_back_sees_what_happened_meanwhile(browser, service, http):
    """The browser may have kept the page as it was, and it is followed again."""
    session_id = begin(http, "back-01", "hello")
    open_session(browser, service, session_id)
    browser.run("document.querySelector('.kicker a').click()")
    browser.wait_for("document.querySelector('.sessions li')")
    say(http, session_id, "meanwhile")
    browser.run("history.back(); 0")
    for words in ("meanwhile", "right now"):
        wait_for_line(browser, words)
        say(http, session_id, "right now")


def test_a_message_that_came_late_stands_where_it_belongs(browser, service, http):
    """Among the lines of its own time, above those that the reader looks at, which do not move."""
    session_id = begin(http, "belated-01", *(f"phrase {number}" for number in range(60)))
    early = http.get(f"/v1/sessions/{session_id}/messages?after_seq=2&limit=1").json()["messages"][0]["timestamp"]
    open_session(browser, service, session_id, (1280, 700))
    browser.run("scrollTo(0, 1500)")
    browser.settle()
    seen = "[...document.querySelectorAll('.row')].map((row) => [row.textContent, row.getBoundingClientRect().top])"
    before = browser.run(seen)[25]
    body = {"source": "output_planner", "output_phrase": "belated", "output_mode": "speech", "timestamp": early}
    http.post(f"/v1/sessions/{session_id}/messages", json=body).raise_for_status()
    browser.wait_for("document.getElementById('count').textContent === '62 lines'")
    assert before in browser.run(seen)
    browser.run("scrollTo(0, 0)")
    browser.settle()
    texts = [text for text, _ in browser.run(seen)]
    place = next(index for index, text in enumerate(texts) if "belated" in text)
    assert "phrase 2" in texts[place - 1]
    browser.wait_for(f"{BADGE}.textContent.includes('61 messages')")
    assert badge(browser) == ("proof right", "Unaltered: 61 messages until then.")
