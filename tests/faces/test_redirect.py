"""Signing in at an OpenID provider by redirect: there and back on real HTTP, and what an attacker tries on the way."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from fastapi.testclient import TestClient

from processor.faces.app import make_app
from processor.faces.auth.cookie import Cookies
from processor.faces.auth.doors import Asking, Caller, Doors
from processor.faces.auth.oidc import OidcDoor, OidcRules, ProviderKeys
from processor.faces.auth.provider import LASTS_S, NAME, UNDER_WAY_S, Client, Provider, SignIns
from processor.faces.middleware.ratelimits import RateLimits
from processor.faces.middleware.shell import Shell
from processor.observe.logs import make_logger
from processor.settings.sources import load
from tests.faces.openid import CLIENT_ID, SECRET, OpenIdProvider, openid_provider
from tests.patience import PATIENCE_S

KEY = b"k" * 32
ORIGIN = "https://sessions.example"
HEADERS = {"Origin": ORIGIN}


@pytest.fixture
def there() -> Iterator[OpenIdProvider]:
    with openid_provider() as running:
        running.redirects = {f"{ORIGIN}/page/oidc"}
        yield running


@contextmanager
def browser(issuer: str, *, limits: RateLimits | None = None) -> Iterator[TestClient]:
    """A new browser at a service that sends people to a provider."""
    rules = OidcRules(issuer, "a3cp")
    http = httpx.AsyncClient(timeout=PATIENCE_S)
    door = OidcDoor(rules, ProviderKeys(rules, http))
    provider = Provider(door, Client(CLIENT_ID, SECRET), http, KEY)
    shell = Shell(
        doors=Doors(door).with_first(provider.sign_ins), provider=provider, cookies=Cookies(KEY),
        limits=limits or RateLimits(), log=make_logger("serve", log_format="json"),
    )  # fmt: skip
    app = make_app(None, shell)

    @app.post("/v1/written")
    async def written(who: Asking) -> str:
        return who.name

    with TestClient(app, base_url=ORIGIN, follow_redirects=False) as client:
        yield client
        assert client.portal is not None
        client.portal.call(http.aclose)


def set_out(client: TestClient, back: str = "/") -> str:
    """Set out for the provider, and return where the browser comes back to."""
    answer = client.post("/page/oidc", json={"back": back}, headers=HEADERS)
    assert answer.status_code == 200, answer.text
    came = httpx.get(answer.json()["go_to"], timeout=PATIENCE_S)
    assert came.status_code == 303, came.text
    return came.headers["location"]


def code_in(location: str) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(location).query).items()}


def come_back(client: TestClient, query: dict[str, str]) -> Any:
    return client.get(f"/page/oidc?{urlencode(query)}")


def not_let_in(client: TestClient, answer: Any, words: str) -> None:
    """It is a calm page that says why, and no cookie came with it."""
    assert answer.status_code == 403, answer.text
    assert words in answer.text
    assert "set-cookie" not in answer.headers
    assert client.get("/page/me").status_code == 401


def test_there_and_back(there: OpenIdProvider) -> None:
    """One comes back to where one was; the cookie opens what the provider says, for an hour, for the page alone."""
    with browser(there.issuer) as client:
        assert client.get("/page/doors").json() == {"provider": True}
        location = set_out(client, "/?session=sess_1&find=a%20b")
        assert location.startswith(f"{ORIGIN}/page/oidc?")
        answer = client.get(location)
        assert (answer.status_code, answer.headers["location"]) == (303, "/?session=sess_1&find=a%20b")
        page, on_the_way = answer.headers.get_list("set-cookie")
        assert page.endswith("; Path=/; Max-Age=43200; HttpOnly; SameSite=Strict; Secure")
        assert on_the_way == f"{NAME}=; Path=/page/oidc; Max-Age=0; HttpOnly; SameSite=Lax; Secure"
        assert answer.headers["referrer-policy"] == "no-referrer"
        me = client.get("/page/me").json()
        assert (me["name"], me["role"], me["users"], me["at_provider"]) == ("ruth", "reviewer", ["heron-07"], True)
        until_s = datetime.fromisoformat(me["signed_in_until"]).timestamp()
        assert LASTS_S - 60 < until_s - time.time() <= LASTS_S
        assert client.post("/v1/written").status_code == 403
        assert client.post("/v1/written", headers={"A3CP-Page": "1"}).json() == "ruth"
    asked = there.set_out[0]
    assert len({asked["state"], asked["nonce"], asked["code_challenge"]}) == 3
    assert all(len(asked[name]) >= 43 for name in ("state", "nonce", "code_challenge"))


def test_a_code_opens_one_browser_once(there: OpenIdProvider) -> None:
    """Who has seen the address of the way back has nothing: the verifier is in the browser that set out."""
    with browser(there.issuer) as victim, browser(there.issuer) as thief:
        location = set_out(victim)
        not_let_in(thief, thief.get(location), "was begun in another browser")
        set_out(thief)
        not_let_in(thief, thief.get(location), "was begun in another browser")
        state = code_in(set_out(thief))["state"]
        answer = come_back(thief, {**code_in(location), "state": state})
        not_let_in(thief, answer, "gave no answer that can be used")
        assert victim.get(location).status_code == 403, "the code was tried once already"


def test_nobody_is_signed_in_as_somebody_else(there: OpenIdProvider) -> None:
    """An address of the way back with the attacker's code does not sign in a browser that did not set out."""
    with browser(there.issuer) as attacker, browser(there.issuer) as victim:
        not_let_in(victim, victim.get(set_out(attacker)), "was begun in another browser")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"iss": "https://elsewhere.example"}, "gave no answer"),
        ({"state": ""}, "begun in another browser"),
        ({"state": "é"}, "begun in another browser"),
        ({"code": ""}, "gave no answer"),
        ({"error": "access_denied"}, "not been let in"),
        ({"error": "<script>alert(1)</script>"}, "gave no answer"),
    ],
)
def test_what_comes_back_changed(there: OpenIdProvider, change: dict[str, str], words: str) -> None:
    """Nothing of it reaches the page."""
    with browser(there.issuer) as client:
        answer = come_back(client, {**code_in(set_out(client)), **change})
        not_let_in(client, answer, words)
        assert "script" not in answer.text


