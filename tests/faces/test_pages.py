"""Pages that load nothing: the description of all routes, and what a problem means."""

import re
from base64 import b64encode
from hashlib import sha256
from html.parser import HTMLParser
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from processor.faces.app import make_app
from processor.faces.describing import openapi_text
from processor.faces.problems import KINDS

CLIENT = TestClient(make_app(None), base_url="http://localhost")


class Page(HTMLParser):
    """What a page has: its words, ids, links, and how its elements nest."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.words: list[str] = []
        self.names: set[str] = set()
        self.ids: list[str] = []
        self.links: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.add(tag)
        given = dict(attrs)
        self.ids += [value for name, value in given.items() if name == "id" and value]
        self.links += [value for name, value in given.items() if name in {"href", "src"} and value]

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def test_the_documents_are_one_page() -> None:
    """All routes, shapes and problems; links lead to places on it, nothing is loaded, no script is there."""
    answer = CLIENT.get("/docs")
    assert answer.headers["content-type"].startswith("text/html")
    found = Page(answer.text)
    words = " ".join(found.words)
    openapi = CLIENT.get("/openapi.json").json()
    assert [route for route in openapi["paths"] if route not in words] == []
    assert [code for code in KINDS if code not in words] == []
    assert {link for link in found.links if link.startswith("#") and link[1:] not in found.ids} == set()
    assert {link for link in found.links if not link.startswith("#")} == {"openapi.json"}
    assert len(found.ids) == len(set(found.ids))
    assert "script" not in found.names


def test_the_policy_lets_only_its_own_style_in() -> None:
    """By its hash; so nothing that gets into a page can run or load."""
    answer = CLIENT.get("/docs")
    policy = answer.headers["content-security-policy"]
    style = re.search(r"<style>(.*?)</style>", answer.text, re.DOTALL)
    assert style is not None
    digest = b64encode(sha256(style[1].encode()).digest()).decode()
    assert policy.startswith(f"default-src 'none'; style-src 'sha256-{digest}'")
    assert "unsafe" not in policy
    assert 'style="' not in answer.text


@pytest.mark.parametrize("code", KINDS)
def test_each_problem_is_explained(code: str) -> None:
    """To a browser as a page, to a program as JSON; its `type` leads here."""
    told = CLIENT.get(f"/problems/{code}").json()
    assert (told["code"], told["status"], told["title"]) == (code, KINDS[code].status, KINDS[code].title)
    seen = CLIENT.get(f"/problems/{code}", headers={"Accept": "text/html,*/*"})
    assert KINDS[code].title in " ".join(Page(seen.text).words)


def test_an_unknown_code_is_a_problem() -> None:
    """And does not come back in the answer."""
    answer = CLIENT.get("/problems/<script>")
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    assert "script" not in answer.text


def test_every_route_is_described() -> None:
    """In words, with what it answers when something is wrong, and whether it wants a token."""
    openapi = CLIENT.get("/openapi.json").json()
    for path, methods in openapi["paths"].items():
        for operation in methods.values():
            assert operation["summary"], path
            assert "default" in operation["responses"], path
            assert ("security" in operation) is path.startswith(("/v1/", "/session", "/api/", "/metrics")), path
            assert "HTTPValidationError" not in str(operation["responses"]) or not path.startswith("/v1/"), path


def test_the_document_that_ships_is_this_one() -> None:
    """Who makes a client from docs/openapi.json gets one for this service."""
    shipped = (Path(__file__).parents[2] / "docs" / "openapi.json").read_text("utf-8")
    assert shipped == openapi_text(make_app(None)), "write it anew: a3cp serve --openapi > docs/openapi.json"
