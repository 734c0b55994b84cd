"""`AsyncSessions`: what can be done with sessions, as coroutines; `sessions.py` has the same for threads."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from datetime import datetime
from typing import Any, Final, Literal, Self, TypedDict, Unpack
from urllib.parse import quote
from uuid import uuid4

import msgspec

from processor.client.commands import as_json
from processor.client.service.asking import TIMEOUT_S, Asking
from processor.client.service.exchange import Exchange, Suspending
from processor.client.service.forms import Added, Audit, Event, Live, Message, OpenCounts, Page, Session, Validity
from processor.client.service.opening import backend_of
from processor.client.service.problems import SessionClosed, SessionNotFound, SessionRemoved, Unavailable
from processor.client.service.remembered import Remembered
from processor.codec.events import SCHEMA_VERSION
from processor.codec.isotime import format_time, wall_ms

_VALIDITY_WAIT_S: Final = 2.0  # How long the service is waited for while its last answer can be repeated.
_PAGE: Final = 200
_VALIDATE: Final = "/session_manager/sessions.validate"
_BY_ITSELF: Final = frozenset({"timeout", "pause_timeout", "max_duration"})  # reasons of ends that nobody asked for


class Filters(TypedDict, total=False):
    """Which sessions are meant: those that all of it fits."""

    user_id: str
    status: str  # active, paused, closed, open, partial or complete
    since: datetime | str  # started then or later
    until: datetime | str  # started before
    template: str
    flag: str | Sequence[str]  # of a message in it; of several any
    tag: str
    phase: str
    min_duration_s: float
    has_notes: bool
    q: str  # words that are said in it


class Start(TypedDict, total=False):
    """What a new session is told."""

    template: str
    performer_id: str
    context: Mapping[str, Any]
    session_notes: str
    is_training_data: bool
    training_intent_label: str


class AsyncSessions:
    """Sessions for asyncio. An async context manager.

    >>> import asyncio
    >>> from a3cp_sessions import AsyncSessions
    >>> async def main():
    ...     async with AsyncSessions("memory://") as sessions:
    ...         session = await sessions.create("elias01")
    ...         return await sessions.validate("elias01", session.session_id)
    >>> asyncio.run(main())
    'active'

    Each method may raise a `ServiceError` (`problems.py`). `Unavailable` below it comes only after the time-out: until
    then a request is repeated, which is safe, since each command has an idempotency key.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        token: str | None = None,
        timeout_s: float = TIMEOUT_S,
        exchange: Exchange | None = None,
        repeats: bool = True,
    ) -> None:
        """Choose the service; it is connected to when it is needed.

        Args:
            url: `http://host:port`: a service. `kafka://host:port`: one of this process's own, on that Kafka.
                `memory://`: one of this process's own without any Kafka, for tests. None: A3CP_URL, else the Kafka of
                the settings.
            token: what the service knows its callers by; A3CP_TOKEN when None.
            timeout_s: how long a call may take, with its repeats.
            exchange: how requests travel, instead of what the URL says.
            repeats: ask again what may succeed later.

        Raises:
            UsageError: the URL is none of these.
        """
        self._asking: Final = Asking(exchange or Suspending(backend_of(url, token)), timeout_s, repeats=repeats)
        self._remembered: Final = Remembered()

    async def close(self) -> None:
        """Let go of the connections, and of a service of this process's own."""
        await self._asking.exchange.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def create(
        self,
        user_id: str | None = None,
        *,
        user_info: Mapping[str, Any] | None = None,
        resume_data: Mapping[str, Any] | None = None,
        idempotency_key: str | None = None,
        **start: Unpack[Start],
    ) -> Session:
        """Begin a session beside those that the user may have open; each call begins another one.

        Args:
            user_id: whose session it is; a made one when None.
            user_info: who that is, for the profile store only; it never comes into the log.
            resume_data: what an interview begins with, likewise.
            idempotency_key: a call with the same key returns the session of the first.
            start: template, performer_id, context, session_notes, is_training_data, training_intent_label.

        >>> sessions.create("elias01", template="interview").template
        'interview'
        """
        body = {"user_id": user_id, "user_info": user_info, "resume_data": resume_data, **start}
        return await self._begun(body, idempotency_key)

    async def start(
        self,
        user_id: str,
        *,
        if_open: Literal["return", "new", "fail"] = "return",
        idempotency_key: str | None = None,
        **start: Unpack[Start],
    ) -> Session:
        """Begin the user's one session, or return the one that is open.

        Args:
            user_id: whose session it is.
            if_open: what happens if one is open. `return`: it is returned; `new`: it ends, and another one begins;
                `fail`: `AlreadyActive` is raised.
            idempotency_key: a call with the same key returns what the first returned.
            start: as for `create`.

        >>> one = sessions.start("wren-03")
        >>> sessions.start("wren-03").session_id == one.session_id
        True
        """
        body = {"user_id": user_id, "parallel": False, "if_open": if_open, **start}
        return await self._begun(body, idempotency_key)

    async def end(
        self, session_id: str, *, performer_id: str | None = None, idempotency_key: str | None = None
    ) -> Event:
        """End a session.

        Raises:
            SessionClosed: it has ended already.
        """
        ended = await self._told(session_id, "end", {"performer_id": performer_id}, idempotency_key)
        self._remembered.forget(session_id)
        return ended

    async def terminate(self, session_id: str, *, performer_id: str | None = None) -> bool:
        """End a session; return False if there is none that is open.

        >>> session = sessions.create("elias01")
        >>> sessions.terminate(session.session_id), sessions.terminate(session.session_id)
        (True, False)
        """
        try:
            await self.end(session_id, performer_id=performer_id)
        except (SessionClosed, SessionNotFound, SessionRemoved):
            self._remembered.forget(session_id)
            return False
        return True

    async def pause(
        self, session_id: str, *, performer_id: str | None = None, idempotency_key: str | None = None
    ) -> Event:
        """Pause a session: silence does not end it meanwhile. To pause a paused one changes nothing (`unchanged`)."""
        return await self._told(session_id, "pause", {"performer_id": performer_id}, idempotency_key)

    async def resume(
        self, session_id: str, *, performer_id: str | None = None, idempotency_key: str | None = None
    ) -> Event:
        """Go on with a paused session. To resume an active one changes nothing (`unchanged`)."""
        return await self._told(session_id, "resume", {"performer_id": performer_id}, idempotency_key)

    async def touch(self, session_id: str, *, performer_id: str | None = None) -> Event:
        """Count as activity: silence is measured from now on."""
        return await self._told(session_id, "touch", {"performer_id": performer_id}, None)

    async def get(self, session_id: str, *, as_of: str | datetime | None = None) -> Session:
        """Return a session as it is now, or as it was known at a time or a position. It does not count as activity.

        Raises:
            SessionNotFound: there is none, or the token does not see its user.
            SessionRemoved: it was erased, or its time of retention is over.
        """
        return await self._asking.read(
            _path(session_id), Session, params={"as_of": as_of}, session_id=None if as_of else session_id
        )

    async def get_active(self, user_id: str | None = None) -> tuple[Session, ...]:
        """Return the open sessions, paused ones too, newest first: a user's, or all that the token sees."""
        filters: Filters = {"status": "open"}
        if user_id is not None:
            filters["user_id"] = user_id
        found: list[Session] = []
        cursor: str | None = None
        while True:
            page = await self.list(limit=_PAGE, cursor=cursor, **filters)
            found += page.sessions
            if (cursor := page.next_cursor) is None:
                return tuple(found)

    async def list(
        self, *, limit: int = 50, offset: int | None = None, cursor: str | None = None, **filters: Unpack[Filters]
    ) -> Page:
        """Return sessions, newest first.

        Args:
            limit: how many, at most 200.
            offset: how many to leave out before them.
            cursor: `next_cursor` of the page before.
            filters: user_id, status, since, until, template, flag, tag, phase, min_duration_s, has_notes, q.

        >>> [session.user_id for session in sessions.list(user_id="elias01", limit=1)]
        ['elias01']
        """
        params = {"limit": limit, "offset": offset, "cursor": cursor, **filters}
        return await self._asking.read("/v1/sessions", Page, params=params)

    async def count(self, **filters: Unpack[Filters]) -> int:
        """Return how many sessions there are; filters as for `list`."""
        return (await self._asking.read("/v1/sessions/count", _Count, params=filters)).count

    async def count_open(self, template: str | None = None) -> OpenCounts:
        """Return how many sessions are open: all that the token sees, or those of one template."""
        return await self._asking.read("/v1/active", OpenCounts, params={"template": template})

    async def user_info(self, session_id: str) -> Mapping[str, Any]:
        """Return who the session's person is: the latest `user_info` that was given of them.

        >>> session = sessions.create("elias@example.com", user_info={"name": "Elias"})
        >>> sessions.user_info(session.session_id)
        {'name': 'Elias'}
        """
        return (await self._person(session_id)).user_info

    async def given_id(self, session_id: str) -> str | None:
        """Return the id that the session's person gave, such as an e-mail address; None if no profile is kept."""
        return (await self._person(session_id)).user_id

    async def add_message(
        self,
        session_id: str,
        message: Mapping[str, Any] | None = None,
        *,
        role: str | None = None,
        content: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        wait_s: float = 0,
    ) -> Added:
        """Add a message to a session; it is in the log when this returns.

        Args:
            session_id: the session.
            message: the message's fields. What every message has is filled in if it is missing: record_id, timestamp,
                schema_version and source.
            role: user or assistant, of a conversation; content, metadata: what was said. They are fields too.
            wait_s: how long to wait until the message is tagged; then its number and flags are told.

        Raises:
            SessionClosed: the session takes nothing more.

        >>> session = sessions.create("elias01", template="conversation")
        >>> added = sessions.add_message(session.session_id, role="user", content="good morning", wait_s=2)
        >>> [message["content"] for message in sessions.get_history(session.session_id)]
        ['good morning']
        """
        told = {"role": role, "content": content, "metadata": metadata}
        fields = _whole({**(message or {}), **{name: value for name, value in told.items() if value is not None}})
        return await self._added(session_id, "messages", as_json(fields), wait_s)

    async def get_history(
        self,
        session_id: str,
        limit: int = 20,
        *,
        role: str | None = None,
        since: datetime | str | None = None,
        until: datetime | str | None = None,
        before_seq: int | None = None,
        after_seq: int | None = None,
    ) -> Sequence[Message]:
        """Return the session's last messages, oldest first, with `session_seq`.

        Args:
            session_id: the session.
            limit: how many, at most 500. With `since`, `until` or `after_seq` they are the first of those meant.
            role: of a conversation: those of user or assistant alone.
            since, until, before_seq, after_seq: which messages are meant.
        """
        params = {
            "limit": limit, "role": role, "since": since, "until": until, "before_seq": before_seq,
            "after_seq": after_seq,
        }  # fmt: skip
        return (
            await self._asking.read(_path(session_id, "messages"), _Messages, params=params, session_id=session_id)
        ).messages

    async def resume_data(self, session_id: str) -> Mapping[str, Any] | None:
        """Return what the interview begins with; None if nothing was told, or it is not kept any longer."""
        path = _path(session_id, "resume_data")
        return (await self._asking.read(path, _Resume, session_id=session_id)).resume_data

    async def evaluation(self, session_id: str, report: Mapping[str, Any], *, wait_s: float = 0) -> Added:
        """Keep an evaluation with a session, also after its end; its `overall_score` becomes the session's `score`.

        `wait_s`: how long to wait until it is tagged; then lists know the score.

        Raises:
            SessionClosed: the session ended too long ago.

        >>> session = sessions.create("elias01")
        >>> ended = sessions.end(session.session_id)
        >>> kept = sessions.evaluation(session.session_id, {"overall_score": 82}, wait_s=2)
        >>> sessions.get(session.session_id).score
        82.0
        """
        return await self._added(session_id, "evaluation", as_json(report), wait_s)

    async def note(
        self,
        session_id: str,
        text: str,
        *,
        kind: str | None = None,
        performer_id: str | None = None,
        idempotency_key: str | None = None,
    ) -> Event:
        """Write down something about a session; `kind`: a word for it, such as `summary`."""
        body = {"text": text, "kind": kind, "performer_id": performer_id}
        return await self._told(session_id, "notes", body, idempotency_key)

    async def context(
        self, session_id: str, context: Mapping[str, Any], *, idempotency_key: str | None = None
    ) -> Event:
        """Tell a session's circumstances; the latest of each name holds.

        >>> session = sessions.create("elias01")
        >>> sessions.context(session.session_id, {"location": "kitchen"}).kind
        'context'
        """
        return await self._told(session_id, "context", as_json(context), idempotency_key)

    async def step(
        self,
        session_id: str,
        name: str,
        *,
        status: str | None = None,
        duration_ms: float | None = None,
        timing_key: str | None = None,
        data: Any = None,
        performer_id: str | None = None,
        idempotency_key: str | None = None,
    ) -> Event:
        """Tell a named unit of work.

        Args:
            session_id: the session.
            name: of the step.
            status: done, failed, …; a step without one counts as completed.
            duration_ms: how long it took; it is added to the session's `timing` under `timing_key`.
            timing_key: its name there; `<name>_ms` when None.
            data: what came of it.
            performer_id: who did it.
            idempotency_key: as for `create`.
        """
        body = {
            "name": name, "status": status, "duration_ms": duration_ms, "timing_key": timing_key, "data": data,
            "performer_id": performer_id,
        }  # fmt: skip
        return await self._told(session_id, "steps", body, idempotency_key)

    async def update_status(
        self,
        session_id: str,
        status: str,
        *,
        performer_id: str | None = None,
        idempotency_key: str | None = None,
    ) -> Event:
        """Tell a session's `phase`, in the words of its template.

        Raises:
            IllegalTransition: the template does not allow this word now.
            InvalidRequest: the template does not know the word.
        """
        body = {"status": status, "performer_id": performer_id}
        return await self._told(session_id, "status", body, idempotency_key)

    async def tag(
        self,
        session_id: str,
        *,
        add: Sequence[str] = (),
        remove: Sequence[str] = (),
        performer_id: str | None = None,
        idempotency_key: str | None = None,
    ) -> Event:
        """Put tags on a session, and take some off."""
        body = {"add": add or None, "remove": remove or None, "performer_id": performer_id}
        return await self._told(session_id, "tags", body, idempotency_key)

    async def get_audit(self, session_id: str) -> Audit:
        """Return which steps a session went through, how long they took, and what came of them."""
        return await self._asking.read(_path(session_id, "audit"), Audit, session_id=session_id)

    async def validate(self, user_id: str, session_id: str) -> Validity:
        """Return whether a session takes something: active (paused too), closed or invalid.

        While the service does not answer, an "active" that is not older than 30 s is repeated: a camera that asks every
        few seconds does not stop for a restart.

        Raises:
            Unavailable: the service does not answer, and there is no such "active".

        >>> session = sessions.create("elias01")
        >>> sessions.validate("elias01", session.session_id)
        'active'
        """
        now_s = self._asking.exchange.monotonic_s
        known = self._remembered.is_active(session_id, now_s())
        try:
            body = {"user_id": user_id, "session_id": session_id}
            told = await self._asking.question(_VALIDATE, body, _Told, timeout_s=_VALIDITY_WAIT_S if known else None)
        except Unavailable:
            if known:
                return "active"
            raise
        self._remembered.validated(session_id, now_s(), is_active=told.status == "active")
        return told.status

    async def purge_stale(self) -> int:
        """Return how many of the sessions begun by this object have ended by themselves since the last call.

        Sessions end by the clock of the log, so there is nothing to purge.
        """
        own = self._remembered.own
        if not own:
            return 0
        open_ids: set[str] = set()
        if (await self.count_open()).total < _PAGE * len(own):  # Then pages are fewer requests.
            open_ids.update(session.session_id for session in await self.get_active())
        count = 0
        for session_id in [each for each in own if each not in open_ids]:
            try:
                session = await self.get(session_id)
            except (SessionNotFound, SessionRemoved):
                self._remembered.forget(session_id)
                continue
            if not session.is_open:
                self._remembered.forget(session_id)
                count += session.end_reason in _BY_ITSELF
        return count

    async def export(
        self, session_id: str, form: Literal["zip", "html", "json", "jsonl", "csv", "timeline"] = "zip"
    ) -> bytes:
        """Return a session's files, as the exporter writes them: all in a zip, or the one of a kind."""
        answer = await self._asking.fetch(_path(session_id, "export"), params={"format": form}, session_id=session_id)
        return answer.body

    async def live(
        self, session_id: str | None = None, *, after: str | None = None, **filters: Unpack[Filters]
    ) -> AsyncGenerator[Live, None]:
        """Yield what happens: in a session its messages and events, else changes of the sessions that are meant.

        Args:
            session_id: the session; None: all that `filters` mean.
            after: the `position` of what was seen last; what came since is yielded first.
            filters: as for `list`.
        """
        path = "/v1/live" if session_id is None else _path(session_id, "live")
        async with aclosing(self._asking.live(path, filters, after)) as stream:
            async for happened in stream:
                yield happened

    async def _person(self, session_id: str) -> "_UserInfo":
        return await self._asking.read(_path(session_id, "user_info"), _UserInfo, session_id=session_id)

    async def _begun(self, body: Mapping[str, Any], key: str | None) -> Session:
        session = await self._asking.command("/v1/sessions", body, Session, key=key)
        self._asking.passed(session.session_id, session.position)
        self._remembered.began(session.session_id)
        return session

    async def _told(self, session_id: str, what: str, body: Mapping[str, Any] | bytes, key: str | None) -> Event:
        return await self._asking.command(_path(session_id, what), body, Event, session_id=session_id, key=key)

    async def _added(self, session_id: str, what: str, body: bytes, wait_s: float) -> Added:
        answer = await self._asking.command(_path(session_id, what), body, _Taken, session_id=session_id, wait_s=wait_s)
        return answer.messages[0] if answer.messages else Added(record_id=answer.record_ids[0], backend=answer.backend)


