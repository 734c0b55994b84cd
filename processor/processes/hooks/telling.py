"""Tells one receiver of one thing, and writes what it answers to the log."""

import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from functools import partial
from itertools import takewhile
from typing import Final, TypeVar

from processor.client.commands import CommandRecord, as_json
from processor.client.sending import in_trace
from processor.codec.isotime import format_time
from processor.codec.traces import TRACEPARENT
from processor.errors import A3CPError, BrokerUnavailable, RecordError, UsageError, WebhookFailed
from processor.faces.replica.context import Context
from processor.faces.requests.asking import COMMAND_BYTES_MAX
from processor.faces.v1.reading import encode
from processor.faces.v1.telling import event_fields, message_fields, session_resource
from processor.hooks.answers import PERFORMER, REMEDY, Answer, answer_of, record_id
from processor.hooks.due import SOURCE, Delivery
from processor.hooks.webhook import Webhook
from processor.runtime.backoff import backoff_s
from processor.runtime.withholding import MEDIA, why_withheld
from processor.settings.templates import Hook
from processor.view.held import Held

BODY_BYTES_MAX: Final = 512 << 10  # As a dead letter it must fit a record too.
OUTCOME_WAIT_S: Final = 30.0
_DELIVERED_S: Final = 15.0
_AGAIN_FIRST_S: Final = 0.2
_AGAIN_MAX_S: Final = 5.0
_SAFETY_MS: Final = 60_000  # A session that ended must still be remembered when the processor reads what was answered.

T = TypeVar("T")


class Stopped(Exception):
    """The process is to stop; what was under way is told again."""


class Telling:
    """Used by several threads. It ends a wait with `Stopped` once `stopped` is set."""

    def __init__(
        self,
        hooks: Mapping[tuple[str, str], Hook],
        secrets: Mapping[tuple[str, str], str],
        context: Callable[[], Context],
        stopped: threading.Event,
    ) -> None:
        """Tell the receivers of `hooks`. `context` returns what is known, and what writes to the log."""
        self._hooks = hooks
        self._context = context
        self._stopped = stopped
        self._webhooks = {
            name: Webhook(
                hook.url,
                secrets[name],
                timeout_s=hook.timeout_ms / 1000,
                patience_s=hook.patience_ms / 1000,
                wait=self._wait,
            )
            for name, hook in hooks.items()
        }

    def body_of(self, delivery: Delivery) -> bytes | None:
        """Return what is sent; None if there is nothing to tell: no session, or only what hooks have answered."""
        return self.patiently(lambda: self._body_of(delivery))

    def _body_of(self, delivery: Delivery) -> bytes | None:
        context = self._context()
        held = context.view.session(delivery.trigger.session_id)
        if held is None or _is_our_own(held, delivery):
            return None
        return _body(held, delivery, context, self._hooks[delivery.template, delivery.hook].last_messages)

    def tell(self, delivery: Delivery, body: bytes) -> None:
        """Send `body`, and write the answer to the log.

        Raises:
            WebhookFailed: the receiver has not taken it, or answers what it cannot.
            Stopped: the process is to stop.
        """
        trigger = delivery.trigger
        self.send(delivery.lane, delivery.id, body, since_s=delivery.since_s, traceparent=trigger.traceparent)

    def send(
        self,
        lane: tuple[str, str, str],
        delivery_id: str,
        body: bytes,
        *,
        since_s: float,
        traceparent: str | None = None,
    ) -> None:
        """Do the same for the template, hook and session in `lane`; the answer belongs to the trace `traceparent`."""
        *name, session_id = lane
        webhook = self._webhooks[name[0], name[1]]
        with in_trace(None if traceparent is None else [(TRACEPARENT, traceparent.encode())]):
            told = webhook.send_bytes(body, delivery_id, since_s=since_s, traceparent=traceparent)
            self.write(answer_of(told), delivery_id, session_id)

    def write(self, answer: Answer, delivery_id: str, session_id: str) -> None:
        """Write an answer to the log: as commands, or as a message of a session that has ended. Raises as `tell`."""
        try:
            self.patiently(lambda: self._write(answer, delivery_id, session_id))
        except (UsageError, RecordError) as error:
            raise WebhookFailed(f"its answer cannot be written: {error.what}", remedy=error.remedy) from error

    def _write(self, answer: Answer, delivery_id: str, session_id: str) -> None:
        context = self._context()
        held = context.view.session(session_id)
        if held is None or answer == Answer():
            return
        user_id = held.row.user_id
        message = answer.message(delivery_id, user_id, session_id, held.row.last_ms)
        value = as_json(message)
        if len(value) > COMMAND_BYTES_MAX or why_withheld(value, message) == MEDIA:
            raise WebhookFailed("its answer is too large, or holds raw video, audio or images", remedy=REMEDY)
        if held.row.state != "ended":
            for word, arguments in answer.commands():
                command = context.sender.command(
                    user_id, word, record_id=record_id(delivery_id, word), performer_id=PERFORMER,
                    session_id=session_id, request=delivery_id, **arguments,
                )  # fmt: skip
                if self._is_rejected(context, command, user_id):  # It has ended meanwhile.
                    break
                answer = answer.without(word)
        if answer == Answer():
            return
        at_ms = _end_ms(context, session_id)
        if at_ms is None:
            raise WebhookFailed("the session ended too long ago for an answer", remedy="nothing: it stays as it is")
        message = answer.message(delivery_id, user_id, session_id, at_ms)
        self._delivered(lambda done: context.sender.message(message, on_done=done))

    def _is_rejected(self, context: Context, command: CommandRecord, user_id: str) -> bool:
        """Send a command and return whether it was refused. While no processor runs, it waits in the log."""
        awaited = context.view.memory.expect(command.record_id, user_id)
        self._delivered(partial(context.sender.send, command))
        try:
            return awaited.result(OUTCOME_WAIT_S).kind == "rejected"
        except TimeoutError:
            return False

    def _delivered(self, send: Callable[[Callable[[A3CPError | None], None]], object]) -> None:
        done: Future[A3CPError | None] = Future()
        send(done.set_result)
        try:
            error = done.result(_DELIVERED_S)
        except TimeoutError:
            raise BrokerUnavailable("Kafka has not taken an answer in time") from None
        if error is not None:
            raise error

    def patiently(self, act: Callable[[], T]) -> T:
        """Return what `act` returns; while something does not answer, try again until stopped.

        Raises:
            Stopped: the process is to stop.
            UsageError, RecordError, WebhookFailed: to try again would not help.
        """
        failures = 0
        while True:
            try:
                return act()
            except (UsageError, RecordError, WebhookFailed):
                raise
            except A3CPError:
                failures += 1
                self._wait(backoff_s(failures, first_s=_AGAIN_FIRST_S, max_s=_AGAIN_MAX_S))

    def _wait(self, seconds: float) -> None:
        if self._stopped.wait(seconds):
            raise Stopped


