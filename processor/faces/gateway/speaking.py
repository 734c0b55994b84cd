"""From one client to the log: each record once, in the order of the frames, and never too many on their way."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from typing import Any, Final
from uuid import uuid4

from processor.client.commands import Arguments, CommandRecord, CommandWord
from processor.codec.codec import Codec
from processor.codec.events import EventView
from processor.errors import A3CPError, RecordError
from processor.faces.gateway.deliveries import Deliveries, Sent
from processor.faces.gateway.following import Following
from processor.faces.gateway.frames import Ack, AckId, told
from processor.faces.gateway.outgoing import Outgoing
from processor.faces.gateway.records import message_of, record_id_of
from processor.faces.problems import Problem
from processor.faces.replica.context import Context
from processor.faces.requests.asking import refuse_unfit
from processor.faces.v1.commands.asked import refused
from processor.runtime.withholding import MEDIA, why_withheld

UNACKED_MAX: Final = 64
UNACKED_AGAIN: Final = 32  # With as few, the client is read again.
ACKED_MAX: Final = UNACKED_MAX  # that are remembered
RETRY_AFTER_MS: Final = 100

Refuse = Callable[[Exception, AckId | None], None]


class Speaking:
    """What one client says."""

    def __init__(
        self, context: Context, deliveries: Deliveries, outgoing: Outgoing, refuse: Refuse, *, acks: bool
    ) -> None:
        """Speak for a client.

        Args:
            context: what to work with. deliveries: of all sockets. outgoing: to the client.
            refuse: tells the client that something of it was refused, and why.
            acks: whether the client is told what the log has, and when to slow down.
        """
        self._context = context
        self._deliveries = deliveries
        self._outgoing = outgoing
        self._refuse = refuse
        self._acks = acks
        self._acked: OrderedDict[str, None] = OrderedDict()
        self._in_flight: set[str] = set()
        self._unacked = 0
        self._room = asyncio.Event()
        self._room.set()
        self._awaited: set[Future[EventView]] = set()

    async def say(
        self, to: Following, ack_id: AckId | None, *, command: str, payload: bytes, performer_id: str, at_ms: int | None
    ) -> None:
        """Send a message of the session `to`; `at_ms`: when it was said, as the client has it.

        Raises:
            Problem: media_not_allowed and the like. BrokerUnavailable: Kafka has not taken what came before.
        """
        record_id = self._record_id(to, ack_id)
        if record_id is None:
            return
        await self._wait_for_room()
        place, sender = to.place, self._context.sender
        value = message_of(
            place,
            record_id=record_id,
            timestamp_ms=self._context.now_ms() if at_ms is None else at_ms,
            performer_id=performer_id,
            command=command,
            payload=payload,
            ack_id=ack_id,
            context=to.context,
        )
        _refuse_unfit(sender.codec, value)
        self._send(
            Sent(record_id, place.user_id.encode(), value, ack_id, self._told),
            partial(sender.message, value, user_id=place.user_id, strict=False, record_id=record_id),
        )

    async def ask(
        self, of: Following, ack_id: AckId | None, word: CommandWord, *, performer_id: str, **arguments: Any
    ) -> None:
        """Send a command to the session `of`; if it is refused, the client is told that when it is known.

        Raises:
            UsageError: it is not as it should be. Others as `say`.
        """
        record_id = self._record_id(of, ack_id)
        if record_id is None:
            return
        await self._wait_for_room()
        place, sender = of.place, self._context.sender
        given: Arguments = {"request": record_id, **arguments}  # type: ignore[typeddict-item]
        command = sender.command(
            place.user_id, word, record_id=record_id, session_id=place.session_id, performer_id=performer_id, **given
        )
        refuse_unfit(command)
        self._await_outcome(command, ack_id)
        sent = Sent(record_id, command.key, command.value, ack_id, self._told)
        self._send(sent, partial(sender.send, command))

    def acknowledge(
        self, ack_id: AckId | None, record_id: str | None, *, duplicate: bool = False, is_kept: bool = False
    ) -> None:
        """Tell the client that the log has, or needs not have, what it sent with `ack_id`."""
        if self._acks and ack_id is not None:
            more = {**({"duplicate": True} if duplicate else {}), **({"backend": "fallback"} if is_kept else {})}
            self._outgoing.tell(Ack(ackId=ack_id, recordId=record_id, **more))

    def stop(self) -> None:
        """Wait for nothing any more."""
        for awaited in list(self._awaited):
            awaited.cancel()

    def _record_id(self, to: Following, ack_id: AckId | None) -> str | None:
        """Return the record id of what is said; None if it was said before: that is answered here."""
        if ack_id is None:
            return str(uuid4())
        record_id = record_id_of(to.place.session_id, ack_id)
        if record_id in self._acked or record_id in to.logged:
            self.acknowledge(ack_id, record_id, duplicate=True)
            return None
        return None if record_id in self._in_flight else record_id

    async def _wait_for_room(self) -> None:
        """Let the client wait while too much is on its way to the log: it is not read meanwhile."""
        if self._unacked < UNACKED_MAX and not self._deliveries.is_full:
            return
        if self._acks:
            self._outgoing.tell(told("slow_down", {"retryAfterMs": RETRY_AFTER_MS}))
        if self._unacked >= UNACKED_MAX:
            self._room.clear()
            await self._room.wait()
        await self._deliveries.room()

    def _send(self, sent: Sent, send: Callable[..., None]) -> None:
        self._deliveries.send(sent, send)
        self._unacked += 1
        self._in_flight.add(sent.record_id)

    def _told(self, sent: Sent, failure: A3CPError | None) -> None:
        """Take note of what became of a record."""
        self._unacked -= 1
        self._in_flight.discard(sent.record_id)
        if self._unacked <= UNACKED_AGAIN:
            self._room.set()
        if failure is not None:
            self._refuse(failure, sent.ack_id)
            return
        self._context.metrics.acknowledged(sent.at_s)
        if sent.ack_id is not None:
            self._acked[sent.record_id] = None
            if len(self._acked) > ACKED_MAX:
                self._acked.popitem(last=False)
            self.acknowledge(sent.ack_id, sent.record_id, is_kept=sent.is_kept)

    def _await_outcome(self, command: CommandRecord, ack_id: AckId | None) -> None:
        awaited = self._context.view.memory.expect(command.record_id, command.key.decode())
        self._awaited.add(awaited)

        def carried_out(done: "asyncio.Future[EventView]") -> None:
            self._awaited.discard(awaited)
            if not done.cancelled():
                self._note_outcome(done.result(), ack_id)

        asyncio.wrap_future(awaited).add_done_callback(carried_out)

    def _note_outcome(self, event: EventView, ack_id: AckId | None) -> None:
        if event.kind == "rejected":
            self._refuse(refused(event), ack_id)
        elif event.reason == "touched" and event.session_id is not None:
            self._context.touches.note(event.session_id, self._context.now_ms(), event)


def _refuse_unfit(codec: Codec, value: bytes) -> None:
    """Refuse a message that the log must not hold. All but its payload is ours, and as it should be.

    Raises:
        Problem: invalid_request, media_not_allowed.
    """
    try:
        why = why_withheld(value, codec.fields_of(value))
    except RecordError as error:
        raise Problem("invalid_request", error.what, remedy=error.remedy) from error
    if why == MEDIA:
        raise Problem("media_not_allowed", "the payload holds raw video, audio or images")
