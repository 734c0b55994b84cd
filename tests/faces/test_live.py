"""Streams of what happens: what comes, from where on, and for whom."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import Any, NamedTuple

import pytest
from starlette.testclient import TestClient

from processor.codec.events import SOURCE, sealed_view, to_json
from processor.faces.app import make_app
from processor.faces.auth.doors import Caller, Doors
from processor.faces.middleware.shell import Shell
from processor.faces.v1.queries import live
from processor.in_memory import MemoryDeployment, Replica
from processor.sessions.ports import SESSIONS, SessionFilter
from tests.faces.reading import ALL, MINUTE_MS, Named, command, say, sees, start
from tests.faces.stage import http_of, problem
from tests.patience import PATIENCE_S


class Sent(NamedTuple):
    """One event of a stream."""

    kind: str
    id: str
    data: Any


class Stream:
    """A stream as its reader has it, over ASGI: what is sent is kept as it comes."""

    def __init__(self) -> None:
        self.status = 0
        self.text = b""
        self.ended = False
        self._gone = asyncio.Event()
        self._news = asyncio.Event()
        self._begun = False
        self.takes = asyncio.Event()
        self.takes.set()

    async def receive(self) -> dict[str, Any]:
        if not self._begun:
            self._begun = True
            return {"type": "http.request", "body": b""}
        await self._gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Any) -> None:
        await self.takes.wait()
        if message["type"] == "http.response.start":
            self.status = message["status"]
        else:
            self.text += message.get("body", b"")
            self.ended = not message.get("more_body", False)
        self._news.set()

    def leave(self) -> None:
        self._gone.set()

    @property
    def events(self) -> list[Sent]:
        found = []
        for block in self.text.decode().split("\n\n")[:-1]:
            fields = dict(line.split(": ", 1) for line in block.split("\n") if ": " in line)
            if "data" in fields:
                found.append(Sent(fields["event"], fields["id"], json.loads(fields["data"])))
        return found

    @property
    def last_id(self) -> str:
        return [line for line in self.text.decode().split("\n") if line.startswith("id: ")][-1][4:]

    async def until(self, is_so: Callable[["Stream"], bool]) -> list[Sent]:
        """Wait until something is so, and return all events."""
        async with asyncio.timeout(PATIENCE_S):
            while not is_so(self):
                self._news.clear()
                await self._news.wait()
        return self.events

    def has(self, count: int) -> bool:
        return self.text.count(b"event: ") >= count

    async def first(self, count: int) -> list[Sent]:
        return await self.until(partial(Stream.has, count=count))


@asynccontextmanager
async def stream(
    replica: MemoryDeployment | Replica, path: str, *, after: str | None = None, who: Caller = ALL
) -> AsyncIterator[Stream]:
    """Follow `path`; it has begun when this is entered."""
    app = make_app(replica.context(), Shell(doors=Doors(Named(who))))
    path, _, query = path.partition("?")
    headers = {"host": "127.0.0.1", "authorization": f"Bearer {who.name}"}
    if after is not None:
        headers["last-event-id"] = after
    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "GET", "scheme": "http",
        "path": path, "raw_path": path.encode(), "query_string": query.encode(), "root_path": "",
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
        "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 80), "state": {},
    }  # fmt: skip
    reader = Stream()
    running = asyncio.create_task(app(scope, reader.receive, reader.send))
    try:
        await reader.until(lambda each: each.ended or b"id: " in each.text)
        yield reader
    finally:
        reader.leave()
        await asyncio.wait_for(running, PATIENCE_S)


def test_what_happens_in_a_session_comes_at_once(deployment: MemoryDeployment) -> None:
    """Messages and events, each with the position behind it; of other sessions nothing."""

    async def run() -> None:
        session_id = start(deployment, "ann~00000001")
        start(deployment, "bob")
        async with stream(deployment, f"/v1/sessions/{session_id}/live") as reader:
            say(deployment, "bob")
            say(deployment, "ann~00000001", transcript="hello")
            command(deployment, "ann~00000001", "note", session_notes="well")
            message, note = await reader.first(2)
        assert (message.kind, message.data["transcript"], message.data["session_seq"]) == ("message", "hello", 1)
        assert (note.kind, note.data["kind"], note.data["session_notes"]) == ("event", "note", "well")
        assert {message.data["user_id"], note.data["user_id"]} == {"ann"}
        assert message.id != note.id

    asyncio.run(run())


def happen(deployment: MemoryDeployment, user_id: str) -> str:
    """Let a session begin, and five things happen in it."""
    session_id = start(deployment, user_id)
    for number in range(1, 4):
        say(deployment, user_id, transcript=f"words {number}")
        if number == 1:
            command(deployment, user_id, "note", session_notes="well")
        deployment.advance(MINUTE_MS)
    command(deployment, user_id, "end")
    return session_id


def what(events: list[Sent]) -> list[str]:
    return [event.data.get("transcript") or event.data["kind"] for event in events]


@pytest.mark.parametrize("is_exported", [False, True])
def test_a_stream_goes_on_where_it_was_left(deployment: MemoryDeployment, is_exported: bool) -> None:
    """From each position in between, on another replica too: nothing is missed, nothing comes twice."""

    async def run() -> None:
        begun = deployment.view.progress.positions()
        session_id = happen(deployment, "ann")
        place = next(p for p in begun if p.partition == deployment.view.progress.position_of("ann").partition)
        if is_exported:
            deployment.export()
        replica = deployment.replica()
        async with stream(replica, f"/v1/sessions/{session_id}/live", after=str(place)) as reader:
            all_of_it = await reader.first(6)
        assert what(all_of_it) == ["started", "words 1", "note", "words 2", "words 3", "ended"]
        for number, event in enumerate(all_of_it[:-1]):
            async with stream(replica, f"/v1/sessions/{session_id}/live", after=event.id) as reader:
                rest = await reader.first(5 - number)
            assert what(rest) == what(all_of_it[number + 1 :])
        async with stream(replica, f"/v1/sessions/{session_id}/live?after={all_of_it[2].id}") as reader:
            assert what(await reader.first(3)) == ["words 2", "words 3", "ended"]

    asyncio.run(run())


@pytest.mark.parametrize("unknown", ["ffffff:p0:s1.t1", ""])
def test_from_an_unknown_position_it_begins_anew(deployment: MemoryDeployment, unknown: str) -> None:
    """Another cluster's: first the session as it is, then what happens; an empty one is none."""

    async def run() -> None:
        session_id = start(deployment, "ann")
        say(deployment, "ann")
        async with stream(deployment, f"/v1/sessions/{session_id}/live", after=unknown) as reader:
            say(deployment, "ann", transcript="next")
            events = await reader.first(2 if unknown else 1)
        if unknown:
            assert (events[0].kind, events[0].data["message_count"]) == ("reset", 1)
        assert events[-1].data["transcript"] == "next"

    asyncio.run(run())


