"""The doors of the page in a Chromium: in at a provider or with a token, out again, and what each role sees."""

import io
import json
import time
from collections.abc import Iterator
from typing import NamedTuple

import httpx
import pytest

from processor.faces.auth import cookie
from processor.faces.auth.cookie import LASTS_S, Cookies
from processor.faces.auth.doors import Doors, Role
from processor.faces.auth.oidc import OidcDoor, OidcRules, ProviderKeys
from processor.faces.auth.provider import Client, Provider
from processor.faces.auth.tokens import TokenFile, add_token
from processor.faces.middleware.shell import Shell
from processor.observe.logs import make_logger
from tests.bundles.browser import Browser, Chromium
from tests.faces.openid import CLIENT_ID, SECRET, OpenIdProvider, openid_provider
from tests.faces.page.stage import DESKTOP, begin, press_button
from tests.patience import PATIENCE_S, until
from tests.served import InMemory, served

KEY = b"k" * 32
LIST = "document.querySelector('.sessions li')"
DOOR = "document.querySelector('#token')"
NAMES = "[...document.querySelectorAll('a.session .name')].map((one) => one.textContent)"


class Site(NamedTuple):
    """A service with doors, its log, and a token of each role; sessions of two persons are there."""

    service: InMemory
    log: io.StringIO
    tokens: dict[Role, str]
    provider: OpenIdProvider
    cookies: Cookies
    mine: str  # session of heron-07, whom everybody here sees
    other: str  # session of robin-15, whom the operator alone sees

    def logged(self) -> list[dict[str, object]]:
        return [json.loads(line) for line in self.log.getvalue().splitlines()]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder, log = tmp_path_factory.mktemp("site"), io.StringIO()
    file = folder / "tokens.json"
    tokens: dict[Role, str] = {
        "producer": add_token(file, "camera", "producer", frozenset({"heron-07"})),
        "reviewer": add_token(file, "ruth", "reviewer", frozenset({"heron-07"})),
        "operator": add_token(file, "olga", "operator", frozenset({"*"})),
    }
    with openid_provider() as there:
        rules = OidcRules(there.issuer, "a3cp")
        http = httpx.AsyncClient(timeout=PATIENCE_S, limits=httpx.Limits(max_keepalive_connections=0))
        provider = Provider(OidcDoor(rules, ProviderKeys(rules, http)), Client(CLIENT_ID, SECRET), http, KEY)
        cookies = Cookies(KEY)
        shell = Shell(
            doors=Doors(TokenFile(file, lambda error: None)).with_first(provider.sign_ins), provider=provider,
            cookies=cookies, log=make_logger("serve", log_format="json", stream=log),
        )  # fmt: skip
        with served(folder, shell=shell) as service:
            there.redirects = {f"{service.url}/page/oidc"}
            there.claims = {"sub": "rosa", "a3cp_role": "reviewer", "a3cp_users": ["heron-07"]}
            headers = {"Authorization": f"Bearer {tokens['operator']}"}
            with httpx.Client(base_url=service.url, headers=headers, timeout=PATIENCE_S) as client:
                mine, other = begin(client, "heron-07", "hello"), begin(client, "robin-15", "good morning")
            yield Site(service, log, tokens, there, cookies, mine, other)


@pytest.fixture
def browser(site: Site, chromium: Chromium) -> Iterator[Browser]:
    """A page in which nobody is signed in."""
    del site
    with chromium.page() as page:
        yield page


def go(browser: Browser, site: Site, query: str = "") -> None:
    browser.open(f"{site.service.url}/{query}", width=DESKTOP[0], height=DESKTOP[1])


def sign_in(browser: Browser, site: Site, role: Role, query: str = "") -> None:
    """Sign in with the token of a role, as a person does: the form is folded below the provider's button."""
    go(browser, site, query)
    browser.wait_for(DOOR)
    browser.run("(document.querySelector('.sign-in details').open = true, document.querySelector('#token').focus())")
    browser.run(f"document.querySelector('#token').value = {json.dumps(site.tokens[role])}")
    press_button(browser, "Sign in")


