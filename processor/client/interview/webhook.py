"""An interviewer, a communication manager and an evaluation manager that are another program's, over HTTP."""

from collections.abc import Mapping
from typing import Any
from uuid import uuid4

from processor.client.interview.model import CommunicationMode, EvaluationReport, now
from processor.errors import WebhookFailed
from processor.hooks.webhook import PATIENCE_S, TIMEOUT_S, Webhook


class InterviewWebhook:
    """Asks another program by a signed request, which is repeated until it is taken; may be all three collaborators.

    The body is `{"type", "timestamp", "data"}`. `interview.opening_question` is answered with `{"question"}`, and
    `interview.evaluation` with `{"overall_score"}` and whatever else is to be kept. Any answer will do for the rest:
    `interview.initialize`, `interview.enable_mode` and `interview.disable_mode`.
    """

    def __init__(self, url: str, secret: str, *, timeout_s: float = TIMEOUT_S, patience_s: float = PATIENCE_S) -> None:
        """Name the receiver.

        Args:
            url: where it is, `http` or `https`.
            secret: what it checks signatures with; `whsec_…` or any text.
            timeout_s: how long one answer may take.
            patience_s: how long it is tried again, from the first time on.

        Raises:
            UsageError: the URL is none, or the secret is none.
        """
        self._webhook = Webhook(url, secret, timeout_s=timeout_s, patience_s=patience_s)
        self._session_id = ""

    def initialize(self, *, session_id: str, resume_data: Any) -> None:
        """Tell it of the interview that begins, with the resume."""
        self._session_id = session_id
        self._ask("initialize", session_id=session_id, resume_data=resume_data)

    def opening_question(self) -> str:
        """Return its first question."""
        return str(self._ask("opening_question", "question", session_id=self._session_id)["question"])

    def enable_mode(self, mode: CommunicationMode) -> None:
        """Have a mode switched on."""
        self._ask("enable_mode", mode=mode.value)

    def disable_mode(self, mode: CommunicationMode) -> None:
        """Have a mode switched off."""
        self._ask("disable_mode", mode=mode.value)

    def generate_evaluation(self, session_id: str) -> EvaluationReport:
        """Return its evaluation."""
        answer = self._ask("evaluation", "overall_score", session_id=session_id)
        return EvaluationReport(session_id=session_id, overall_score=answer["overall_score"], details=answer)

    def _ask(self, what: str, wanted: str | None = None, **data: Any) -> Mapping[str, Any]:
        body = {"type": f"interview.{what}", "timestamp": now(), "data": data}
        answer = self._webhook.send(body, str(uuid4()))
        members = answer if isinstance(answer, dict) else {}
        if wanted is not None and wanted not in members:
            raise WebhookFailed(f"the answer to interview.{what} has no {wanted}", remedy="mend the receiver")
        return members
