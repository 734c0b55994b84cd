"""What comes after a socket was closed: its session ends after the grace, unless the client comes back, anywhere."""

import asyncio
from collections.abc import Callable
from typing import Final

from structlog.typing import FilteringBoundLogger

from processor.codec.events import SYSTEM, from_json
from processor.errors import A3CPError
from processor.faces.gateway.following import CONNECTED, DISCONNECTED
from processor.faces.problems import Problem
from processor.faces.replica.context import Context
from processor.faces.requests.asking import OUTCOME_WAIT_S, carried_out
from processor.faces.requests.finding import Place, caught_up
from processor.faces.v1.reading import in_thread
from processor.sessions.arguments import details_of, phase_in

_AGAIN_S: Final = 5.0  # after which it is looked again whether the log is read to its end
_NOT_DONE: Final = "a session could not be ended after its socket was closed; silence ends it"


class Graces:
    """The sessions of this replica whose clients have gone."""

    def __init__(self, context_of: Callable[[], Context], log: FilteringBoundLogger) -> None:
        """`context_of` returns what there is to work with at the moment: it may be made anew meanwhile."""
        self._context_of = context_of
        self._log = log
        self._tasks: set[asyncio.Task[None]] = set()

    def begin(self, place: Place) -> None:
        """Begin the grace of a session whose client has gone."""
        task = asyncio.create_task(self._pass(place))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _pass(self, place: Place) -> None:
        try:
            await self._end(place)
        except (Problem, A3CPError) as error:
            why = error.detail if isinstance(error, Problem) else str(error)
            self._log.warning(_NOT_DONE, operation="grace", session_id=place.session_id, error=why)

    async def _end(self, place: Place) -> None:
        context = self._context_of()
        standing = context.view.memory.standing(place.user_id, place.session_id)
        if standing is not None and not standing.is_open:
            return
        grace_s = context.settings.ws_grace_ms / 1000
        if grace_s:
            left = context.sender.command(
                place.user_id, "status", session_id=place.session_id, performer_id=SYSTEM, status=DISCONNECTED
            )
            await carried_out(context, left, OUTCOME_WAIT_S, waits=True)
            await asyncio.sleep(grace_s)
            context = await self._caught_up()
            if not await in_thread(_is_latest, context, place.session_id, left.record_id):
                return
        end = context.sender.command(place.user_id, "end", session_id=place.session_id, performer_id=SYSTEM)
        await carried_out(context, end, OUTCOME_WAIT_S, waits=True)

    async def _caught_up(self) -> Context:
        """Return what there is to work with once it has read the log to its end."""
        while True:
            context = self._context_of()
            if await caught_up(context):
                return context
            await asyncio.sleep(_AGAIN_S)


def _is_latest(context: Context, session_id: str, record_id: str) -> bool:
    """Whether the session is open, and nobody has come back, or gone, since the command `record_id` told of it."""
    held = context.view.session(session_id)
    if held is None or held.row.end_ms is not None:
        return False
    latest = None
    for event in (from_json(row.value) for row in held.events()):
        if event.kind == "status" and phase_in(details_of(event)) in (CONNECTED, DISCONNECTED):
            latest = event.command_record_id
    return latest == record_id
