"""Sockets over real lines: how they break, how slow clients are let go, tokens, and how much a frame may be."""

import asyncio
import base64
import json
import socket
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.typing import Subprotocol

from processor.core.ids import owner_of
from processor.faces.app import make_app
from processor.faces.auth.doors import Doors
from processor.faces.auth.tokens import TokenFile
from processor.faces.gateway import opening, outgoing, speaking
from processor.faces.middleware.shell import Shell
from processor.in_memory import MemoryDeployment
from processor.processes.service import sockets
from processor.processes.service.inprocess import serving
from processor.settings.model import Settings
from processor.testing import RunningClock

V1 = "a3cp.v1"
TOKENS = {"one": ["ann"], "two": ["ann", "ben"], "all": "*"}


class Service:
    """A service on a port, over a log in memory."""

    def __init__(self, deployment: MemoryDeployment, port: int) -> None:
        self.deployment = deployment
        self.url = f"ws://127.0.0.1:{port}/ws"

    @asynccontextmanager
    async def client(
        self, asked: str = "", *, protocols: Sequence[str] = (V1,), **more: Any
    ) -> AsyncIterator[ClientConnection]:
        chosen = [Subprotocol(each) for each in protocols] or None
        async with connect(self.url + asked, subprotocols=chosen, open_timeout=60, **more) as client:
            yield client

    def standing(self, session_id: str) -> str | None:
        view = self.deployment.view
        user_id = view.memory.user_of(session_id)
        return None if user_id is None else view.memory.standing(user_id, session_id)


@contextmanager
def service_in(folder: Path, *doors: Any) -> Iterator[Service]:
    settings = Settings(store_url=f"sqlite:///{folder / 'a3cp.db'}", ws_grace_ms=0)
    shell = Shell(doors=Doors(*doors))
    with MemoryDeployment(folder, settings=settings, clock=RunningClock()) as deployment, socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        with serving(make_app(deployment.context(), shell), listening):
            yield Service(deployment, listening.getsockname()[1])


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    with service_in(tmp_path) as service:
        yield service


@pytest.fixture
def locked(tmp_path: Path) -> Iterator[Service]:
    """One that asks for tokens."""
    file = tmp_path / "tokens.json"
    tokens = [
        {"name": name, "sha256": sha256(name.encode()).hexdigest(), "role": "producer", "users": users}
        for name, users in TOKENS.items()
    ]
    tokens.append({"name": "looks", "sha256": sha256(b"looks").hexdigest(), "role": "reviewer", "users": ["ann"]})
    file.write_text(json.dumps(tokens))
    with service_in(tmp_path, TokenFile(file, lambda _: None)) as service:
        yield service


async def created(client: ClientConnection) -> dict[str, Any]:
    frame = json.loads(await client.recv())
    assert frame["type"] == "session_created", frame
    payload: dict[str, Any] = frame["payload"]
    return payload


async def code_of(client: ClientConnection) -> int | None:
    """The code with which the service closes."""
    try:
        while True:
            await asyncio.wait_for(client.recv(), 60)
    except ConnectionClosed as closed:
        return None if closed.rcvd is None else closed.rcvd.code


async def comes_true(is_so: Any) -> None:
    async with asyncio.timeout(60):
        while not is_so():  # noqa: ASYNC110  # What is waited for tells nobody.
            await asyncio.sleep(0.01)


def bearer(token: str) -> str:
    return "base64url.bearer.authorization.a3cp." + base64.urlsafe_b64encode(token.encode()).decode().rstrip("=")


def test_how_a_line_ends(service: Service) -> None:
    """A close frame, with a code or without, ends the session; a line that breaks does not."""

    async def main() -> None:
        async with service.client() as first, service.client() as second, service.client() as third:
            ids = [(await created(client))["sessionId"] for client in (first, second, third)]
            third.transport.abort()
            await second.close(1001)
            first.protocol.send_close()  # Without a code, as a browser's close() does.
            first.transport.write(b"".join(first.protocol.data_to_send()))
            await comes_true(lambda: [service.standing(each) for each in ids] == ["closed", "closed", "active"])

    asyncio.run(main())


def test_a_service_that_stops(tmp_path: Path) -> None:
    """Its clients are told to come back (1012), and their sessions stay."""

    async def main() -> None:
        with service_in(tmp_path) as service:
            client = await connect(service.url, subprotocols=[Subprotocol(V1)])
            session_id = (await created(client))["sessionId"]
        assert await code_of(client) == 1012
        assert service.standing(session_id) == "active"

    asyncio.run(main())


