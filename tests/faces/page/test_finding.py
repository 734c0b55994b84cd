"""Finding a session on the page: each filter, older ones, the way back, and how much is loaded for it."""

import json
import re

import httpx
import pytest

from tests.faces.page.stage import DESKTOP, begin, open_list, press_button
from tests.patience import PATIENCE_S, until

ROWS = "document.querySelectorAll('a.session')"
DAY = "new Date(Date.now() - %d * 86400000).toLocaleDateString('sv')"  # Sweden writes YYYY-MM-DD.
BYTES_MAX = 150_000  # of a first view


def choose(browser, name: str, value: str) -> None:
    """Fill a field of the form, as a person does."""
    browser.run(f"""(() => {{
        const field = document.querySelector(`.find [name={name}]`);
        if (field.type === "checkbox") field.click();
        else {{
            field.value = {json.dumps(value)};
            field.dispatchEvent(new Event(field.tagName === "SELECT" ? "change" : "input", {{ bubbles: true }}));
        }}
    }})()""")


@pytest.fixture(scope="module")
def three(service):
    """Three sessions, of which one differs from the others in all that can be asked for."""
    with httpx.Client(base_url=service.url, timeout=PATIENCE_S) as http:
        begin(http, "other-01", "a green tree")
        begin(http, "other-02")
        body = {"user_id": "wanted-01", "template": "interview"}
        path = f"/v1/sessions/{http.post('/v1/sessions', json=body).raise_for_status().json()['session_id']}"
        for route, told in (
            ("messages", {"source": "output_planner", "output_phrase": "a purple balloon", "consent_given": False}),
            ("notes", {"text": "calm"}),
            ("tags", {"add": ["music"]}),
        ):
            http.post(f"{path}/{route}", json=told).raise_for_status()
        service.deployment.advance(120_000)
        http.post(f"{path}/end", json={}).raise_for_status()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("q", "balloon"), ("user_id", "wanted-01"), ("status", "closed"), ("flag", "no_consent"), ("tag", "music"),
        ("template", "interview"), ("min_duration_s", "2"), ("has_notes", "true"),
    ],
)  # fmt: skip
def test_each_filter_finds_and_stands_in_the_address(browser, service, three, name, value):
    """Who gets the link sees the same, in the list and in the form."""
    open_list(browser, service)
    assert browser.run(f"{ROWS}.length") == 3
    choose(browser, name, value)
    is_found = f"{ROWS}.length === 1 && {ROWS}[0].textContent.includes('wanted-01')"
    browser.wait_for(f"location.search === '?{name}={value}' && {is_found}")
    open_list(browser, service, f"?{name}={value}")
    assert browser.run(is_found)
    shown = f"document.querySelector('.find [name={name}]')"
    assert browser.run(f"{shown}.type === 'checkbox' ? String({shown}.checked) : {shown}.value") == value
    assert browser.run("document.querySelector('main [role=status]').textContent") == "1 session"
    assert browser.errors == []


def test_days_are_those_of_the_reader(browser, service, three):
    """A day begins and ends where the reader is; the last one counts."""
    del three
    open_list(browser, service)
    count = browser.run(f"{ROWS}.length")
    today, yesterday = browser.run(DAY % 0), browser.run(DAY % 1)
    for query, found in (
        (f"?since={today}&until={today}", count),
        (f"?until={yesterday}", 0),
        ("?since=nonsense", count),
    ):
        open_list(browser, service, query)
        assert browser.run(f"{ROWS}.length") == found, query


def test_persons_and_kinds_are_suggested(browser, service, three):
    """Who does not know how a name is written exactly finds it in the field; nothing is asked before."""
    del three
    open_list(browser, service)
    browser.run("document.querySelector('.find details').open = true")
    assert not any("/v1/stats" in url for url in browser.requests)
    for name, value in (("user_id", "wanted-01"), ("template", "interview")):
        browser.run(f"document.querySelector('.find [name={name}]').focus()")
        browser.wait_for(
            f"[...document.querySelector('.find [name={name}]').list.options].some((one) => one.value === '{value}')"
        )


def test_what_is_refused_is_told(browser, service, three):
    """In words, and the fields stay, so that it can be put right."""
    del three
    open_list(browser, service, "?user_id=wanted-01")
    browser.open(f"{service.url}/?flag=nonsense", width=DESKTOP[0], height=DESKTOP[1])
    browser.wait_for("document.querySelector('main [role=status]')?.textContent.includes('query.flag')")
    choose(browser, "flag", "")
    browser.wait_for(f"{ROWS}.length >= 3")


