"""Sends a command and waits for what comes of it."""

import asyncio
import time
from typing import Final, NamedTuple

from fastapi import Request

from processor.client.commands import CommandRecord
from processor.codec.events import EventView
from processor.faces.context import Context
from processor.faces.delivering import Delivery
from processor.faces.positions import wait_s
from processor.faces.problems import Problem

OUTCOME_WAIT_S: Final = 30.0
OUTCOME_WAIT_S_MAX: Final = 60.0
COMMAND_BYTES_MAX: Final = 512 << 10  # What it causes must fit a record too, or it would be a dead letter.


class Answered(NamedTuple):
    """What came of a command."""

    event: EventView
    log_s: float = 0.0  # until the log had the command
    outcome_s: float = 0.0  # from then until the view reflected what came of it
    replayed: bool = False  # it was known already, from an earlier request with the same key

    @property
    def headers(self) -> dict[str, str]:
        """Headers that say how long what took, or that nothing was done again."""
        if self.replayed:
            return {"Idempotent-Replayed": "true"}
        return {"Server-Timing": f"log;dur={self.log_s * 1000:.1f}, outcome;dur={self.outcome_s * 1000:.1f}"}


async def outcome(context: Context, request: Request, command: CommandRecord) -> Answered:
    """Send `command` and return what came of it, refusals too; a read on this replica reflects it by then.

    Raises:
        Problem: no_outcome, since no processor carried it out within `Prefer: wait=N` (30 s unless given, at most 60);
            broker_unavailable, since the log has not taken it in this time; too_large.
        BrokerUnavailable: it is not in the log.
    """
    if (size := len(command.value)) > COMMAND_BYTES_MAX:
        raise Problem("too_large", f"the command has {size} bytes, at most {COMMAND_BYTES_MAX} are taken")
    patience_s = wait_s(request, OUTCOME_WAIT_S, OUTCOME_WAIT_S_MAX)
    delivery = Delivery(1)
    begun_s = time.perf_counter()
    awaited = asyncio.wrap_future(context.view.expect(command.record_id, command.key.decode()))
    try:
        context.sender.send(command, delivery.on_done)
        with context.metrics.outcome_wait():
            async with asyncio.timeout(patience_s):
                await delivery()
                logged_s = time.perf_counter()
                event = await awaited
    except TimeoutError:
        if delivery.is_done:
            detail = f"no processor has carried out the command within {patience_s:g} s"
            raise Problem("no_outcome", detail, retry_after_s=1) from None
        raise Problem("broker_unavailable", f"Kafka has not taken the command within {patience_s:g} s") from None
    finally:
        awaited.cancel()
    return Answered(event, logged_s - begun_s, time.perf_counter() - logged_s)