@pytest.mark.parametrize("size", [sockets.FRAME_BYTES_MAX, sockets.FRAME_BYTES_MAX + 1])
def test_a_frame_that_is_too_large(service: Service, size: int) -> None:
    """64 KiB are taken, a byte more closes the socket with 1009."""

    async def main() -> int | None:
        async with service.client() as client:
            session_id = (await created(client))["sessionId"]
            frame = {"sessionId": session_id, "command": "say", "ackId": 1, "payload": ""}
            words = "two words " * 7_000
            frame["payload"] = words[: size - len(json.dumps(frame))]
            await client.send(json.dumps(frame))
            if size > sockets.FRAME_BYTES_MAX:
                return await code_of(client)
            assert {json.loads(await client.recv())["type"] for _ in "12"} == {"ack", "tagged"}
            return None

    assert asyncio.run(main()) == (None if size <= sockets.FRAME_BYTES_MAX else 1009)


class Line:
    """A client's line at its other end, over ASGI: it takes nothing while it is told not to."""

    def __init__(self, asked: str = "") -> None:
        self.scope = {
            "type": "websocket", "path": "/ws", "query_string": asked.encode(), "subprotocols": [V1],
            "headers": [(b"host", b"127.0.0.1")], "state": {},
        }  # fmt: skip
        self.frames: list[dict[str, Any]] = []
        self.closed: tuple[int, str] | None = None
        self.is_gone = False
        self.takes = asyncio.Event()
        self.takes.set()
        self._said: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._said.put_nowait({"type": "websocket.connect"})

    async def receive(self) -> dict[str, Any]:
        return await self._said.get()

    async def send(self, message: Any) -> None:
        if message["type"] == "websocket.accept":
            return
        await self.takes.wait()
        if self.is_gone:
            raise OSError
        if message["type"] == "websocket.send":
            self.frames.append(json.loads(message["text"]))
        elif message["type"] == "websocket.close":
            self.closed = message["code"], message["reason"]

    def say(self, **frame: Any) -> None:
        self._said.put_nowait({"type": "websocket.receive", "text": json.dumps(frame)})

    def leave(self, code: int) -> None:
        self.is_gone = True
        self._said.put_nowait({"type": "websocket.disconnect", "code": code})

    @property
    def created(self) -> dict[str, Any]:
        payload: dict[str, Any] = self.frames[0]["payload"]
        return payload

    @property
    def numbers(self) -> list[int]:
        return [frame["payload"]["seq"] for frame in self.frames if frame["type"] == "tagged"]


@pytest.mark.parametrize(("code", "standing"), [(1000, "closed"), (1006, "active")])
@pytest.mark.parametrize("is_welcomed", [True, False])
def test_who_goes_while_something_is_sent(tmp_path: Path, code: int, standing: str, is_welcomed: bool) -> None:
    """What it said last is in the log, and how it went decides over its session, whatever was on its way to it."""

    async def main() -> None:
        settings = Settings(store_url=f"sqlite:///{tmp_path / 'a3cp.db'}", ws_grace_ms=0)
        with MemoryDeployment(tmp_path, settings=settings) as deployment:
            app, line = make_app(deployment.context()), Line()
            if not is_welcomed:
                line.takes.clear()
            task = asyncio.create_task(app(line.scope, line.receive, line.send))
            await comes_true(lambda: deployment.broker.values("sessions"))
            session_id = json.loads(deployment.broker.values("sessions")[0] or b"")["session_id"]
            if is_welcomed:
                await comes_true(lambda: line.frames)
                line.takes.clear()
            line.say(sessionId=session_id, command="say", ackId=1)
            line.leave(code)
            if is_welcomed:
                await comes_true(lambda: deployment.broker.values("tagged"))
            line.takes.set()
            await asyncio.wait_for(task, 60)
            assert len(deployment.broker.values("tagged")) == 1
            memory = deployment.view.memory
            await comes_true(lambda: memory.standing(memory.user_of(session_id) or "", session_id) == standing)

    asyncio.run(asyncio.wait_for(main(), 60))


