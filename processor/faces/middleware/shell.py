"""What stands before and around every route."""

import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from prometheus_client import CollectorRegistry
from structlog.typing import FilteringBoundLogger

from processor.faces.auth.cookie import Cookies
from processor.faces.auth.doors import Doors
from processor.faces.auth.provider import Provider
from processor.faces.middleware.ratelimits import RateLimits
from processor.observe.logs import make_logger
from processor.observe.serving import ServeMetrics

if TYPE_CHECKING:
    from processor.observe.spans import Spans  # Of an extra that few have.

SHARE_READS_PER_S: Final = 10


def _none() -> Sequence[str]:
    return ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Shell:
    """What stands before and around every route; as it is made, it suits loopback: no tokens."""

    doors: Doors = field(default_factory=Doors)
    limits: RateLimits = field(default_factory=RateLimits)
    share_limits: RateLimits = field(default_factory=lambda: RateLimits(SHARE_READS_PER_S))
    """For each address, since who reads a shared session has no token."""
    cookies: Cookies = field(
        default_factory=lambda: Cookies(secrets.token_bytes(32))
    )  # by default of this process only
    metrics: ServeMetrics = field(default_factory=lambda: ServeMetrics(CollectorRegistry()))
    log: FilteringBoundLogger = field(default_factory=lambda: make_logger("serve", level="warning"))
    spans: "Spans | None" = None  # None: there are none of requests
    provider: Provider | None = None  # None: nobody signs in by redirect
    troubles: Callable[[], Sequence[str]] = _none
    """Says what does not answer at the moment, and keeps the service from being ready."""
    incomplete: Callable[[], Sequence[str]] = _none
    """Says what is missing in answers at the moment, though the service is ready."""
