"""Document 001, the session manager behind a gateway: its code and ours say the same over a socket.

The document's TypeScript runs in Node, where Node is there; only its types are taken out, and its placeholder for
`data` is filled. What it is known to say is checked in any case.
"""

import asyncio
import json
import re
import shutil
import subprocess
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidMessage
from websockets.sync.server import ServerConnection, serve
from websockets.typing import Subprotocol

from a3cp_sessions import Sessions
from a3cp_sessions.gateway import SessionManager
from processor.kafka.reading.reader import Reader
from processor.settings.model import Settings
from tests.patience import PATIENCE_S, until
from tests.requirements.stage import ROOT, Document
from tests.served import Served, served, served_on_kafka

DOCUMENT = Document("001_session_manager_skeleton.md")
NODE = shutil.which("node")
CLIENT = ROOT / "examples" / "requirements" / "001" / "client.mjs"
WORDS = {"type": "error", "payload": "Invalid or expired session."}
SAID: list[dict[str, Any]] = [
    {"command": "greet", "payload": {"text": "hello"}},
    {"command": "ask", "payload": ["a", 1, None]},
]
TOLD: list[tuple[list[dict[str, Any]], list[Any]]] = [  # what is said besides, and what is told
    ([], ["created"]),
    ([{"sessionId": "none", "command": "ask", "payload": 1}], ["created", WORDS, "closed"]),
    ([{"sessionId": None, "command": "ask", "payload": 1}], ["created", WORDS, "closed"]),
]
COUNT = 300
needs_node = pytest.mark.skipif(NODE is None, reason="Node is not there")
ANYWHERE = pytest.mark.parametrize(
    "service", ["memory", pytest.param("kafka", marks=pytest.mark.broker)], indirect=True
)


@pytest.fixture
def service(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Served]:
    """A live service, without grace, as the document has it."""
    if getattr(request, "param", None) == "kafka":
        kafka, topics = request.getfixturevalue("kafka"), request.getfixturevalue("topics")
        settings = {"ws_grace_ms": "0", "site_key": "the key of this site"}
        running: AbstractContextManager[Served] = served_on_kafka(kafka, topics, tmp_path, **settings)
    else:
        running = served(tmp_path, Settings(store_url=f"sqlite:///{tmp_path / 'a3cp.db'}", ws_grace_ms=0))
    with running as service:
        yield service


def socket_of(service: Served) -> str:
    return service.url.replace("http://", "ws://") + "/ws"