@pytest.mark.parametrize("nonsense", ["nonsense", "\u00e9", "7", "000000:p0:s1.t1,x"])
def test_what_is_no_position_is_refused(deployment: MemoryDeployment, http: TestClient, nonsense: str) -> None:
    """As `as_of` refuses it: who misspells a position is told, and is not sent everything anew."""
    session_id = start(deployment, "ann")
    for path in (f"/v1/sessions/{session_id}/live", "/v1/live"):
        for asked in (
            http.get(path, params={"after": nonsense}),
            http.get(path, headers={b"Last-Event-ID": nonsense.encode()}),
        ):
            assert problem(asked) == (422, "invalid_request")
            assert asked.json()["detail"] == "the position is none that this service has told"


def test_of_many_sessions_their_changes_come(deployment: MemoryDeployment) -> None:
    """As they are then, with what has happened; those that pass alone."""

    async def run() -> None:
        async with stream(deployment, "/v1/live?user_id=ann") as reader:
            start(deployment, "bob")
            session_id = start(deployment, "ann~00000001", template="interview")
            say(deployment, "ann~00000001")
            command(deployment, "ann~00000001", "pause")
            begun, paused = await reader.first(2)
        assert {begun.kind, paused.kind} == {"session"}
        assert (begun.data["session_id"], begun.data["user_id"]) == (session_id, "ann")
        assert (begun.data["event"]["kind"], begun.data["template"]) == ("started", "interview")
        assert (paused.data["event"]["kind"], paused.data["status"], paused.data["message_count"]) == (
            "paused", "paused", 1,
        )  # fmt: skip
        assert paused.data["event"]["user_id"] == "ann"

    asyncio.run(run())


def test_a_seal_in_the_log_is_no_news(deployment: MemoryDeployment) -> None:
    """No reader takes it for a session's event: streams, lists, the search and the exporter's sums pass it over."""

    async def run() -> None:
        async with stream(deployment, "/v1/live") as reader:
            told = to_json(sealed_view('{"day":"2025-12-01"}', deployment.clock.now_ms()))
            deployment.broker.produce(SESSIONS, SOURCE, told)
            deployment.run()
            session_id = start(deployment, "ann")
            (news,) = await reader.first(1)
        assert news.data["session_id"] == session_id

    asyncio.run(run())
    deployment.export()
    with http_of(deployment) as http:
        assert [session["user_id"] for session in http.get("/v1/sessions").json()["sessions"]] == ["ann"]
    assert (deployment.store.reader.count(SessionFilter()), deployment.store.reader.totals().events) == (1, 2)
    assert deployment.store.reader.search("2025-12-01", limit=9) == []


