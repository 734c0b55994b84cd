"""The log lines of an interview: JSON with the names that its document shows."""

import json
from typing import Any, Final

from processor.client.interview.collaborators import Logger
from processor.client.interview.errors import InterviewPlatformError
from processor.client.interview.model import now

COMPONENT: Final = "SessionManager"


class LogLines:
    """Writes them to the application's logger."""

    def __init__(self, logger: Logger) -> None:
        self._logger = logger

    def info(self, operation: str, session_id: str, what: str, **metadata: Any) -> None:
        """Say what happened to an interview: it `what`."""
        self._logger.info(_line("INFO", operation, f"Session {session_id} {what}", session_id, metadata))

    def error(self, operation: str, error: InterviewPlatformError) -> None:
        """Say what went wrong, with the trace of it and of its cause."""
        cause = error.cause
        metadata = {"code": error.code, "cause": None if cause is None else type(cause).__name__}
        self._logger.error(_line("ERROR", operation, str(error), error.session_id, metadata), exc_info=error)


def _line(level: str, operation: str, message: str, session_id: str | None, metadata: dict[str, Any]) -> str:
    return json.dumps({
        "timestamp": now(), "level": level, "component": COMPONENT, "operation": operation, "message": message,
        "session_id": session_id, "metadata": metadata,
    })  # fmt: skip