def run_node(program: str, *arguments: str, timeout_s: float = 60) -> str:
    assert NODE is not None
    version = subprocess.run([NODE, "--version"], capture_output=True, text=True, check=True).stdout
    flags = ["--experimental-websocket"] if int(version[1:].split(".")[0]) < 22 else []
    command = [NODE, "--no-warnings", *flags, "--input-type=module", "--eval", program, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=timeout_s, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def its_program() -> str:
    """The document's manager and handler, without their types, with what stands for a socket."""
    manager = DOCUMENT.block("### `src/io/session/manager.ts`", "typescript")
    handler = DOCUMENT.block("### `src/io/gateway/handler.ts` (Example Update)", "typescript")
    program = re.sub(r"^import .*$", "", manager + handler, flags=re.MULTILINE)
    program = re.sub(r"\b(?:public|private|export) ", "", program)
    program = re.sub(
        r"(\w|\)): (?:Map<string, Session>|Session(?: \| undefined)?|string|boolean)(?=[ ,)=])", r"\1", program
    )
    program = program.replace("// ... validation logic ...", "const data = JSON.parse(message);")
    return f"""
import {{ randomUUID }} from "crypto";
console.log = () => {{}};
{program}
const hooks = {{}}, out = [];
const ws = {{
  send: (text) => out.push(JSON.parse(text)),
  close: () => out.push("closed"),
  on: (name, hook) => {{ hooks[name] = hook; }},
}};
handleConnection(ws);
const {{ sessionId }} = out[0].payload;
for (const said of JSON.parse(process.argv[1])) hooks.message(JSON.stringify({{ sessionId, ...said }}));
const before = SessionManager.getSession(sessionId) !== undefined;
hooks.close();
const after = SessionManager.getSession(sessionId) !== undefined;
process.stdout.write(JSON.stringify({{ out, before, after }}));
"""


def compact(frame: Any) -> str:
    return json.dumps(frame, separators=(",", ":"))


async def talk(url: str, said: Sequence[dict[str, Any]]) -> list[Any]:
    """Say something without a subprotocol, as the document's client does; return what comes back.

    A ping follows: what comes in answer to the frames comes before its pong.
    """
    out: list[Any] = []
    async with asyncio.timeout(PATIENCE_S), connect(url, open_timeout=None) as client:
        out.append(json.loads(await client.recv()))
        with suppress(ConnectionClosed):  # What came before it is there to read.
            for frame in said:
                await client.send(compact({"sessionId": out[0]["payload"]["sessionId"], **frame}))
            await client.send(compact({"type": "ping"}))
        try:
            while (frame := json.loads(await client.recv()))["type"] != "pong":
                out.append(frame)
        except ConnectionClosed:
            out.append("closed")
    return out


def likened(out: Sequence[Any]) -> list[Any]:
    """What is told, without what differs each time, and what we tell besides."""
    created = out[0]
    assert created["type"] == "session_created"
    assert isinstance(created["payload"]["sessionId"], str)
    return ["created", *out[1:]]


@ANYWHERE
def test_its_frames(service: Served) -> None:
    """What the document's handler sends, ours sends, in the same order; and ours forwards the messages to the log."""
    messages, ids = [compact(frame).encode() for frame in SAID], []
    for more, told in TOLD:
        said = [*SAID, *more]
        if NODE is not None:
            its = json.loads(run_node(its_program(), json.dumps(said)))
            assert likened(its["out"]) == told
            assert (its["before"], its["after"]) == (True, False)
        ours = asyncio.run(talk(socket_of(service), said))
        assert likened(ours) == told
        ids.append(ours[0]["payload"]["sessionId"].encode())

    def is_logged() -> bool:
        log = service.log()
        twice = 2 * len(TOLD)  # as raw and as tagged messages
        return all(each in log for each in ids) and all(log.count(each) == twice for each in messages)

    until(is_logged)


def test_its_session_has_our_members(service: Served) -> None:
    """The members of the document's Session, and no others, are those of ours."""
    interface = DOCUMENT.block("### `src/io/types.ts` (Appending Session type)", "typescript").split("}")[0]
    members = re.findall(r"^  (\w+): (\w+)", interface, re.MULTILINE)
    with Sessions(service.url) as sessions:
        session = SessionManager(sessions).createSession("human_reviewer_1")
    assert list(session) == [name for name, _ in members]
    kinds = {"string": str, "number": int, "Record": dict}
    assert [type(value) for value in session.values()] == [kinds[kind] for _, kind in members]


@needs_node
def test_our_javascript_client(service: Served) -> None:
    """The example of docs/sockets.md: what is said is acknowledged, and tagged in its order."""
    program = f"""
import {{ SessionSocket }} from "{CLIENT.as_uri()}";
const frames = [];
const socket = new SessionSocket(process.argv[1], {{ onFrame: (frame) => frames.push(frame) }});
const acks = await Promise.all([1, 2, 3].map((number) => socket.say("count", {{ number }})));
await socket.ask("pause");
while (frames.filter(({{ type }}) => type === "tagged").length < 3) await new Promise((go) => setTimeout(go, 10));
await socket.ask("dance").catch((error) => frames.push({{ type: "refused", payload: error.message }}));
socket.onClose = async (code) => {{
  const late = await socket.say("count").catch((error) => error.message);
  process.stdout.write(JSON.stringify({{ acks, frames, code, late }}));
  process.exit(0);
}};
socket.close();
"""
    done = json.loads(run_node(program, socket_of(service)))
    assert [ack["ackId"] for ack in done["acks"]] == [1, 2, 3]
    tagged = [frame["payload"] for frame in done["frames"] if frame["type"] == "tagged"]
    assert [(each["ackId"], each["seq"]) for each in tagged] == [(1, 1), (2, 2), (3, 3)]
    assert "refused" in [frame["type"] for frame in done["frames"]]
    assert done["late"] == "closed with 1000"  # Nothing is promised any more.


def test_our_python_example(service: Served, capsys: pytest.CaptureFixture[str]) -> None:
    """The program of docs/sockets.md: one message is acknowledged, and tagged."""
    (program,) = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "sockets.md").read_text("utf-8"), re.DOTALL)
    exec(program.replace("ws://127.0.0.1:8080/ws", socket_of(service)), {"__name__": "example"})
    assert sorted(capsys.readouterr().out.splitlines()) == ["ack 1", "tagged 1"]


