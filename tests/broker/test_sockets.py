"""Sockets on a real Kafka: a client goes from one replica to another, and what ends its session."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.typing import Subprotocol

from tests.broker.audit import read_topic
from tests.broker.fleet import Fleet, await_true
from tests.broker.services import Service, services

pytestmark = [pytest.mark.broker, pytest.mark.long]
GRACE_MS = 8_000  # longer than a slow machine takes to let a client come back


async def connected(service: Service, way: str = "") -> tuple[ClientConnection, dict[str, Any]]:
    url = str(service.http.base_url).replace("http://", "ws://").rstrip("/")
    client = await connect(f"{url}/ws{way}", subprotocols=[Subprotocol("a3cp.v1")], open_timeout=60)
    frame = json.loads(await client.recv())
    assert frame["type"] == "session_created", frame
    return client, frame["payload"]


async def until(client: ClientConnection, kind: str, count: int) -> list[dict[str, Any]]:
    """Return the payloads of the next `count` frames of a kind."""
    found: list[dict[str, Any]] = []
    async with asyncio.timeout(60):
        while len(found) < count:
            frame = json.loads(await client.recv())
            if frame["type"] == kind:
                found.append(frame["payload"])
    return found


def way_of(created: dict[str, Any], after: str) -> str:
    return f"?session_id={created['sessionId']}&resume_token={created['resumeToken']}&after={after}"


async def say(client: ClientConnection, session_id: str, numbers: range) -> None:
    for number in numbers:
        frame = {"sessionId": session_id, "command": "count", "payload": number, "ackId": number}
        await client.send(json.dumps(frame))


def test_from_a_killed_replica_to_another(kafka: str, topics: str, tmp_path: Path) -> None:
    """A replica dies with frames on their way; on another one the client is told what it missed, and says all once."""

    async def main(first: Service, second: Service) -> str:
        client, created = await connected(first)
        session_id: str = created["sessionId"]
        await say(client, session_id, range(1, 11))
        position = (await until(client, "tagged", 10))[4]["position"]
        await say(client, session_id, range(11, 41))
        first.kill()
        back, again = await connected(second, way_of(created, position))
        assert (again["sessionId"], again["resumed"], again["complete"]) == (session_id, True, True)
        assert [each["ackId"] for each in await until(back, "tagged", 5)] == [6, 7, 8, 9, 10]
        await say(back, session_id, range(11, 41))
        acks = await until(back, "ack", 30)
        assert [each["ackId"] for each in acks] == list(range(11, 41))
        await client.close()
        await back.close()
        return session_id

    with Fleet(kafka, topics, tmp_path, site_key="the key of this site") as fleet:
        fleet.start()
        with services(fleet, 2) as (first, second):
            first.ready()
            second.ready()
            session_id = asyncio.run(main(first, second))
            fleet.await_processed()
            rows = [json.loads(row.value or b"") for rows in read_topic(kafka, fleet.names.tagged) for row in rows]
            assert [row["payload"]["payload"] for row in rows] == list(range(1, 41))
            assert {row["session_id"] for row in rows} == {session_id}


def test_the_grace_of_one_replica_and_the_client_at_another(kafka: str, topics: str, tmp_path: Path) -> None:
    """Whoever comes back elsewhere within the grace goes on; whoever does not has ended the session."""

    async def main(first: Service, second: Service) -> None:
        client, created = await connected(first)
        await client.close()
        back, _ = await connected(second, way_of(created, ""))
        assert {each["kind"] for each in await until(back, "event", 3)} == {"started", "status"}
        await asyncio.sleep(GRACE_MS / 1000 + 1)  # The grace is over.
        path = f"/v1/sessions/{created['sessionId']}"
        assert first.http.get(path).json()["status"] == "active"
        await back.close()
        async with asyncio.timeout(60):
            while first.http.get(path).json()["status"] != "closed":  # noqa: ASYNC110  # It tells nobody.
                await asyncio.sleep(0.1)
        await_true("the worker has told it", lambda: fleet.workers[0].said("session ended"))
        assert fleet.workers[0].said("session ended") == 1

    with Fleet(kafka, topics, tmp_path, site_key="the key of this site", ws_grace_ms=GRACE_MS) as fleet:
        fleet.start()
        with services(fleet, 2) as (first, second):
            first.ready()
            second.ready()
            asyncio.run(main(first, second))