@pytest.mark.parametrize(
    ("claims", "words"),
    [
        ({"nonce": "another"}, "gave no answer"),
        ({"nonce": None}, "gave no answer"),
        ({"aud": "a3cp"}, "gave no answer"),
        ({"aud": [CLIENT_ID, "other"], "azp": "other"}, "gave no answer"),
        ({"iss": "https://elsewhere.example"}, "gave no answer"),
        ({"exp": 1}, "gave no answer"),
        ({"a3cp_role": "chief"}, "not given you a role"),
        ({"a3cp_users": [f"user-{number:04}" for number in range(1_000)]}, "not given you a role"),
    ],
)
def test_what_the_provider_must_say(there: OpenIdProvider, claims: dict[str, Any], words: str) -> None:
    """The token must be for this client, of this sign-in, from this provider; and it names a role."""
    there.claims |= claims
    with browser(there.issuer) as client:
        not_let_in(client, client.get(set_out(client)), words)


def test_a_token_of_another_key(there: OpenIdProvider, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the provider has not signed lets nobody in."""
    with browser(there.issuer) as client:
        other = ec.generate_private_key(ec.SECP256R1())
        encode = jwt.encode
        monkeypatch.setattr(
            "tests.faces.openid.jwt.encode", lambda said, _, *more, **named: encode(said, other, *more, **named)
        )
        not_let_in(client, client.get(set_out(client)), "gave no answer")


@pytest.mark.parametrize(
    "back", ["//evil.example", "https://evil.example", "/\\evil.example", "/x", "", "/?a\r\nSet-Cookie: b=c", "/?é"]
)
def test_one_comes_back_to_the_page_alone(there: OpenIdProvider, back: str) -> None:
    """Whatever a link has asked for."""
    with browser(there.issuer) as client:
        assert client.get(set_out(client, back)).headers["location"] == "/"


def test_only_a_page_of_this_service_sets_out(there: OpenIdProvider) -> None:
    """Another origin cannot make a browser sign in; without one nobody knows where to come back to."""
    with browser(there.issuer) as client:
        assert client.post("/page/oidc", json={}, headers={"Origin": "https://evil.example"}).status_code == 403
        assert client.post("/page/oidc", json={}).status_code == 422
    assert not there.set_out


def test_the_way_takes_ten_minutes_at_most(there: OpenIdProvider, monkeypatch: pytest.MonkeyPatch) -> None:
    """Then one sets out anew."""
    with browser(there.issuer) as client:
        location = set_out(client)
        late = time.time() + UNDER_WAY_S + 1
        monkeypatch.setattr("cryptography.fernet.time.time", lambda: late)
        not_let_in(client, client.get(location), "took too long")


def test_sign_ins_end_and_cannot_be_made_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """After an hour, with another site's key, or changed, they open nothing; other tokens are other doors'."""
    door, ruth = SignIns(KEY), Caller("ruth", "reviewer", frozenset({"heron-07"}))

    def who(token: str) -> Caller | None:
        return asyncio.run(door.who(token))

    token = door.token_of(ruth)
    found = who(token)
    assert found is not None
    assert found._replace(until_s=None, is_person=False) == ruth
    assert who("a3cp_other") is None
    for wrong in (SignIns(b"other").token_of(ruth), token[:-4], "a3cp-in_", token.replace("g", "h")):
        with pytest.raises(Exception, match="the sign-in has ended"):
            who(wrong)
    ended = time.time() + LASTS_S + 1
    monkeypatch.setattr("cryptography.fernet.time.time", lambda: ended)
    with pytest.raises(Exception, match="the sign-in has ended"):
        who(token)


def test_signing_out_leads_to_the_provider(there: OpenIdProvider) -> None:
    """There one is signed in still; who has signed in with a token goes nowhere."""
    with browser(there.issuer) as client:
        assert client.post("/page/sign-out").json() == {"go_to": None}
        client.get(set_out(client))
        there_too = client.post("/page/sign-out").json()["go_to"]
        assert httpx.get(there_too, timeout=PATIENCE_S).text == f"signed out of {CLIENT_ID}"
        assert client.get("/page/me").status_code == 401


def test_a_tokens_own_end_is_told(there: OpenIdProvider) -> None:
    """A provider's token in the cookie ends before the cookie does, with 30 s for clocks that differ."""
    now_s = int(time.time())
    said = {"iss": there.issuer, "aud": "a3cp", "sub": "ann", "exp": now_s + 300, "a3cp_role": "reviewer"}
    token = jwt.encode(said, there.key, "ES256", headers={"kid": "k"})
    with browser(there.issuer) as client:
        assert client.post("/page/sign-in", json={"token": token}).status_code == 200
        me = client.get("/page/me").json()
        assert me["signed_in_until"] == time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(now_s + 330))
        assert me["at_provider"] is False