def test_a_slow_client_is_let_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who does not read is closed with 4008 and the position to go on from; nobody else notices, nothing is missed."""
    monkeypatch.setattr(outgoing, "FRAMES_MAX", 16)

    async def main() -> None:
        with MemoryDeployment(tmp_path) as deployment:
            app = make_app(deployment.context())
            slow, other = Line(), Line()
            tasks = [asyncio.create_task(app(line.scope, line.receive, line.send)) for line in (slow, other)]
            await comes_true(lambda: slow.frames and other.frames)
            mine = slow.created["sessionId"]
            slow.takes.clear()
            for number in range(1, 101):
                other.say(sessionId=mine, command="say", ackId=number)
                await comes_true(lambda: len(other.numbers) == number)  # noqa: B023  # Used at once.
            slow.takes.set()
            await asyncio.wait_for(tasks[0], 60)
            position = slow.frames[-1]["payload"]["position"]
            assert slow.closed == (4008, position)
            back = Line(f"session_id={mine}&resume_token={slow.created['resumeToken']}&after={position}")
            tasks.append(asyncio.create_task(app(back.scope, back.receive, back.send)))
            await comes_true(lambda: slow.numbers + back.numbers == list(range(1, 101)))
            assert other.closed is None
            for task in tasks:
                task.cancel()

    asyncio.run(asyncio.wait_for(main(), 120))


def test_a_client_that_takes_nothing_is_cut_off(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its line is broken after a while, so its session stays; nobody else notices."""
    monkeypatch.setattr(sockets, "STALLED_S", 0.2)

    async def main() -> None:
        async with service.client(max_queue=1) as stalled, service.client() as other:
            mine, theirs = await created(stalled), await created(other)
            await stalled.send('{"type":"subscribe","ackId":1}')
            await stalled.recv()
            stalled.transport.pause_reading()
            followers = service.deployment.view._watchers._followers
            said = {"sessionId": mine["sessionId"], "command": "say", "payload": "many words " * 5_000}
            await other.send(json.dumps(said))
            await comes_true(lambda: len(followers[mine["sessionId"]]) == 2)  # The other follows it too by now.
            while len(followers[mine["sessionId"]]) == 2:
                await other.send(json.dumps(said))
                await other.send('{"type":"ping"}')
                await other.recv()
            assert [service.standing(each["sessionId"]) for each in (mine, theirs)] == ["active", "active"]

    asyncio.run(asyncio.wait_for(main(), 120))


