"""What routes work with."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends, Request

from processor.faces.problems import Problem
from processor.sessions.ports import SessionReader
from processor.settings.model import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What routes work with, once the service has begun."""

    view: Any
    sender: Any
    settings: Settings
    now_ms: Callable[[], int]
    store: SessionReader | None = None  # None: no store is named, or it does not answer yet
    bundles_root: str | None = None
    profiles: Any = None  # None: there is no profile store


async def context_of(request: Request) -> Context:
    """Return the context; a dependency of routes.

    Raises:
        Problem: starting, since there is none yet, or its view has not caught up yet.
    """
    context: Context | None = request.app.state.context
    if context is None:
        raise Problem("starting", "Kafka has not answered yet")
    why = context.view.why_not_ready()
    if why is not None:
        raise Problem("starting", why)
    return context


Given = Annotated[Context, Depends(context_of)]
"""The type of a route's parameter that is the context."""