class Speaker:
    """A client in Python that comes back and says nothing twice: the example of docs/sockets.md, grown up."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._waiting: dict[int, Any] = {}
        self._created: dict[str, Any] = {}
        self._position = ""

    async def say(self, count: int) -> None:
        numbers = iter(range(1, count + 1))
        while True:
            try:
                async with connect(self._way(), subprotocols=[Subprotocol("a3cp.v1")]) as client:
                    await self._talk(client, numbers)
                    return
            except (OSError, TimeoutError, InvalidMessage, ConnectionClosed):  # Killed before it welcomed us, or after.
                await asyncio.sleep(0.1)

    def _way(self) -> str:
        if not self._created:
            return self._url
        token, session_id = self._created["resumeToken"], self._created["sessionId"]
        return f"{self._url}?session_id={session_id}&resume_token={token}&after={self._position}"

    async def _talk(self, client: Any, numbers: Iterator[int]) -> None:
        frame = json.loads(await client.recv())
        assert frame["type"] == "session_created" or frame.get("code") in ("starting", "not_caught_up"), frame
        if frame["type"] == "error":
            raise ConnectionClosed(None, None)
        self._created, self._position = frame["payload"], frame["payload"]["position"]
        for ack_id in list(self._waiting):
            await self._send(client, ack_id)
        saying = asyncio.create_task(self._say_all(client, numbers))
        try:
            while self._waiting or not saying.done():
                frame = json.loads(await asyncio.wait_for(client.recv(), 30))
                if frame["type"] == "ack":
                    self._waiting.pop(frame["payload"]["ackId"], None)
                elif frame["type"] in ("tagged", "event"):
                    self._position = frame["payload"]["position"]
        finally:
            saying.cancel()
            await asyncio.gather(saying, return_exceptions=True)

    async def _say_all(self, client: Any, numbers: Iterator[int]) -> None:
        for number in numbers:
            self._waiting[number] = {"number": number}
            await self._send(client, number)
            await asyncio.sleep(0.02)

    async def _send(self, client: Any, ack_id: int) -> None:
        frame = {"sessionId": self._created["sessionId"], "command": "count", "ackId": ack_id}
        await client.send(json.dumps({**frame, "payload": self._waiting[ack_id]}))


def in_python(url: str) -> None:
    asyncio.run(asyncio.wait_for(Speaker(url).say(COUNT), 400))


def in_javascript(url: str) -> None:
    program = f"""
