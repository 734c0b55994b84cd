"""With whom an interview works together; whatever has these methods will do."""

from collections.abc import Mapping
from typing import Any, Protocol

from processor.client.interview.model import CommunicationMode, Session


class AIInterviewer(Protocol):
    """Asks the questions."""

    def initialize(self, *, session_id: str, resume_data: Any) -> object:
        """Get ready for an interview; `resume_data` is a dictionary, or None."""

    def opening_question(self) -> str:
        """Return the first question."""


class CommunicationManager(Protocol):
    """Switches modes of communication."""

    def enable_mode(self, mode: CommunicationMode) -> object:
        """Switch it on."""

    def disable_mode(self, mode: CommunicationMode) -> object:
        """Switch it off."""


class EvaluationManager(Protocol):
    """Judges an interview that is over."""

    def generate_evaluation(self, session_id: str) -> Any:
        """Return an object that has `overall_score`, a number."""


class DataStore(Protocol):
    """A store of the application's own, which is told what the log holds already."""

    def save_session(self, session: Session) -> object:
        """Keep an interview as it is now: after it was created, and after each change of its status."""

    def save_conversation(self, session_id: str, message: Mapping[str, Any]) -> object:
        """Keep a message: `role`, `content`, `timestamp`."""


class Logger(Protocol):
    """Takes log lines; each is JSON. `logging.Logger` is one."""

    def info(self, msg: str, /) -> object:
        """Take what happened."""

    def error(self, msg: str, /, *, exc_info: BaseException) -> object:
        """Take what went wrong, and its trace."""