def test_a_provider_that_is_away(there: OpenIdProvider, capsys: pytest.CaptureFixture[str]) -> None:
    """It is told, the log has the reason, and a description of another issuer counts for nothing."""
    for issuer in ("http://127.0.0.1:1", f"{there.issuer}/"):
        with browser(issuer) as client:
            answer = client.post("/page/oidc", json={}, headers=HEADERS)
            assert (answer.status_code, answer.json()["code"]) == (503, "starting")
    assert "gave no description of its own" in capsys.readouterr().err


def test_without_a_provider_there_is_no_such_way() -> None:
    """The page is told, so that it offers none."""
    client = TestClient(make_app(None), base_url="http://127.0.0.1")
    assert client.get("/page/doors").json() == {"provider": False}
    assert client.get("/page/oidc").status_code == 404
    assert client.post("/page/oidc", json={}).status_code == 404


def test_it_cannot_be_asked_too_often(there: OpenIdProvider) -> None:
    """Nobody needs a token to set out, so each address is counted."""
    with browser(there.issuer, limits=RateLimits(3)) as client:
        statuses = [client.post("/page/oidc", json={}, headers=HEADERS).status_code for _ in range(5)]
    assert (statuses[0], statuses[-1]) == (200, 429)


def test_a_client_needs_a_provider(tmp_path: Path) -> None:
    """Of the settings the one is nothing without the other."""
    with pytest.raises(Exception, match="serve_oidc_client_id is set, and serve_oidc_issuer is not"):
        load({"A3CP_SERVE_OIDC_CLIENT_ID": "a3cp"}, tmp_path)