def test_of_many_sessions_what_changed_meanwhile_comes_first(deployment: MemoryDeployment) -> None:
    """Each session that has changed, as it is, once; without a position nothing of before."""

    async def run() -> None:
        async with stream(deployment, "/v1/live") as reader:
            old = start(deployment, "ann")
            (event,) = await reader.first(1)
        changed = start(deployment, "bob")
        command(deployment, "bob", "pause")
        async with stream(deployment, "/v1/live", after=event.id) as reader:
            command(deployment, "ann", "pause")
            missed, live = await reader.first(2)
        assert (missed.kind, missed.data["session_id"], missed.data["status"]) == ("session", changed, "paused")
        assert (live.data["session_id"], live.data["event"]["kind"]) == (old, "paused")

    asyncio.run(run())


def test_of_many_sessions_a_list_comes_for_an_unknown_position(deployment: MemoryDeployment) -> None:
    """The first page of what the filter means."""

    async def run() -> None:
        session_id = start(deployment, "ann")
        start(deployment, "bob")
        async with stream(deployment, "/v1/live?user_id=ann", after="ffffff:p0:s1.t1") as reader:
            (reset,) = await reader.first(1)
        assert reset.kind == "reset"
        assert [each["session_id"] for each in reset.data["sessions"]] == [session_id]

    asyncio.run(run())


def test_foreign_sessions_do_not_come(deployment: MemoryDeployment) -> None:
    """One is not there; of many, those that the caller sees."""

    async def run() -> None:
        session_id = start(deployment, "ann")
        async with stream(deployment, f"/v1/sessions/{session_id}/live", who=sees("bob")) as reader:
            assert (reader.status, reader.ended) == (404, True)
        async with stream(deployment, "/v1/live", who=sees("bob")) as reader:
            command(deployment, "ann", "pause")
            mine = start(deployment, "bob")
            (event,) = await reader.first(1)
        assert event.data["session_id"] == mine

    asyncio.run(run())


@pytest.mark.parametrize("path", ["/v1/live?nosuch=1", "/v1/live?status=x", "/v1/live?limit=1", "/v1/live?q=x"])
def test_what_is_not_known_is_refused(deployment: MemoryDeployment, path: str) -> None:
    """As in lists."""

    async def run() -> None:
        async with stream(deployment, path) as reader:
            assert reader.status == 422

    asyncio.run(run())


def test_a_quiet_stream_says_that_it_lives(deployment: MemoryDeployment, monkeypatch: pytest.MonkeyPatch) -> None:
    """By comments, which no reader takes for events."""
    monkeypatch.setattr("processor.faces.v1.queries.live.SILENCE_S", 0.02)

    async def run() -> None:
        async with stream(deployment, "/v1/live") as reader:
            await reader.until(lambda each: each.text.count(b":\n\n") >= 3)
            start(deployment, "ann")
            assert [event.kind for event in await reader.first(1)] == ["session"]

    asyncio.run(run())


def test_a_stream_leaves_nothing_behind(deployment: MemoryDeployment) -> None:
    """Whoever goes is forgotten, also who was refused."""

    async def run() -> None:
        session_id = start(deployment, "ann")
        for path, who in ((f"/v1/sessions/{session_id}/live", ALL), (f"/v1/sessions/{session_id}/live", sees("bob")),
                          ("/v1/live", ALL)):  # fmt: skip
            async with stream(deployment, path, who=who):
                pass
        watchers = deployment.view._watchers
        assert (watchers._of_session, watchers._of_all) == ({}, [])

    asyncio.run(run())


def test_who_reads_too_slowly_is_let_go_and_comes_back(deployment: MemoryDeployment) -> None:
    """The others are not held up; from the last position on nothing is missed."""

    async def run() -> None:
        session_id = start(deployment, "ann")
        path = f"/v1/sessions/{session_id}/live"
        async with stream(deployment, path) as reader, stream(deployment, path) as other:
            reader.takes.clear()
            for number in range(300):
                say(deployment, "ann", transcript=str(number))
                await other.until(partial(Stream.has, count=number + 1))
            reader.takes.set()
            seen = await reader.until(lambda each: each.ended)
        assert 0 < len(seen) < 300
        async with stream(deployment, path, after=reader.last_id) as again:
            seen += await again.first(300 - len(seen))
        assert what(seen) == [str(number) for number in range(300)]

    asyncio.run(run())


def test_many_streams_share_one_encoding(deployment: MemoryDeployment) -> None:
    """What happens is encoded once, however many follow it."""

    async def run() -> None:
        session_id = start(deployment, "ann")
        before = live._encoded.cache_info().misses
        async with AsyncExitStack() as streams:
            readers = [
                await streams.enter_async_context(stream(deployment, f"/v1/sessions/{session_id}/live"))
                for _ in range(20)
            ]
            say(deployment, "ann")
            sent = [await reader.first(1) for reader in readers]
        assert all(events == sent[0] for events in sent)
        assert live._encoded.cache_info().misses == before + 1

    asyncio.run(run())