def _body(held: Held, delivery: Delivery, context: Context, last: int) -> bytes:
    trigger, owner = delivery.trigger, held.row.owner
    until = trigger.messages
    rows = takewhile(lambda row: (row.seq or 0) <= until, held.messages_after(max(0, until - last)))
    messages = [message_fields(row, context.view.codec, owner) for row in rows]
    while True:
        body = encode(
            {
                "type": f"session.{delivery.trigger.moment}",
                "timestamp": format_time(context.now_ms()),
                "data": {
                    "template": delivery.template,
                    "hook": delivery.hook,
                    "session": session_resource(held, held.events()),
                    "event": None if trigger.event is None else event_fields(trigger.event, owner),
                    "messages": messages,
                },
            }
        )
        if len(body) <= BODY_BYTES_MAX or not messages:
            return body
        messages = messages[len(messages) // 2 + 1 :]


def _is_our_own(held: Held, delivery: Delivery) -> bool:
    """Return whether this end is told again only since a hook's answer belongs to the session now."""
    if delivery.trigger.moment != "end":
        return False
    last = next(held.messages_after(delivery.trigger.messages - 1), None) if delivery.trigger.messages else None
    return last is not None and last.source == SOURCE


def _end_ms(context: Context, session_id: str) -> int | None:
    """Return when the session ended; None if the processor does not remember it any more."""
    held = context.view.session(session_id)
    if held is None or held.row.end_ms is None:
        return None
    is_known = context.now_ms() - held.row.end_ms <= context.settings.late_horizon_ms - _SAFETY_MS
    return held.row.end_ms if is_known else None
