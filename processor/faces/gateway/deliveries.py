"""What was sent to the log and is not there yet: sockets hear of it in the event loop, many at a time."""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from processor.errors import A3CPError
from processor.faces.gateway.frames import AckId
from processor.faces.replica.context import Context
from processor.faces.v1.reading import in_thread

IN_FLIGHT_MAX: Final = 5_000  # of all sockets: half of what the producer queues

OnTold = Callable[["Sent", A3CPError | None], None]


@dataclass(slots=True, eq=False)
class Sent:
    """A record on its way to the log."""

    record_id: str
    key: bytes
    value: bytes
    ack_id: AckId | None
    told: OnTold  # called in the event loop once the log has it (None), or will not (why)
    is_kept: bool = False  # whether it waits in the outbox
    at_s: float = field(default_factory=time.perf_counter)


class Deliveries:
    """The records of all sockets that are on their way; of one event loop."""

    def __init__(self, context: Context) -> None:
        self._loop = asyncio.get_running_loop()
        self._context = context
        self._in_flight = 0
        self._room = asyncio.Event()
        self._room.set()
        self._done: deque[tuple[Sent, A3CPError | None]] = deque()
        self._is_scheduled = False
        self._foreseeing = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def is_full(self) -> bool:
        """Whether the next record has to wait."""
        return self._in_flight >= IN_FLIGHT_MAX

    async def room(self) -> None:
        """Wait until the next record may be sent."""
        while self.is_full:
            self._room.clear()
            await self._room.wait()

    def send(self, sent: Sent, send: Callable[..., None]) -> None:
        """Send by `send`, which is called with `on_done` and `on_kept`. Raises as `send` does."""
        send(on_done=partial(self._note, sent), on_kept=partial(self._keep, sent))
        self._in_flight += 1

    def _keep(self, sent: Sent) -> None:
        sent.is_kept = True
        self._note(sent, None)

    def _note(self, sent: Sent, error: A3CPError | None) -> None:
        """Take note of what became of a record; any thread may call this."""
        self._done.append((sent, error))
        if not self._is_scheduled:
            self._is_scheduled = True
            with suppress(RuntimeError):  # The loop is closed: the service has stopped, and nobody waits.
                self._loop.call_soon_threadsafe(self._tell)

    def _tell(self) -> None:
        self._is_scheduled = False  # First: what is noted from now on comes again.
        kept: list[Sent] = []
        while self._done:
            sent, error = self._done.popleft()
            self._in_flight -= 1
            if sent.is_kept:
                kept.append(sent)
            sent.told(sent, error)
        if self._in_flight < IN_FLIGHT_MAX:
            self._room.set()
        if kept:
            task = self._loop.create_task(self._foresee(kept))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _foresee(self, kept: list[Sent]) -> None:
        """Let reads see what waits in the outbox."""
        meanwhile = self._context.meanwhile
        if meanwhile is not None:
            async with self._foreseeing:
                for sent in kept:
                    await in_thread(meanwhile.take, sent.value, sent.key)