def leave_by(browser: Browser, words: str) -> None:
    """Press a button that leads to another page, so nothing is waited for on this one."""
    find = f"[...document.querySelectorAll('button')].find((one) => one.textContent.trim() === {json.dumps(words)})"
    browser.wait_for(find)
    browser.run(f"({find}.click(), 0)")


def has_button(browser: Browser, words: str) -> bool:
    buttons = "[...document.querySelectorAll('button')].filter((one) => one.checkVisibility())"
    return bool(browser.run(f"{buttons}.some((one) => one.textContent.trim() === {json.dumps(words)})"))


def test_one_signs_in_at_the_provider_and_out_there_too(browser: Browser, site: Site) -> None:
    """From a link to a session, there and back to that session; the way out ends at the provider's."""
    go(browser, site, f"?session={site.mine}")
    browser.wait_for(DOOR)
    leave_by(browser, "Sign in with your organisation")
    browser.wait_for(f"location.search === '?session={site.mine}' && document.querySelector('.row')")
    browser.wait_for("document.querySelector('.kicker').textContent.includes('rosa')")
    assert browser.run("document.cookie") == "", "no script reads it"
    go(browser, site)
    browser.wait_for(LIST)
    assert browser.run(NAMES) == ["heron-07"]
    leave_by(browser, "Sign out")
    browser.wait_for("document.body?.textContent === 'signed out of a3cp page'")
    go(browser, site)
    browser.wait_for(DOOR)
    assert "rosa" not in site.log.getvalue(), "a person's name stays out of the log"


def test_going_back_after_the_way_out_shows_nobody(browser: Browser, site: Site) -> None:
    """The browser may have kept the page as it was; the next person at this device does not see it."""
    sign_in(browser, site, "reviewer", f"?session={site.mine}")
    browser.wait_for("document.querySelector('.row')")
    leave_by(browser, "Sign out")
    browser.wait_for(DOOR)
    browser.run("window.isBefore = true; history.back(); 0")
    browser.wait_for(f"!window.isBefore && {DOOR}")
    assert not browser.run("document.querySelector('.row')?.checkVisibility()")


def test_a_way_out_that_is_not_answered_is_told(browser: Browser, site: Site) -> None:
    """Else somebody would leave the device and still be signed in."""
    sign_in(browser, site, "reviewer")
    browser.wait_for(LIST)
    browser.run("fetch = () => Promise.reject(new TypeError('no network')); 0")
    press_button(browser, "Sign out")
    browser.wait_for("document.querySelector('#who').textContent.startsWith('The service does not answer.')")


def test_who_is_not_let_in_is_told_why(browser: Browser, site: Site) -> None:
    """On a calm page, in words, with the way back."""
    site.provider.refuses = "access_denied"
    try:
        go(browser, site)
        browser.wait_for(DOOR)
        leave_by(browser, "Sign in with your organisation")
        browser.wait_for("document.body?.textContent.includes('You have not been let in')")
    finally:
        site.provider.refuses = None
    browser.run("(document.querySelector('a').click(), 0)")
    browser.wait_for(DOOR)


@pytest.mark.parametrize(
    ("role", "sees", "adds", "steers", "operates"),
    [
        ("producer", ["heron-07"], False, True, False),
        ("reviewer", ["heron-07"], True, False, False),
        ("operator", ["robin-15", "heron-07"], True, True, True),
    ],
)
def test_each_role_sees_what_it_may(
    browser: Browser, site: Site, role: Role, sees: list[str], *, adds: bool, steers: bool, operates: bool
) -> None:
    """Whose sessions, which buttons, and the operators' corner; an address that is typed in leads no further."""
    sign_in(browser, site, role)
    browser.wait_for(LIST)
    assert sorted(browser.run(NAMES)) == sorted(sees)
    places = browser.run("[...document.querySelectorAll('#places a')].map((one) => one.textContent)")
    assert ("Operations" in places) is operates
    go(browser, site, "?view=operations")
    browser.wait_for("document.querySelector(\".corner section, [role='alert']\")")
    assert browser.run("document.querySelector('.corner section') !== null") is operates
    go(browser, site, f"?session={site.mine}")
    browser.wait_for("document.querySelector('#acting:not([hidden])')")
    assert (has_button(browser, "Note"), has_button(browser, "Share")) == (adds, adds)
    assert (has_button(browser, "Pause"), has_button(browser, "End")) == (steers, steers)
    go(browser, site, f"?session={site.other}")
    if "robin-15" in sees:
        browser.wait_for("document.querySelector('.row')")
    else:
        browser.wait_for("document.querySelector('#title').textContent !== ''")
        assert "good morning" not in browser.run("document.body.textContent")
    go(browser, site, "?view=overview")
    browser.wait_for("document.querySelector('main h1')")
    browser.settle()
    assert ("robin-15" in browser.run("document.body.textContent")) is ("robin-15" in sees)


