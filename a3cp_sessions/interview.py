"""Interviews: their manager, what it works with, and the errors. docs/interviews.md has an example."""

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
