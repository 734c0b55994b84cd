"""Sends a command and waits for what comes of it."""

import asyncio
import json
import time
from typing import Final, NamedTuple

import anyio
from fastapi import Request

from processor.client.commands import CommandRecord
from processor.client.foreseeing import may_wait
from processor.codec.events import EventView
from processor.faces.context import Context
from processor.faces.delivering import Delivery
from processor.faces.positions import wait_s
from processor.faces.problems import Problem
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
    """Send `command` and return what came of it, refusals too; a read on this replica reflects it by then.

    `waits`: it may wait in the outbox while Kafka is away. What will come of it is returned, then.

    Raises:
        Problem: no_outcome, since no processor carried it out within `Prefer: wait=N` (30 s unless given, 1 to 60);
            broker_unavailable, since the log has not taken it in this time; as `refuse_unfit` raises it.
        BrokerUnavailable: it is not in the log.
        OutboxFull: neither is it in the outbox.
    """
    refuse_unfit(command)
    patience_s = max(OUTCOME_WAIT_S_MIN, wait_s(request, OUTCOME_WAIT_S, OUTCOME_WAIT_S_MAX))
    meanwhile = context.meanwhile
    waits = waits and meanwhile is not None and may_wait(context.sender.codec, command.value, now_ms=context.now_ms())
    delivery = Delivery(1)
    begun_s = time.perf_counter()
    awaited = asyncio.wrap_future(context.view.expect(command.record_id, command.key.decode()))
    try:
        context.sender.send(command, delivery.on_done, delivery.on_kept if waits else None)
        with context.metrics.outcome_wait():
            async with asyncio.timeout(patience_s):
                await delivery()
                logged_s = time.perf_counter()
                if delivery.is_kept:
                    return await _foreseen(context, command)
                event = await awaited
    except TimeoutError:
        if delivery.is_done:
            detail = f"no processor has carried out the command within {patience_s:g} s"
            raise Problem("no_outcome", detail, retry_after_s=1) from None
        raise Problem("broker_unavailable", f"Kafka has not taken the command within {patience_s:g} s") from None
    finally:
        awaited.cancel()
    return Answered(event, logged_s - begun_s, time.perf_counter() - logged_s)


async def _foreseen(context: Context, command: CommandRecord) -> Answered:
    """Return what will come of a command that waits in the outbox."""
    meanwhile = context.meanwhile
    assert meanwhile is not None
    await anyio.to_thread.run_sync(meanwhile.take, command.value, command.key)
    event = meanwhile.foreseen.outcome(command.record_id, command.key.decode())
    assert event is not None
    return Answered(event, is_kept=True)