def test_only_what_fits_is_told_as_new(browser, service, http):
    """A list follows what it shows now, not what it showed before."""
    begin(http, "mine-01")
    open_list(browser, service)
    choose(browser, "user_id", "mine-01")
    browser.wait_for(f"{ROWS}.length === 1")
    begin(http, "theirs-01")
    begin(http, "mine-01")
    browser.wait_for("document.querySelector('.fresh button')?.textContent === '1 new session'")
    assert browser.run("document.querySelector('.fresh').textContent") == "1 new session"


def test_a_line_that_is_lost_is_said(browser, service, http):
    """Else nobody would know that the list may be old; once it is back, what was missed is told."""
    begin(http, "lost-03")
    open_list(browser, service, "?user_id=lost-03")
    browser.run("window.real = fetch; fetch = () => Promise.reject(new TypeError('no network')); 0")
    service.deployment.view.close()
    lost = "document.querySelector('.wrong').textContent"
    browser.wait_for(f"{lost}.startsWith('The service has not answered since ')")
    begin(http, "lost-03")
    browser.run("fetch = real; 0")
    browser.wait_for("document.querySelector('.fresh button')?.textContent === '1 new session'")
    assert browser.run(lost) == ""


def test_a_line_that_is_silent_is_taken_up_again(browser, service, http):
    """A device that slept, or a network in between, may have lost it without a word."""
    begin(http, "silent-01")
    open_list(browser, service, "?user_id=silent-01")
    browser.run("window.real = setTimeout; setTimeout = (does, ms) => real(does, ms > 30_000 ? 100 : ms); 0")
    service.deployment.view.close()  # So that the next time is one of these.

    until(lambda: browser.settle() or sum("/v1/live" in url for url in browser.requests) > 3)
    browser.run("setTimeout = real; 0")
    begin(http, "silent-01")
    browser.wait_for("document.querySelector('.fresh button')?.textContent === '1 new session'")
    assert browser.errors == []


def test_older_ones_and_back_again(browser, service, http):
    """Older ones come below, and the keyboard goes on there; who comes back from a session is where they were."""
    for number in range(101):
        begin(http, f"many-{number:03d}", "a word of many")
    open_list(browser, service, "?q=many")
    assert browser.run(f"{ROWS}.length") == 50
    press_button(browser, "Show older ones")
    browser.wait_for(f"{ROWS}.length === 100 && document.activeElement === {ROWS}[50]")
    browser.press("ArrowDown", "Enter")
    browser.wait_for("new URLSearchParams(location.search).get('find') === 'many' && document.querySelector('.row')")
    browser.run("history.back()")
    # The browser may have kept the page: hidden, it is there for a moment before it is loaded anew.
    is_back = f"location.search === '?q=many' && {ROWS}.length === 100 && scrollY > 1000"
    browser.wait_for(f"{is_back} && {ROWS}[0].checkVisibility({{ visibilityProperty: true }})")
    press_button(browser, "Show older ones")
    browser.wait_for(f"{ROWS}.length === 101 && !document.querySelector('.more button')")
    names = browser.run(f"[...{ROWS}].map((row) => row.querySelector('.name').textContent)")
    assert names == [f"many-{number:03d}" for number in reversed(range(101))]


def test_a_first_view_is_small(browser, service, http):
    """Less than 150 KB come over the network for a list of 50 sessions, and for a session; once more, it is less."""
    session_id = begin(http, "small-01", *["a phrase of usual length"] * 20)
    for _ in range(50):
        begin(http, "small-02", "hello")
    browser.call("Network.clearBrowserCache")
    for query, there in (("", f"{ROWS}.length === 50"), (f"?session={session_id}", "document.querySelector('.row')")):
        taken = []
        for _ in range(2):
            browser.open(f"{service.url}/{query}", width=DESKTOP[0], height=DESKTOP[1])
            browser.wait_for(there)
            taken.append(browser.bytes_taken)
        assert taken[0] < BYTES_MAX
        assert taken[1] < taken[0] / 1.5


def test_it_prints(browser, service, http):
    """On paper stand the sessions, and all lines of one; no controls, and no sheet too many."""
    session_id = begin(http, "printed-01", *(f"phrase {number} of usual length" for number in range(60)))
    for query, there, sheets in (
        ("?user_id=printed-01", f"{ROWS}.length === 1", [1]),
        (f"?session={session_id}", "document.querySelector('.row')", [2, 3, 4]),
    ):
        browser.open(f"{service.url}/{query}", width=DESKTOP[0], height=DESKTOP[1])
        browser.wait_for(there)
        browser.settle()
        assert len(re.findall(rb"/Type */Page\b", browser.pdf())) in sheets
        browser.call("Emulation.setEmulatedMedia", media="print")
        controls = "[...document.querySelectorAll('button, input, select, textarea, .kicker a, nav a')]"
        assert browser.run(f"{controls}.filter((one) => one.checkVisibility()).map((one) => one.outerHTML)") == []
        assert "printed-01" in browser.run("document.body.innerText")
        browser.call("Emulation.setEmulatedMedia", media="")
