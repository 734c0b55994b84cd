"""Lets go of what is past its time in the profile store: links that ended long ago."""

import threading
from collections.abc import Callable
from typing import Final

from structlog.typing import FilteringBoundLogger

from processor.errors import A3CPError
from processor.profiles import Profiles

EVERY_S: Final = 3600.0


def tidy(profiles: Profiles, log: FilteringBoundLogger, stopping: threading.Event, now_ms: Callable[[], int]) -> None:
    """Look now and every hour, until `stopping`. It needs no Kafka. A store that is away is asked the next time."""
    while True:
        try:
            if count := profiles.shares.forget(now_ms()):
                log.info("links that ended long ago are removed", operation="tidy", count=count)
        except A3CPError as error:
            log.warning(str(error), operation="tidy", error=type(error).__name__)
        if stopping.wait(EVERY_S):
            return
