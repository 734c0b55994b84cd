"""Interviews: sessions with an AI interviewer, modes of communication, and an evaluation at the end.

docs/interviews.md has an example, the statuses and the errors.
"""

from processor.client.interview.collaborators import (
    AIInterviewer,
    CommunicationManager,
    DataStore,
    EvaluationManager,
    Logger,
)
from processor.client.interview.errors import (
    ComponentError,
    ConfigurationError,
    DataStoreError,
    InterviewPlatformError,
    InvalidTransitionError,
    SessionNotFoundError,
)
from processor.client.interview.manager import SessionManager
from processor.client.interview.model import (
    CommunicationMode,
    EvaluationReport,
    Session,
    SessionConfig,
    SessionStatus,
    SessionSummary,
)
from processor.client.interview.webhook import InterviewWebhook

__all__ = [
    "AIInterviewer",
    "CommunicationManager",
    "CommunicationMode",
    "ComponentError",
    "ConfigurationError",
    "DataStore",
    "DataStoreError",
    "EvaluationManager",
    "EvaluationReport",
    "InterviewPlatformError",
    "InterviewWebhook",
    "InvalidTransitionError",
    "Logger",
    "Session",
    "SessionConfig",
    "SessionManager",
    "SessionNotFoundError",
    "SessionStatus",
    "SessionSummary",
]
