"""Where a replica stands in the log, and waiting until it stands there: reads see the writes of whoever asks.

Each answer says in `A3CP-Position` how much of the log it reflects. Sent back as `A3CP-After`, to any replica, it makes
a read wait until that replica is as far.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Final

from fastapi import Depends, Header, Request

from processor.faces.headers import header
from processor.faces.problems import Problem
from processor.faces.replica.context import Context, Given
from processor.sessions.ports import Source
from processor.view.position import Position

POSITION: Final = "A3CP-Position"
AFTER: Final = "A3CP-After"
AFTER_HEADER: Final = b"a3cp-after"
IGNORED: Final = "A3CP-After-Ignored"

_AFTER_WAIT_S: Final = 1.0
_AFTER_WAIT_S_MAX: Final = 10.0
_form: Final = re.compile(r"([0-9a-f]{6}):p(\d{1,9}):s(\d{1,18})\.t(\d{1,18})", re.ASCII).fullmatch
_wait: Final = re.compile(r"(?:^|[,;\s])wait\s*=\s*\"?(\d{1,9})\"?(?=$|[,;\s])", re.ASCII | re.IGNORECASE).search


def wait_s(request: Request, default_s: float, max_s: float) -> float:
    """Return for how long the sender of `request` is ready to wait: N of `Prefer: wait=N`, at most `max_s`."""
    found = _wait(request.headers.get("Prefer", ""))
    return default_s if found is None else min(float(found[1]), max_s)


async def wait_for_position(
    request: Request,
    context: Given,
    after: Annotated[
        str | None,
        Header(alias=AFTER, description="An `A3CP-Position` of an earlier answer: the read waits until it is reached."),
    ] = None,
) -> None:
    """Wait until this replica is as far as the request asks for; a dependency of routes that read.

    Raises:
        Problem: not_caught_up, since it takes longer than `Prefer: wait=N` allows (1 s unless given, at most 10).
    """
    if after is not None:
        after = header(request.scope, AFTER_HEADER)  # FastAPI knows the first one only.
    ends = {} if after is None else _ends_in(request, context, after)
    if ends and not await context.view.progress.passed(ends, wait_s(request, _AFTER_WAIT_S, _AFTER_WAIT_S_MAX)):
        raise Problem("not_caught_up", f"this replica has not read as far as {AFTER} says")


def has_passed(request: Request, context: Context, after: str) -> bool:
    """Return whether this replica is as far as `after` says. Raises as `position_in`."""
    return context.view.progress.has_passed(_ends_in(request, context, after))


def _ends_in(request: Request, context: Context, after: str) -> Mapping[Source, int]:
    """Return how far a replica has to be that answers `after`; notes if a part of that is another cluster's."""
    here = context.view.progress.positions()
    wanted = [position_in(text.strip(), partitions=len(here)) for text in after.split(",")]
    own = [position for position in wanted if position.cluster == here[0].cluster]
    request.state.after_is_foreign = len(own) < len(wanted)
    ends: dict[Source, int] = {}
    for position in own:
        for source, end in position.ends.items():
            ends[source] = max(end, ends.get(source, 0))
    return ends


CaughtUp: Final = Depends(wait_for_position)
"""A dependency of routes that read: they wait as `A3CP-After` asks."""


def position_in(text: str, *, partitions: int) -> Position:
    """Return the position that `text` tells.

    Raises:
        Problem: invalid_request, since it is none of an answer's, or names a partition that there is not.
    """
    found = _form(text)
    if found is None or int(found[2]) >= partitions:
        raise Problem("invalid_request", "the position is none that this service has told")
    return Position(found[1], int(found[2]), int(found[3]), int(found[4]))


def position_headers(request: Request, positions: Sequence[Position]) -> dict[str, str]:
    """Return the headers that say how far an answer goes, one position for each partition that it rests on."""
    headers = {POSITION: ", ".join(map(str, positions))}
    if getattr(request.state, "after_is_foreign", False):
        headers[IGNORED] = "it is a position of another cluster"
    return headers


def user_position(request: Request, context: Context, user_id: str) -> dict[str, str]:
    """Return `position_headers` of an answer about one user's sessions; `user_id` is the core's."""
    return position_headers(request, [context.view.progress.position_of(user_id)])
