"""The trace of what is told: messages and lines name it, wherever they are read from."""

from typing import Any

import pytest
from starlette.testclient import TestClient

from processor.in_memory import MemoryDeployment
from processor.sessions.forms.redacting import Redaction
from processor.sessions.forms.timeline import message_line
from tests.faces.gateway_stage import V1, Client, url_of
from tests.faces.stage import created

TRACE_ID = "0af7651916cd43dd8448eb211c80319c"
CAME = {"traceparent": f"00-{TRACE_ID}-b7ad6b7169203331-01"}


@pytest.mark.parametrize("is_exported", [False, True])
def test_a_message_and_its_line_name_their_trace(
    deployment: MemoryDeployment, http: TestClient, is_exported: bool
) -> None:
    """From memory and from the store; what came without a trace has none."""
    session_id = created(http)
    http.post(f"/v1/sessions/{session_id}/messages", json={"text": "milk"}, headers=CAME)
    http.post(f"/v1/sessions/{session_id}/messages", json={"text": "tea"})
    http.post(f"/v1/sessions/{session_id}/notes", json={"text": "calm"}, headers=CAME)
    if is_exported:
        deployment.export()
        deployment.restarted()
    with_trace, without = http.get(f"/v1/sessions/{session_id}/messages").json()["messages"]
    assert with_trace["trace_id"] == TRACE_ID
    assert "trace_id" not in without
    lines: list[dict[str, Any]] = http.get(f"/v1/sessions/{session_id}/timeline").json()["timeline"]
    assert [(line["kind"], line.get("trace_id")) for line in lines] == [
        ("started", None), ("message", TRACE_ID), ("message", None), ("note", TRACE_ID),
    ]  # fmt: skip


def test_what_is_redacted_names_no_trace(deployment: MemoryDeployment, http: TestClient) -> None:
    """Other systems know who is behind one."""
    session_id = created(http)
    http.post(f"/v1/sessions/{session_id}/messages", json={"text": "milk"}, headers=CAME)
    http.post(f"/v1/sessions/{session_id}/notes", json={"text": "calm"}, headers=CAME)
    held = deployment.view.session(session_id)
    assert held is not None
    (message,), (_, note) = held.messages(), held.events()
    line, _ = message_line(message, deployment.codec)
    redaction = Redaction({"user_id"}, b"key", held.view)
    assert (line.entry.trace_id, note.trace_id) == (TRACE_ID, TRACE_ID)
    assert redaction.message(line).entry.trace_id is None
    assert redaction.event(note, 1).entry.trace_id is None


def test_what_a_socket_says_is_in_the_trace_that_opened_it(http: TestClient) -> None:
    """Messages and events alike."""
    with http.websocket_connect(url_of(user_id="ann"), V1, headers=CAME) as socket:
        client = Client(socket)
        client.say("milk", ackId=1)
        client.next("tagged")
    lines = http.get(f"/v1/sessions/{client.session_id}/timeline").json()["timeline"]
    assert {(line["kind"], line.get("trace_id")) for line in lines} >= {("started", TRACE_ID), ("message", TRACE_ID)}