class _Told(msgspec.Struct):
    status: Validity


class _Count(msgspec.Struct):
    count: int


class _UserInfo(msgspec.Struct):
    user_info: dict[str, Any]
    user_id: str | None = None


class _Messages(msgspec.Struct):
    messages: tuple[dict[str, Any], ...]


class _Taken(msgspec.Struct):
    messages: tuple[Added, ...] = ()  # if they were waited for
    record_ids: tuple[Any, ...] = ()  # else
    backend: str = "kafka"


class _Resume(msgspec.Struct):
    resume_data: dict[str, Any] | None


def _path(session_id: str, what: str = "") -> str:
    """Return the path of a session, or of something of it.

    Raises:
        SessionNotFound: the id would make another path of it.
    """
    if session_id in ("", ".", ".."):
        raise SessionNotFound(
            "there is no such session", remedy="the session id is empty or dots; give that of a session"
        )
    return f"/v1/sessions/{quote(session_id, safe='')}{'/' if what else ''}{what}"


def _whole(fields: dict[str, Any]) -> dict[str, Any]:
    """Return a message with what every message has."""
    every = {"schema_version": SCHEMA_VERSION, "record_id": str(uuid4()), "timestamp": format_time(wall_ms())}
    return {**every, "source": "ui", **fields}
