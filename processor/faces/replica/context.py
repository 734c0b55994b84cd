"""What routes work with."""

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated, Final

from fastapi import Depends
from prometheus_client import CollectorRegistry
from starlette.requests import HTTPConnection

from processor.bundles.signatures import Signer
from processor.client.sending import Sender
from processor.erasing.looking import Places
from processor.faces.problems import Problem
from processor.faces.replica.corner import Corner
from processor.faces.replica.encoded import EncodedSessions
from processor.faces.replica.histories import Histories
from processor.faces.replica.idempotency import Keys
from processor.faces.replica.meanwhile import Meanwhile
from processor.faces.replica.touches import Touches
from processor.observe.serving import ServeMetrics
from processor.profiles import Profiles
from processor.sessions.ports import SessionReader
from processor.settings.model import Settings
from processor.view.view import View

NOT_YET: Final = "Kafka has not answered yet; see that it runs, and that KAFKA_BOOTSTRAP_SERVERS names it"


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What routes work with, once the service has begun."""

    view: View
    sender: Sender
    settings: Settings
    now_ms: Callable[[], int]
    store: SessionReader | None = None  # None: no store is named, or it does not answer yet
    bundles_root: str | None = None
    signer: Signer | None = None  # of bundles; None: they are not signed
    profiles: Profiles | None = None  # None: no profile store is named
    places: Places | None = None  # where something of a person may be; None: there is no store
    site_key: bytes = field(default_factory=lambda: secrets.token_bytes(32), repr=False)
    """Signs what clients hand back, such as cursors; the same on all replicas. By default it is this process's own."""
    metrics: ServeMetrics = field(default_factory=lambda: ServeMetrics(CollectorRegistry()))
    meanwhile: Meanwhile | None = None  # None: there is no outbox
    corner: Corner | None = None  # None: nobody looks at the log from outside
    keys: Keys = field(default_factory=Keys)
    encoded: EncodedSessions = field(default_factory=EncodedSessions)
    histories: Histories = field(default_factory=Histories)
    touches: Touches = field(default_factory=Touches)


async def context_of(request: HTTPConnection) -> Context:
    """Return the context; a dependency of routes.

    Raises:
        Problem: starting, since there is none yet, or its view has not caught up yet.
    """
    context: Context | None = request.app.state.context
    why = NOT_YET if context is None else context.view.progress.why_not_ready()
    if context is None or why is not None:
        raise Problem("starting", f"the service is starting: {why}")
    return context


Given = Annotated[Context, Depends(context_of)]
"""The type of a route's parameter that is the context."""