import {{ SessionSocket }} from "{CLIENT.as_uri()}";
const socket = new SessionSocket(process.argv[1]);
const acks = [];
for (let number = 1; number <= {COUNT}; number++) {{
  acks.push(socket.say("count", {{ number }}));
  await new Promise((go) => setTimeout(go, 20));
}}
await Promise.all(acks);
process.exit(0);
"""
    run_node(program, url, timeout_s=400)


@pytest.mark.broker
@pytest.mark.long
@pytest.mark.parametrize("service", ["kafka"], indirect=True)
@pytest.mark.parametrize("speak", [in_python, pytest.param(in_javascript, marks=needs_node)])
def test_processor_and_service_are_killed_in_between(service: Any, speak: Any) -> None:
    """A client that goes on speaking meanwhile has said everything once, in its order, in one session."""
    with ThreadPoolExecutor(1) as others:
        speaking = others.submit(speak, socket_of(service))
        for _ in range(3):
            time.sleep(2)
            service.restart()
        speaking.result(400)
    said = tagged_of(service, COUNT)
    assert [each["payload"]["payload"]["number"] for each in said] == list(range(1, COUNT + 1))
    assert len({each["session_id"] for each in said}) == 1
    assert [each["session_seq"] for each in said] == list(range(1, COUNT + 1))


@needs_node
def test_a_client_in_javascript_keeps_its_order_while_a_session_is_gone_on_with() -> None:
    """What it says between the opening of a new line and `session_created` stands behind what still waits."""
    lines = iter([0.0, 0.3])
    came: list[list[int]] = []

    def one_line(connection: ServerConnection) -> None:
        time.sleep(next(lines))
        created = {"sessionId": "sess_1", "resumeToken": "t", "position": "0"}
        connection.send(json.dumps({"type": "session_created", "payload": created}))
        came.append(said := [])
        for frame in connection:
            said.append(json.loads(frame)["ackId"])
            if len(came) == 1:
                connection.close(1012)
            else:
                connection.send(json.dumps({"type": "ack", "payload": {"ackId": said[-1]}}))

    with serve(one_line, "127.0.0.1", 0, subprotocols=[Subprotocol("a3cp.v1")]) as server:
        Thread(target=server.serve_forever).start()
        port = server.socket.getsockname()[1]
        in_javascript(f"ws://127.0.0.1:{port}/ws")
        server.shutdown()
    assert came[1] == list(range(1, COUNT + 1))


def tagged_of(service: Any, count: int) -> list[dict[str, Any]]:
    """The tagged messages of the one session, once there are so many, in the log's order."""

    def read() -> list[dict[str, Any]]:
        with Reader({"bootstrap.servers": service.kafka}, f"{service.prefix}.tagged") as reader:
            return [json.loads(record.value) for record in reader.read_all() if record.value]

    until(lambda: len(read()) >= count)
    return read()


@needs_node
def test_a_client_in_javascript_leaves_a_line_that_is_silent() -> None:
    """A device that slept, or a network in between, may have lost it without a word: it comes back."""
    has_come_back = Event()
    lines = iter(["silent"])
    program = f"""
const began = Date.now(), now = Date.now, every = setInterval;
Date.now = () => began + 100 * (now() - began);
globalThis.setInterval = (does, ms) => every(does, ms / 100);
const {{ SessionSocket }} = await import("{CLIENT.as_uri()}");
const pongs = new Promise((heard) => {{
  const socket = new SessionSocket(process.argv[1], {{ onFrame: ({{ type }}) => type === "pong" && heard() }});
  socket.say("greet");
}});
await pongs;
process.exit(0);
"""

    def one_line(connection: ServerConnection) -> None:
        created = {"sessionId": "sess_1", "resumeToken": "t", "position": "0"}
        connection.send(json.dumps({"type": "session_created", "payload": created}))
        if next(lines, "well") == "silent":
            has_come_back.wait(60)
            return
        has_come_back.set()
        for text in connection:
            frame = json.loads(text)
            told = {"type": "pong", "payload": {}} if frame.get("type") == "ping" else {"type": "ack", "payload": frame}
            connection.send(json.dumps(told))

    with serve(one_line, "127.0.0.1", 0, subprotocols=[Subprotocol("a3cp.v1")]) as server:
        Thread(target=server.serve_forever).start()
        port = server.socket.getsockname()[1]
        run_node(program, f"ws://127.0.0.1:{port}/ws")
        server.shutdown()
    assert has_come_back.is_set()
