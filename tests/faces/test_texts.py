"""Texts that a client sends: how long they may be, what may be in them, and that the answer says what is wrong."""

import json
from typing import Any

import pytest
from starlette.testclient import TestClient

from tests.faces.stage import created, problem

HALF = "a\ud800"
LONG = "x" * 300


def told(answer: Any) -> str:
    """Return what an answer says of a body that is not valid."""
    assert answer.status_code == 422, answer.text
    body = answer.json()
    return json.dumps(body["detail"] if isinstance(body["detail"], list) else body)


@pytest.mark.parametrize(
    ("route", "body"),
    [
        ("", {"user_id": HALF}),
        ("", {"user_id": "ann", "performer_id": HALF}),
        ("", {"user_id": "ann", "session_notes": HALF}),
        ("", {"user_id": "ann", "context": {"place": HALF}}),
        ("/{}/notes", {"text": HALF}),
        ("/{}/tags", {"add": [HALF]}),
        ("/{}/steps", {"name": "search", "data": HALF}),
        ("/{}/messages", {"user_id": HALF}),
        ("/{}/messages", {"text": HALF}),
    ],
)
def test_half_a_character_is_called_so(http: TestClient, route: str, body: dict[str, Any]) -> None:
    """Wherever it stands: in an id, in a text, in what is free."""
    path = f"/v1/sessions{route.format(created(http))}"
    answer = http.post(path, content=json.dumps(body), headers={"Content-Type": "application/json"})
    assert "half a character" in told(answer)


@pytest.mark.parametrize("route", ["sessions.start", "sessions.validate"])
def test_a3cps_routes_call_it_so_too(http: TestClient, route: str) -> None:
    """In FastAPI's own form."""
    body = json.dumps({"user_id": HALF, "session_id": "x"})
    answer = http.post(f"/session_manager/{route}", content=body, headers={"Content-Type": "application/json"})
    assert "half a character" in told(answer)


@pytest.mark.parametrize(
    ("route", "body"),
    [
        ("", {"user_id": "ann", "performer_id": LONG}),
        ("", {"user_id": "ann", "training_intent_label": "x" * 70_000}),
        ("/{}/end", {"performer_id": LONG}),
        ("/{}/notes", {"text": "calm", "performer_id": LONG}),
        ("/{}/notes", {"text": "calm", "kind": LONG}),
        ("/{}/notes", {"text": "x" * 70_000}),
        ("/{}/status", {"status": LONG}),
        ("/{}/tags", {"add": LONG}),
        ("/{}/tags", {"add": ["x"] * 300}),
        ("/{}/steps", {"name": LONG}),
        ("/{}/steps", {"name": "search", "status": LONG}),
        ("/{}/steps", {"name": "search", "timing_key": LONG}),
    ],
)
def test_each_text_has_a_limit(http: TestClient, route: str, body: dict[str, Any]) -> None:
    """What is longer is refused with 422, and so are more tags at a time than a session can be looked at with."""
    assert problem(http.post(f"/v1/sessions{route.format(created(http))}", json=body)) == (422, "invalid_request")


def test_a3cps_performer_and_notes_have_limits_too(http: TestClient) -> None:
    """They come into the same topic."""
    body = {
        "schema_version": "1.0.1", "record_id": "6f9619ff-8b86-4011-b42d-00c04fc964ff", "user_id": "ann",
        "timestamp": "2025-06-15T15:06:40.000Z", "performer_id": "carer01",
    }  # fmt: skip
    for more in ({"performer_id": LONG}, {"session_notes": "x" * 70_000}, {"training_intent_label": "x" * 70_000}):
        assert http.post("/session_manager/sessions.start", json={**body, **more}).status_code == 422
    assert http.post("/session_manager/sessions.start", json=body).status_code == 200


@pytest.mark.parametrize("odd", ["x\n", "x\x00y", "x\x1b[2J", " x", "x\x85"])
@pytest.mark.parametrize(
    ("route", "body"),
    [
        ("status", {"status": "{}"}),
        ("tags", {"add": ["{}"]}),
        ("tags", {"remove": ["{}"]}),
        ("steps", {"name": "{}"}),
        ("steps", {"name": "search", "status": "{}"}),
        ("steps", {"name": "search", "timing_key": "{}"}),
        ("notes", {"text": "calm", "kind": "{}"}),
    ],
)
def test_a_word_is_one_line_without_outer_blanks(http: TestClient, odd: str, route: str, body: dict[str, Any]) -> None:
    """No control character is in a word that lists, tables and terminals show."""
    odd_body = json.loads(json.dumps(body).replace("{}", json.dumps(odd)[1:-1]))
    assert problem(http.post(f"/v1/sessions/{created(http)}/{route}", json=odd_body)) == (422, "invalid_request")


@pytest.mark.parametrize("word", ["late night", "می‌خواهم", "❤️", "müde", "x"])
def test_words_of_all_languages_are_taken(http: TestClient, word: str) -> None:
    """With blanks inside, joiners and signs."""
    path = f"/v1/sessions/{created(http)}"
    assert http.post(f"{path}/status", json={"status": word}).status_code == 201
    assert http.post(f"{path}/tags", json={"add": [word]}).status_code == 201
    session = http.get(path).json()
    assert (session["phase"], session["tags"]) == (word, [word])


def test_a_text_that_is_too_short_is_told_in_characters(http: TestClient) -> None:
    """An empty note is no list that has too few entries."""
    answer = http.post(f"/v1/sessions/{created(http)}/notes", json={"text": ""})
    assert answer.json()["detail"] == "body.text: at least 1 characters are wanted"
