"""A double for tests of what uses interviews."""

from collections.abc import Collection
from typing import Any

from processor.client.interview.model import CommunicationMode, EvaluationReport


class InterviewDouble:
    """All three collaborators of an interview: notes what it is asked for, and fails where it is told to.

    >>> from a3cp_sessions.interview import SessionConfig, SessionManager
    >>> double = InterviewDouble()
    >>> manager = SessionManager(sessions, double, double, double)
    >>> session = manager.create_session(SessionConfig(["text"], "openai", "gpt-4"))
    >>> manager.start_session(session.id)
    >>> manager.end_session(session.id).overall_score
    80
    >>> [name for name, _ in double.calls]
    ['initialize', 'enable_mode', 'opening_question', 'disable_mode', 'generate_evaluation']
    """

    def __init__(
        self, *, question: str = "How would you begin?", overall_score: float = 80, fails_at: Collection[str] = ()
    ) -> None:
        """`fails_at`: names of methods that raise an error."""
        self.question = question
        self.overall_score = overall_score
        self.fails_at = fails_at
        self.calls: list[tuple[str, Any]] = []
        """The name of each method that was called, and what was handed to it."""

    def initialize(self, *, session_id: str, resume_data: Any) -> None:
        """See `AIInterviewer`."""
        self._note("initialize", (session_id, resume_data))

    def opening_question(self) -> str:
        """See `AIInterviewer`."""
        self._note("opening_question")
        return self.question

    def enable_mode(self, mode: CommunicationMode) -> None:
        """See `CommunicationManager`."""
        self._note("enable_mode", mode)

    def disable_mode(self, mode: CommunicationMode) -> None:
        """See `CommunicationManager`."""
        self._note("disable_mode", mode)

    def generate_evaluation(self, session_id: str) -> EvaluationReport:
        """See `EvaluationManager`."""
        self._note("generate_evaluation", session_id)
        return EvaluationReport(session_id=session_id, overall_score=self.overall_score)

    def _note(self, name: str, told: Any = None) -> None:
        self.calls.append((name, told))
        if name in self.fails_at:
            raise RuntimeError(f"{name} fails, as it was told to")
