"""The page's door: a token for a cookie, what the cookie may do, and how it ends."""

import json
import time
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from processor.faces.app import make_app
from processor.faces.auth.cookie import LASTS_S, NAME, Cookies
from processor.faces.auth.doors import Asking, Doors
from processor.faces.auth.tokens import TokenFile, add_token
from processor.faces.middleware.ratelimits import RateLimits
from processor.faces.middleware.shell import Shell

PAGE = {"A3CP-Page": "1"}
KEY = b"k" * 32


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "tokens.json"


def client_of(file: Path, *, key: bytes = KEY, limits: RateLimits | None = None) -> TestClient:
    """A new browser, and a replica of the service that has read the tokens anew."""
    doors = Doors(TokenFile(file, lambda error: None))
    app = make_app(None, Shell(doors=doors, cookies=Cookies(key), limits=limits or RateLimits()))

    @app.post("/v1/written")
    async def written(who: Asking) -> str:
        return who.name

    return TestClient(app, base_url="https://sessions.example")


def signed_in(file: Path) -> tuple[TestClient, str]:
    token = add_token(file, "ruth", "reviewer", frozenset({"heron-07"}))
    client = client_of(file)
    assert client.post("/page/sign-in", json={"token": token}).status_code == 200
    return client, token


def test_a_token_for_a_cookie(file: Path) -> None:
    """The cookie is out of reach of scripts and other sites, does not show the token, and lets in."""
    token = add_token(file, "ruth", "reviewer", frozenset({"heron-07"}))
    client = client_of(file)
    assert client.get("/page/me").status_code == 401
    answer = client.post("/page/sign-in", json={"token": f" {token}\n"}, headers={"Origin": "https://sessions.example"})
    said = {"name": "ruth", "role": "reviewer", "users": ["heron-07"]}
    assert answer.json() == {**said, "signed_in_until": None, "signed_in_for_s": None}
    told = answer.headers["set-cookie"]
    assert told.startswith(f"{NAME}=")
    assert told.endswith("; Path=/; Max-Age=43200; HttpOnly; SameSite=Strict; Secure")
    assert token not in told
    me = client.get("/page/me").json()
    assert (me["name"], me["signed_in_until"] is None) == ("ruth", False)


def test_a_write_needs_the_pages_own_header(file: Path) -> None:
    """The cookie alone may read; with a token in the request no further header is needed."""
    client, token = signed_in(file)
    refused = client.post("/v1/written")
    assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")
    assert client.post("/v1/written", headers=PAGE).json() == "ruth"
    assert client.post("/v1/written", headers={"Authorization": f"Bearer {token}"}).json() == "ruth"
    foreign = client.post("/v1/written", headers={**PAGE, "Origin": "https://elsewhere.example"})
    assert foreign.status_code == 403


def test_sign_out(file: Path) -> None:
    """Who has signed out is not let in, and a page of another site signs nobody out."""
    client, _ = signed_in(file)
    assert client.post("/page/sign-out", headers={"Origin": "https://elsewhere.example"}).status_code == 403
    assert client.get("/page/me").status_code == 200
    assert client.post("/page/sign-out").json() == {"go_to": None}
    assert client.get("/page/me").status_code == 401


def test_a_token_that_was_taken_back(file: Path) -> None:
    """A cookie opens no more than its token does."""
    client, _ = signed_in(file)
    file.write_text(json.dumps([]), "utf-8")
    later = client_of(file)
    later.cookies = client.cookies
    assert later.get("/page/me").status_code == 401


@pytest.mark.parametrize("cookie", ["", "x", "gAAAAA", "€", '"', "a;b=c"])
def test_a_cookie_that_is_none(file: Path, cookie: str) -> None:
    """What this site has not made opens nothing."""
    add_token(file, "ruth", "reviewer", frozenset({"heron-07"}))
    headers = [(b"Cookie", f"{NAME}={cookie}".encode())]
    assert client_of(file).get("/page/me", headers=headers).status_code == 401


def test_the_cookie_of_another_site(file: Path) -> None:
    """All replicas of a site take its cookies; those of another one count for nothing."""
    client, _ = signed_in(file)
    for key, status in ((KEY, 200), (b"other", 401)):
        other = client_of(file, key=key)
        other.cookies = client.cookies
        assert other.get("/page/me").status_code == status


@pytest.mark.parametrize(("age_s", "status"), [(LASTS_S - 60, 200), (LASTS_S + 60, 401)])
def test_a_cookie_ends(file: Path, age_s: int, status: int) -> None:
    """After twelve hours it opens nothing, though a browser may still send it."""
    client, token = signed_in(file)
    client.cookies = {NAME: Cookies(KEY).value_of(token, int(time.time()) - age_s)}
    assert client.get("/page/me").status_code == status


def test_guessing_is_slow(file: Path) -> None:
    """Who tries tokens is held up, as at every other door."""
    add_token(file, "ruth", "reviewer", frozenset({"heron-07"}))
    client = client_of(file, limits=RateLimits(3))
    statuses = [client.post("/page/sign-in", json={"token": f"a3cp_{number}"}).status_code for number in range(5)]
    assert statuses[0] == 401
    assert statuses[-1] == 429


def test_the_pages_files(file: Path) -> None:
    """They need no token, load nothing from elsewhere, and are asked for again after an upgrade."""
    add_token(file, "ruth", "reviewer", frozenset({"heron-07"}))
    client = client_of(file)
    page = client.get("/")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert page.headers["content-security-policy"].startswith("default-src 'none'; script-src 'self';")
    assert "://" not in page.text
    assert client.get("/", headers={"Accept-Encoding": "identity"}).text == page.text
    script = client.get("/static/main.js")
    assert script.headers["content-type"].startswith("text/javascript")
    assert client.get("/static/main.js", headers={"If-None-Match": script.headers["etag"]}).status_code == 304
    for name in ("..%2Ffiles.py", "nothing.js"):
        assert client.get(f"/static/{name}").status_code == 404
