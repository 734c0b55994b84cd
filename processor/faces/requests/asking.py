"""Sends a command and waits for what comes of it."""

import asyncio
import json
import time
from concurrent.futures import Future
from contextlib import suppress
from typing import Final, NamedTuple

import anyio
from fastapi import Request

from processor.client.commands import CommandRecord
from processor.client.foreseeing import may_wait
from processor.codec.events import EventView
from processor.errors import A3CPError
from processor.faces.problems import Problem
from processor.faces.replica.context import Context
from processor.faces.requests.positions import wait_s
from processor.runtime.withholding import MEDIA, why_withheld

OUTCOME_WAIT_S: Final = 30.0
OUTCOME_WAIT_S_MAX: Final = 60.0
OUTCOME_WAIT_S_MIN: Final = 1.0  # Less would often be too short to tell whether the log has the command.
COMMAND_BYTES_MAX: Final = 512 << 10  # What it causes must fit a record too, or it would be a dead letter.


class Answered(NamedTuple):
    """What came of a command."""

    event: EventView
    log_s: float = 0.0  # until the log had the command
    outcome_s: float = 0.0  # from then until the view reflected what came of it
    replayed: bool = False  # it was known already, from an earlier request with the same key
    is_kept: bool = False  # the command waits in the outbox, and this will come of it

    @property
    def headers(self) -> dict[str, str]:
        """Headers that say how long what took, or that nothing was done again."""
        if self.replayed:
            return {"Idempotent-Replayed": "true"}
        return {"Server-Timing": f"log;dur={self.log_s * 1000:.1f}, outcome;dur={self.outcome_s * 1000:.1f}"}


def refuse_unfit(command: CommandRecord) -> None:
    """Refuse a command that the log must not hold.

    Raises:
        Problem: too_large, media_not_allowed.
    """
    if (size := len(command.value)) > COMMAND_BYTES_MAX:
        raise Problem("too_large", f"the command has {size} bytes, at most {COMMAND_BYTES_MAX} are taken")
    if why_withheld(command.value, json.loads(command.value)) == MEDIA:
        raise Problem("media_not_allowed", "the request holds raw video, audio or images")


async def outcome(context: Context, request: Request, command: CommandRecord, *, waits: bool = False) -> Answered:
    """Send `command` and return what came of it within `Prefer: wait=N` (30 s unless given, 1 to 60).

    Arguments and errors are those of `carried_out`.
    """
    patience_s = max(OUTCOME_WAIT_S_MIN, wait_s(request, OUTCOME_WAIT_S, OUTCOME_WAIT_S_MAX))
    return await carried_out(context, command, patience_s, waits=waits)


async def carried_out(context: Context, command: CommandRecord, patience_s: float, *, waits: bool = False) -> Answered:
    """Send `command` and return what came of it, refusals too; a read on this replica reflects it by then.

    Args:
        context: what to work with. command: what to send.
        patience_s: how long to wait for that.
        waits: whether it may wait in the outbox while Kafka is away. What will come of it is returned, then.

    Raises:
        Problem: no_outcome, since no processor carried it out in time, or it is kept and nobody can tell what comes of
            it; as `refuse_unfit` raises it.
        BrokerUnavailable: it was given up, whatever `patience_s` is. The log may have it only if it was on its way as
            Kafka fell silent.
        OutboxFull: neither is it in the outbox.
    """
    refuse_unfit(command)
    meanwhile = context.meanwhile
    waits = waits and meanwhile is not None and may_wait(context.sender.codec, command.value, now_ms=context.now_ms())
    awaited = context.view.memory.expect(command.record_id, command.key.decode())
    sent = _Sent(patience_s)
    try:
        awaited.add_done_callback(sent.on_outcome)
        context.sender.send(command, sent.on_done, sent.on_kept if waits else None)
        with context.metrics.outcome_wait():
            event = await sent.told
    finally:
        sent.close()
        awaited.cancel()
    if event is None:
        return await _foreseen(context, command)
    now_s = time.perf_counter()
    logged_s = sent.logged_s or now_s
    return Answered(event, logged_s - sent.begun_s, now_s - logged_s)


class _Sent:
    """A command that is on its way. Whoever waits for it in an event loop is woken once, with the end of it."""

    def __init__(self, patience_s: float) -> None:
        """Wait for the outcome for `patience_s`, and for the log to have it, or to fail, as long as it takes."""
        self.begun_s: Final = time.perf_counter()
        self.logged_s: float | None = None  # when the log had it
        self._patience_s = patience_s
        self._is_over = False  # the patience
        self._loop = asyncio.get_running_loop()
        self._timer = self._loop.call_later(patience_s, self._lose_patience)
        self.told: Final[asyncio.Future[EventView | None]] = self._loop.create_future()  # None: it waits in the outbox

    def on_done(self, error: A3CPError | None) -> None:
        """Take note that the log has it, or why it does not; any thread may call this."""
        if error is not None:
            self._tell(error)
        else:
            self.logged_s = time.perf_counter()
            if self._is_over:
                self._tell(self._no_outcome())

    def on_kept(self) -> None:
        """Take note that it waits in the outbox; any thread may call this."""
        self._tell(None)

    def on_outcome(self, awaited: Future[EventView]) -> None:
        """Take note of what came of it; any thread may call this."""
        if not awaited.cancelled():
            self._tell(awaited.result())

    def close(self) -> None:
        """Wait no longer."""
        self._timer.cancel()
        self.told.cancel()

    def _lose_patience(self) -> None:
        self._is_over = True
        if self.logged_s is not None:
            self._settle(self._no_outcome())

    def _no_outcome(self) -> Problem:
        detail = f"no processor has carried out the command within {self._patience_s:g} s"
        return Problem("no_outcome", detail, retry_after_s=1)

    def _tell(self, end: EventView | Exception | None) -> None:
        with suppress(RuntimeError):  # The loop is closed: the service has stopped, and nobody waits.
            self._loop.call_soon_threadsafe(self._settle, end)

    def _settle(self, end: EventView | Exception | None) -> None:
        if self.told.done():
            return
        if isinstance(end, Exception):
            self.told.set_exception(end)
        else:
            self.told.set_result(end)


async def _foreseen(context: Context, command: CommandRecord) -> Answered:
    """Return what will come of a command that waits in the outbox.

    Raises:
        Problem: no_outcome, since this replica cannot tell.
    """
    meanwhile = context.meanwhile
    assert meanwhile is not None
    await anyio.to_thread.run_sync(meanwhile.take, command.value, command.key)
    event = meanwhile.outcome(command.record_id, command.key.decode())
    if event is None:
        raise Problem("no_outcome", "it waits in the outbox, and what comes of it is not known here", retry_after_s=1)
    return Answered(event, is_kept=True)