def test_the_service_reads_no_further(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """With too many frames on their way to the log the client is told to slow down, and the others wait their turn."""
    monkeypatch.setattr(speaking, "UNACKED_MAX", 4)
    monkeypatch.setattr(speaking, "UNACKED_AGAIN", 2)
    told: list[Any] = []
    send = service.deployment.producer.send

    def held(*arguments: Any, on_done: Any = None, **more: Any) -> int:
        told.append(on_done)
        return send(*arguments, **more)

    def let_go() -> None:
        for on_done in told:
            on_done(None)
        told.clear()

    async def main() -> None:
        async with service.client() as client:
            session_id = (await created(client))["sessionId"]
            monkeypatch.setattr(service.deployment.producer, "send", held)
            for number in range(20):
                await client.send(json.dumps({"sessionId": session_id, "command": "say", "ackId": number}))
            acks: list[int] = []
            while len(acks) < 20:
                frame = json.loads(await asyncio.wait_for(client.recv(), 60))
                if frame["type"] == "slow_down":
                    assert (frame["payload"]["retryAfterMs"], len(told)) == (speaking.RETRY_AFTER_MS, 4)
                    let_go()
                elif frame["type"] == "ack":
                    acks.append(frame["payload"]["ackId"])
                    if len(acks) == 16:  # The last four, after which no frame has to wait.
                        await comes_true(lambda: len(told) == 4)
                        let_go()
            assert acks == list(range(20))

    asyncio.run(asyncio.wait_for(main(), 120))


@pytest.mark.parametrize("how", ["header", "protocol", "frame"])
def test_a_token(locked: Service, how: str) -> None:
    """It comes as a header, as a subprotocol, or in the first frame; the session is that of its user."""

    async def main() -> None:
        headers = {"Authorization": "Bearer one"} if how == "header" else {}
        protocols = [V1, bearer("one")] if how == "protocol" else [V1]
        async with locked.client(protocols=protocols, additional_headers=headers) as client:
            if how == "frame":
                await client.send('{"type":"auth","payload":{"token":"one"}}')
            assert client.subprotocol == V1
            session_id = (await created(client))["sessionId"]
        view = locked.deployment.view
        assert owner_of(view.memory.user_of(session_id) or "") == "ann"

    asyncio.run(main())


def test_a_browser_with_the_documents_frames(locked: Service) -> None:
    """One that offers nothing but its token gets that chosen, or it would give up."""

    async def main() -> None:
        async with locked.client(protocols=[bearer("one")]) as client:
            assert client.subprotocol == bearer("one")
            await created(client)

    asyncio.run(main())


@pytest.mark.parametrize(("token", "asked", "code"), [
    ("none", "", 4401), ("two", "", 4403), ("two", "?user_id=cid", 4403), ("all", "", 4403), ("looks", "", 4403),
    ("two", "?user_id=ben", None), ("all", "?user_id=zoe", None), ("two", "?user_id=", 4400),
])  # fmt: skip
def test_what_a_token_allows(locked: Service, token: str, asked: str, code: int | None) -> None:
    """A token that is not known is 4401; one that does not say whose session it is, or may not begin one, is 4403."""

    async def main() -> None:
        headers = {"Authorization": f"Bearer {token}"}
        async with locked.client(asked, additional_headers=headers) as client:
            if code is None:
                await created(client)
            else:
                assert json.loads(await client.recv())["type"] == "error"
                assert await code_of(client) == code

    asyncio.run(main())


def test_a_producer_writes_no_notes(locked: Service) -> None:
    """That is a reviewer's."""

    async def main() -> None:
        async with locked.client(additional_headers={"Authorization": "Bearer one"}) as client:
            await created(client)
            await client.send('{"type":"note","payload":{"text":"calm"},"ackId":1}')
            assert json.loads(await client.recv())["code"] == "forbidden"

    asyncio.run(main())


@pytest.mark.parametrize(("frame", "code"), [
    (None, 4408), ("no", 4400), ('{"type":"ping"}', 4401), ('{"type":"auth","payload":{"token":7}}', 4401),
    ('{"type":"auth","payload":{"token":"none"}}', 4401), ('{"type":"auth","payload":7}', 4400),
])  # fmt: skip
def test_no_token_in_time(locked: Service, monkeypatch: pytest.MonkeyPatch, frame: str | None, code: int) -> None:
    """Without one the first frame must bring it, soon."""
    if frame is None:
        monkeypatch.setattr(opening, "TOKEN_S", 0.1)

    async def main() -> None:
        async with locked.client() as client:
            if frame is not None:
                await client.send(frame)
            assert await code_of(client) == code

    asyncio.run(main())


def test_who_comes_back_needs_not_say_who_it_is(locked: Service) -> None:
    """The session says whose it is, also where the token has several users."""

    async def main() -> None:
        headers = {"Authorization": "Bearer two"}
        async with locked.client("?user_id=ben", additional_headers=headers) as client:
            mine = await created(client)
            client.transport.abort()
        way = f"?session_id={mine['sessionId']}&resume_token={mine['resumeToken']}"
        async with locked.client(way, additional_headers=headers) as back:
            assert (await created(back))["resumed"] is True

    asyncio.run(main())


def test_another_persons_session(locked: Service) -> None:
    """It is an invalid one, whoever has its token and its id."""

    async def main() -> None:
        async with locked.client("?user_id=ben", additional_headers={"Authorization": "Bearer two"}) as ben:
            his = await created(ben)
            way = f"?session_id={his['sessionId']}&resume_token={his['resumeToken']}"
            async with locked.client(way, additional_headers={"Authorization": "Bearer one"}) as ann:
                assert await code_of(ann) == 4404
            async with locked.client("?user_id=ann", additional_headers={"Authorization": "Bearer two"}) as ann:
                await created(ann)
                await ann.send(json.dumps({"sessionId": his["sessionId"], "command": "say"}))
                assert json.loads(await ann.recv())["payload"] == "Invalid or expired session."
                assert await code_of(ann) == 4404

    asyncio.run(main())


def test_who_is_turned_away_is_no_error(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A page of another site is told 403 and why. The log has no error of it, else such a page could fill it."""

    async def come(service: Service) -> None:
        async with service.client(additional_headers={"Origin": "https://elsewhere.example"}):
            pass

    with service_in(tmp_path) as service, pytest.raises(InvalidStatus) as refused:
        asyncio.run(come(service))
    assert refused.value.response.status_code == 403
    assert b"another origin" in refused.value.response.body
    assert [found.message for found in caplog.records if found.levelname == "ERROR"] == []
