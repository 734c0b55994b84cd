"""What the service hands to a session's page: parts in the order of the log, and what it says where something lacks."""

import json
from collections.abc import Iterator
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from processor.bundles.page import PAGE_ENTRIES_MAX
from processor.faces.app import make_app
from processor.faces.page.session import Asked, Part, write
from processor.in_memory import MemoryDeployment
from processor.upstream.notices import Notice
from processor.view.held import Held


@pytest.fixture
def deployment(tmp_path: Path) -> Iterator[MemoryDeployment]:
    """A log in memory."""
    with MemoryDeployment(tmp_path) as running:
        yield running


@pytest.fixture
def held(deployment: MemoryDeployment) -> Held:
    """A session with two messages, a note between them, in a lane."""
    with TestClient(make_app(deployment.context()), base_url="http://127.0.0.1") as http:
        session_id = http.post("/v1/sessions", json={"user_id": "ann"}).json()["session_id"]
        for path, text in (("messages", "one"), ("notes", "calm"), ("messages", "two")):
            deployment.advance(1_000)
            http.post(f"/v1/sessions/{session_id}/{path}", json={"text": text}).raise_for_status()
    found = deployment.view.session(session_id)
    assert found is not None
    return found


def told(deployment: MemoryDeployment, held: Held, **asked: Any) -> tuple[list[Any], Any]:
    """The lines of a part, the head of each, and what all of them need."""
    out = BytesIO()
    write(held, Part(held, deployment.codec, Asked(**asked)), out)
    *lines, data = out.getvalue().decode().splitlines()
    return [json.loads(line.split("\t")[0]) for line in lines], json.loads(data)


def test_a_part_begins_behind_what_the_page_has(deployment: MemoryDeployment, held: Held) -> None:
    """Messages and events are counted apart; of a person, not of a lane."""
    lines, data = told(deployment, held)
    assert [line[:2] for line in lines] == [["message", 1], ["message", 2], ["started", 1], ["note", 2]]
    assert (data["after"], data["next"], data["is_more"], data["lines"]) == ([0, 0], [2, 2], False, 4)
    assert data["session"]["user_id"] == "ann"
    lines, data = told(deployment, held, after_seq=1, after_event=2)
    assert [line[:2] for line in lines] == [["message", 2]]
    assert (data["after"], data["next"]) == ([1, 2], [2, 2])


def test_what_was_opened_twice_comes_as_a_whole(deployment: MemoryDeployment, held: Held) -> None:
    """Its numbers come twice, so they say no place, and no digest fits."""
    twice = replace(held, row=held.row._replace(notices=Notice.OPENED_TWICE))
    lines, data = told(deployment, twice, after_seq=1, after_event=2)
    assert (len(lines), data["after"], data["proof"]) == (4, [0, 0], None)


def test_where_records_lack_nothing_is_proven(deployment: MemoryDeployment, held: Held) -> None:
    """Else it would look as if somebody had taken messages away."""
    _, data = told(deployment, replace(held, is_whole=False))
    assert (data["proof"], data["notices"]) == (None, [["notice_lacking", {}]])


def test_a_page_has_its_limit(deployment: MemoryDeployment, held: Held) -> None:
    """What is beyond it is counted, and nothing is proven."""
    long = replace(held, row=held.row._replace(held_count=PAGE_ENTRIES_MAX + 5))
    lines, data = told(deployment, long, after_seq=PAGE_ENTRIES_MAX - 2, after_event=2)
    assert (lines, data["is_more"], data["proof"]) == ([], False, None)
    assert data["notices"] == [["notice_left_out", {"shown": PAGE_ENTRIES_MAX, "left_out": 7}]]
