"""What one request asks of the log: with a key, its command is carried out once."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from hashlib import sha256
from typing import Annotated, Any, Final, Unpack
from uuid import uuid4

from fastapi import Depends, Header, Request, Response

from processor.client.commands import Arguments, CommandWord
from processor.codec.events import EventView
from processor.faces.auth.doors import Asking, Caller
from processor.faces.problems import Problem
from processor.faces.replica.context import Context, Given
from processor.faces.replica.idempotency import Kept, record_id_of, refuse_another
from processor.faces.requests.asking import Answered, outcome
from processor.faces.requests.finding import Place, place_of, unknown
from processor.faces.requests.positions import position_headers
from processor.faces.v1.reading import in_thread
from processor.sessions.model import EventRow
from processor.view.held import Held

_REFUSED: Final = {"already_closed": ("session_closed", "the session is closed")}
_NOT_FOUND: Final = ("session_not_found", "there is no such session")


@dataclass(frozen=True, slots=True)
class Asked:
    """One request that writes."""

    request: Request
    context: Context
    who: Caller
    record_id: str | None  # of its command, derived from its Idempotency-Key; None without one
    digest: str  # of its body

    async def place_of(self, session_id: str) -> Place:
        """Return where a session is. Raises as `finding.place_of` does."""
        return await place_of(self.context, self.who, session_id)

    def replayed(self, user_id: str, part: str = "") -> Answered | None:
        """Return what came of the same request before; None if that is not known. Arguments as of `carry_out`.

        Raises:
            Problem: idempotency_key_reused.
        """
        record_id = self.record_id_of(part)
        if record_id is None:
            return None
        known, meanwhile = self.context.view.memory.outcome(record_id, user_id), self.context.meanwhile
        is_kept = known is None and meanwhile is not None
        if known is None and meanwhile is not None:
            known = meanwhile.outcome(record_id, user_id)
        if known is None:
            return None
        refuse_another(known, self.digest)
        return Answered(known, replayed=True, is_kept=is_kept)

    async def carry_out(
        self,
        user_id: str,
        word: CommandWord,
        *,
        part: str = "",
        session_id: str | None = None,
        performer_id: str | None = None,
        **arguments: Unpack[Arguments],
    ) -> Answered:
        """Return what comes of a command, or what came of it when the same request was sent before.

        Args:
            user_id: the core's, perhaps a lane; word: the command.
            part: tells apart the commands of a request that needs several.
            session_id: which session; the open one when None.
            performer_id: who asks; arguments: the command's own.

        Raises:
            Problem: the log refuses it; idempotency_key_reused, in_flight; as `outcome` raises it.
            UsageError, BrokerUnavailable: it was not sent.
        """
        answered = self.replayed(user_id, part) or await self._send(
            part, user_id, word, session_id=session_id, performer_id=performer_id, **arguments
        )
        if answered.event.kind == "rejected":
            raise refused(answered.event)
        return answered

    async def _send(self, part: str, user_id: str, word: CommandWord, **fields: Any) -> Answered:
        context, record_id = self.context, self.record_id_of(part)
        if record_id is None:
            return await outcome(context, self.request, context.sender.command(user_id, word, **fields), waits=True)
        command = context.sender.command(user_id, word, record_id=record_id, request=self.digest, **fields)
        with context.keys.under_way(record_id):
            context.keys.sending(record_id, self.digest)
            answered = await outcome(context, self.request, command, waits=True)
            refuse_another(answered.event, self.digest)
            return answered

    async def once(self, take: Callable[[], Awaitable[Response]]) -> Response:
        """Return the answer of `take`, or the one that this replica gave to the same request before.

        Raises:
            Problem: in_flight, idempotency_key_reused.
        """
        if self.record_id is None:
            return await take()
        keys = self.context.keys
        with keys.under_way(self.record_id):
            kept = keys.kept(self.record_id, self.digest)
            if kept is None:
                told = await take()
                keys.keep(self.record_id, Kept(self.digest, told.status_code, bytes(told.body)))
                return told
        positions = self.context.view.progress.positions()
        headers = {**position_headers(self.request, positions), "Idempotent-Replayed": "true"}
        return Response(kept.body, kept.status_code, headers, "application/json")

    async def afterwards(self, session_id: str) -> tuple[Held, list[EventRow]]:
        """Return a session as it is after its command, with its events.

        Raises:
            Problem: session_removed or session_not_found, since it was erased meanwhile.
            StoreUnavailable: the store does not answer.
        """

        def read() -> tuple[Held, list[EventRow]] | None:
            held = self.context.view.session(session_id)
            if self.context.meanwhile is not None:
                held = self.context.meanwhile.session(session_id, held)
            return None if held is None else (held, list(held.events()))

        found = await in_thread(read)
        if found is None:
            raise await unknown(self.context, session_id)
        return found

    def record_id_of(self, part: str) -> str | None:
        """Return the record id of a part of the request; None if it has no Idempotency-Key."""
        if self.record_id is None or not part:
            return self.record_id
        return record_id_of(self.who.name, part, self.record_id)

    def new_record_id(self, part: str) -> str:
        """Return the record id of a part of the request, which is a message; without a key each has a new one."""
        return self.record_id_of(part) or str(uuid4())


async def asked(
    request: Request,
    context: Given,
    who: Asking,
    idempotency_key: Annotated[
        str | None,
        Header(
            alias="Idempotency-Key",
            description="A text of your choice. Within 24 hours the same request with it is carried out once.",
        ),
    ] = None,
) -> Asked:
    """Return what a request asks; a dependency of routes that write."""
    record_id = None
    if idempotency_key is not None:
        record_id = record_id_of(who.name, f"{request.method} {request.scope['path']}", idempotency_key)
    return Asked(request, context, who, record_id, sha256(await request.body()).hexdigest()[:16])


Ask = Annotated[Asked, Depends(asked)]
"""The type of a route's parameter that is what the request asks."""


def refused(event: EventView) -> Problem:
    """Return how a refusal of the log is told."""
    return Problem(*_REFUSED.get(event.reason or "", _NOT_FOUND), session_id=event.session_id)
