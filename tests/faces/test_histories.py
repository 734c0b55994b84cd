"""Histories from memory: what they tell is what a replica tells that reads everything anew."""

from typing import Any

import pytest
from starlette.testclient import TestClient

from processor.faces.app import make_app
from processor.faces.auth.doors import Doors
from processor.faces.middleware.shell import Shell
from processor.faces.replica import histories
from processor.in_memory import MemoryDeployment
from tests.faces.reading import ALL, HOUR_MS, Named, command, problem, say, sees, start
from tests.faces.stage import http_of

USER = "ann~00000001"


class Counted:
    """Messages of one session, read often, and how often the store was asked for them."""

    def __init__(self, deployment: MemoryDeployment, http: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
        self.deployment, self.http, self.asked = deployment, http, 0
        self.session_id = start(deployment, USER, template="conversation")
        read = deployment.view.session

        def counted(*arguments: Any, **named: Any) -> Any:
            self.asked += 1
            return read(*arguments, **named)

        monkeypatch.setattr(deployment.view, "session", counted)

    def say(self, *words: str) -> None:
        for each in words:
            self.deployment.advance(1_000)
            say(self.deployment, USER, role="user", content=each)

    def get(self, query: str = "") -> Any:
        answer = self.http.get(f"/v1/sessions/{self.session_id}/messages{query}")
        assert answer.status_code == 200, answer.text
        return answer

    def is_as_read_anew(self, query: str = "") -> bool:
        with http_of(self.deployment.replica()) as other:
            anew = other.get(f"/v1/sessions/{self.session_id}/messages{query}")
        told = self.get(query)
        return bool(told.content == anew.content and told.headers["a3cp-position"] == anew.headers["a3cp-position"])


@pytest.fixture
def conversation(deployment: MemoryDeployment, http: TestClient, monkeypatch: pytest.MonkeyPatch) -> Counted:
    return Counted(deployment, http, monkeypatch)


@pytest.mark.parametrize("is_stored", [False, True])
@pytest.mark.parametrize("limit", [1, 5, 20, 50, 60])
def test_what_is_said_is_added(conversation: Counted, limit: int, is_stored: bool) -> None:
    """Whoever stores it meanwhile; late messages and notes too. The store is asked the first time alone."""
    conversation.say("hello")
    if is_stored:
        conversation.deployment.export()
    query = f"?limit={limit}"
    assert conversation.is_as_read_anew(query)
    for number in range(55):
        conversation.say(f"message {number}")
        if number % 20 == 7:
            say(conversation.deployment, USER, content="late", timestamp="2025-06-15T15:06:41.000Z")
            command(conversation.deployment, USER, "note", note="calm")
        conversation.get(query)
        if number % 11 == 0:
            assert conversation.is_as_read_anew(query)
            if is_stored:
                conversation.deployment.export()
    assert conversation.is_as_read_anew(query)
    assert conversation.asked == (1 if limit <= histories.MESSAGES_MAX else conversation.asked)


def test_what_memory_lacks_is_read(conversation: Counted) -> None:
    """More messages than were read before, very many new ones, and those that the store took before anybody asked."""
    conversation.say(*map(str, range(10)))
    assert len(conversation.get("?limit=2").json()["messages"]) == 2
    assert len(conversation.get("?limit=5").json()["messages"]) == 5
    assert conversation.asked == 2
    conversation.say(*map(str, range(histories.MESSAGES_MAX + 1)))
    assert conversation.is_as_read_anew("?limit=5")
    assert conversation.asked == 3
    conversation.say("stored")
    conversation.deployment.export()
    assert conversation.is_as_read_anew("?limit=5")
    assert conversation.asked == 4
    assert conversation.is_as_read_anew("?limit=5&role=user")


def test_a_closed_session_is_read(conversation: Counted) -> None:
    """Only of an open one memory knows whether something has changed."""
    conversation.say("hello")
    conversation.get()
    conversation.deployment.advance(3 * HOUR_MS)
    assert conversation.is_as_read_anew()
    assert conversation.asked == 2


def test_others_do_not_see_it(conversation: Counted) -> None:
    """Nor whether there is one."""
    conversation.say("hello")
    path, ben = f"/v1/sessions/{conversation.session_id}/messages", sees("ben")
    app = make_app(conversation.deployment.context(), Shell(doors=Doors(Named(ALL, ben))))
    with TestClient(app, base_url="http://127.0.0.1") as http:
        everybody = {"Authorization": f"Bearer {ALL.name}"}
        assert [http.get(path, headers=everybody).status_code for _ in range(2)] == [200, 200]
        problem(http.get(path, headers={"Authorization": f"Bearer {ben.name}"}), 404, "session_not_found")
