"""What a session tells of a person in short, over HTTP."""

from pathlib import Path
from typing import Any

from starlette.testclient import TestClient

from processor.faces.page import told
from processor.in_memory import MemoryDeployment
from processor.profiles import Pseudonyms, open_profiles
from tests.faces.reading import start
from tests.faces.stage import http_of


def tell(http: TestClient, session_id: str) -> Any:
    return http.get(f"/page/sessions/{session_id}/told").raise_for_status().json()


def send(http: TestClient, session_id: str, *messages: dict[str, Any]) -> None:
    for message in messages:
        http.post(f"/v1/sessions/{session_id}/messages", json=message).raise_for_status()


def spoken(phrase: str) -> dict[str, Any]:
    return {"source": "output_planner", "output_phrase": phrase, "output_mode": "speech"}


def signed(label: str, sure: float) -> dict[str, Any]:
    return {
        "source": "gesture_classifier", "modality": "gesture",
        "classifier_output": {"intent": label, "confidence": sure},
    }  # fmt: skip


FRAME = {"source": "camera_feed_worker", "event": "capture.frame_meta", "seq": 1}


def test_what_was_expressed_is_told_and_counted(deployment: MemoryDeployment, http: TestClient) -> None:
    """Machinery is left out; what follows each other alike is one line; how sure it was makes no other sign of it."""
    session_id = start(deployment, "ann")
    send(http, session_id, FRAME, signed("drink", 0.8), signed("drink", 0.7), FRAME, spoken("a drink"), FRAME)
    http.post(f"/v1/sessions/{session_id}/notes", json={"text": "calm", "performer_id": "ben"}).raise_for_status()
    send(http, session_id, signed("drink", 0.9))
    body = tell(http, session_id)
    lines = [(voice, phrase, count) for _, voice, phrase, *_, count in body["lines"]]
    assert sorted(lines) == sorted(
        [("user", "signed", 2), ("user", "spoken", 1), ("carer", "note", 1), ("user", "signed", 1)]
    )
    times = [at_ms for at_ms, *_ in body["lines"]]
    assert times == sorted(times)
    assert body["expressed"] == [["signed", {"label": "drink"}, 3], ["spoken", {"text": "a drink"}, 1]]
    assert body["left_out"] == 0


def test_what_calls_for_a_person_is_told_whatever_it_says(deployment: MemoryDeployment, http: TestClient) -> None:
    """A line that needs attention is told, with its place in the session."""
    session_id = start(deployment, "ann")
    send(http, session_id, FRAME, {**FRAME, "context": {"flags": {"requires_attention": True}}})
    [line] = tell(http, session_id)["lines"]
    assert "requires_attention" in line[5]
    assert line[6] == "seq=2"


def test_what_was_marked_is_told(deployment: MemoryDeployment, tmp_path: Path) -> None:
    """Whatever it says, with the words of its bookmarks; it is not folded with others."""
    profiles = open_profiles(f"sqlite:///{tmp_path / 'profiles.db'}", Pseudonyms(b"key"), None)
    session_id = start(deployment, "ann")
    with http_of(deployment, profiles=profiles) as http:
        send(http, session_id, spoken("hello"), spoken("hello"), FRAME)
        for place in ({"seq": 2, "text": "look"}, {"seq": 3}, {"event": 1}):
            http.post(f"/v1/sessions/{session_id}/bookmarks", json=place).raise_for_status()
        lines = {place: (marks, count) for *_, place, marks, count in tell(http, session_id)["lines"]}
    assert lines == {"event=1": ([""], 1), "seq=1": ([], 1), "seq=2": (["look"], 1), "seq=3": ([""], 1)}


def test_a_long_session_is_cut_and_says_so(deployment: MemoryDeployment, http: TestClient, monkeypatch: Any) -> None:
    """All that is expressed is counted all the same, up to a number of different things; notes are never cut first."""
    monkeypatch.setattr(told, "LINES_MAX", 3)
    monkeypatch.setattr(told, "EXPRESSED_MAX", 4)
    session_id = start(deployment, "ann")
    send(http, session_id, *(spoken(f"phrase {number}") for number in range(6)))
    http.post(f"/v1/sessions/{session_id}/notes", json={"text": "calm"}).raise_for_status()
    body = tell(http, session_id)
    assert [line[2] for line in body["lines"]].count("note") == 1
    assert (len(body["lines"]), body["left_out"], len(body["expressed"])) == (3, 4, 4)