@pytest.mark.parametrize("query", ["", "?session="])
def test_the_end_of_a_sign_in_is_said_before_it_comes(browser: Browser, site: Site, query: str) -> None:
    """Ten minutes before, by the service's clock; at the end the page asks to sign in, and shows no words any more."""
    query += site.mine if query else ""

    def began(ago_s: float) -> None:
        value = site.cookies.value_of(site.tokens["reviewer"], int(time.time() - ago_s))
        browser.call("Network.setCookie", name=cookie.NAME, value=value, url=site.service.url)
        go(browser, site, query)
        shown = "document.querySelector('.row, .sessions li') && document.body.textContent.includes('ruth')"
        browser.wait_for(f"({shown}) || {DOOR}")  # On a slow machine the end may come first.

    began(LASTS_S - 700)
    assert "You are signed in until" not in browser.run("document.body.textContent")
    began(LASTS_S - 590)
    browser.wait_for("document.body.textContent.includes('You are signed in until')")
    began(LASTS_S - 8)
    browser.wait_for(DOOR)
    asked = [request for request in browser.requests if request.endswith("/page/me")]
    assert len(asked) == 2, "asked once at the end, not again and again until the service agrees"
    assert "hello" not in browser.run("document.body.textContent")


@pytest.mark.parametrize("query", ["", "?session="])
def test_who_is_out_meanwhile_is_asked_to_sign_in(browser: Browser, site: Site, query: str) -> None:
    """A device that slept through the end of its sign-in finds out as its line is taken up again; nothing old stays."""
    query += site.mine if query else ""
    held = "window.woken = new Promise((wake) => { window.wake = wake; }); const real = fetch;"
    held += " window.fetch = async (...asked) => { if (/live/.test(asked[0])) await woken; return real(...asked); };"
    browser.call("Page.addScriptToEvaluateOnNewDocument", source=held)
    sign_in(browser, site, "reviewer", query)
    browser.wait_for("document.querySelector('.row, .sessions li')")
    browser.call("Network.clearBrowserCookies")
    browser.run("wake()")
    browser.wait_for(DOOR)
    assert "hello" not in browser.run("document.body.textContent")


def test_every_view_of_a_session_is_in_the_access_log(browser: Browser, site: Site) -> None:
    """Whose token, which session as a hash, when; whether the page shows it or something is exported from it."""
    sign_in(browser, site, "reviewer")
    browser.wait_for(LIST)
    before = len(site.logged())
    browser.run("document.querySelector('a.session').click()")
    browser.wait_for("document.querySelector('.row')")
    browser.wait_for("document.querySelector('#acting:not([hidden])')")

    def seen() -> list[dict[str, object]]:
        return [line for line in site.logged()[before:] if line["operation"] == "lines_of_session"]

    until(seen)  # The line is written once the answer is sent.
    first, *_ = seen()
    assert str(first["session_id"]).startswith("#")
    told = first["metadata"]
    assert isinstance(told, dict)
    assert (told["caller"], told["status"]) == ("ruth", 200)
    assert site.mine not in site.log.getvalue()
    assert site.tokens["reviewer"] not in site.log.getvalue()
