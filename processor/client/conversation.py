"""Conversations with an assistant: what was said, by whom it is, and how it goes, under the names of a chat backend.

>>> from a3cp_sessions import Sessions
>>> from a3cp_sessions.conversation import SessionManager
>>> with Sessions("memory://") as sessions:
...     manager = SessionManager(sessions)
...     session_id = manager.create_session({"email": "ann@example.com", "name": "Ann"})
...     manager.add_message(session_id, "user", "What does erf size mean?")
...     manager.get_session(session_id)["total_queries"]
True
1

A conversation is a session of the template `conversation`, which two hours of silence end. What is told here comes from
the service, so the manager holds no sessions and no rules.
"""

import logging
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from functools import lru_cache
from typing import Any, Final, NamedTuple

from processor.client.service.forms import Message, Session
from processor.client.service.problems import SessionClosed, SessionNotFound, SessionRemoved
from processor.client.service.sessions import Sessions
from processor.errors import UsageError
from processor.observe.logs import hashed

ROLES: Final = ("user", "assistant")

_TEMPLATE: Final = "conversation"
_TAGGED_WAIT_S: Final = 1.0  # So that a history that is read next has the message, if a processor runs.
_OWNERS_MAX: Final = 10_000
_GONE: Final = (SessionNotFound, SessionRemoved)
_LOG: Final = logging.getLogger("a3cp.conversation")

_Json = dict[str, Any]


class Ensured(NamedTuple):
    """A conversation that can go on."""

    session_id: str
    recreated: bool  # whether it is a new one
    previous_session_id: str | None  # in whose place it is, then


class SessionManager:
    """The conversations of a chat backend; may be used by several threads.

    Each method may raise what `Sessions` raises, such as `Unavailable` when the service does not answer in time.
    """

    session_timeout: Final = timedelta(hours=2)  # The template's: a longer silence ends a conversation.
    max_history_length: Final = 20  # messages of a history, unless more are asked for
    max_messages_per_session: Final = 50  # With more of them `limit_reached` is true; all are kept.

    def __init__(self, sessions: Sessions | None = None) -> None:
        """Choose the service: that of `sessions`; when None that of A3CP_URL, else the Kafka of the settings.

        What is told of a person needs a profile store: the service's, or A3CP_PROFILE_STORE_URL over `kafka://`.
        """
        self.sessions: Final = sessions or Sessions()
        self._owner_of = lru_cache(_OWNERS_MAX)(lambda session_id: self.sessions.get(session_id).user_id)
        self._is_fallback = False

    def create_session(self, user_info: Mapping[str, Any] | None = None) -> str:
        """Begin a conversation, beside those that the person may have, and return its id.

        Args:
            user_info: who that is: email (or id), name, company, division, user_type. It comes into the profile store
                alone; the log has a pseudonym, the same for the same e-mail address or id.
        """
        given = _first(user_info or {}, "email", "user_email", "id", "user_id")
        session = self.sessions.create(
            None if given is None else str(given), user_info=user_info or None, template=_TEMPLATE
        )
        self._note(session.backend)
        _LOG.info("session created: %s", hashed(session.session_id))
        return session.session_id

    def get_session(self, session_id: str) -> _Json | None:
        """Return a conversation, which counts as activity; None if there is none, or it has expired.

        One that waits for Kafka has another form, with its messages and `metadata["fallback"]`.
        """
        try:
            session = self.sessions.get(session_id)
            activity = self.sessions.touch(session_id).timestamp if session.is_open else None
        except _GONE:
            return None
        except SessionClosed:  # Just now.
            activity = None
        if activity is None:
            _LOG.info("session expired: %s", hashed(session_id))
            return None
        session = replace(session, last_activity=max(activity, session.last_activity or activity))
        info = self.sessions.user_info(session_id)
        told = _logged(session, info) if session.backend == "kafka" else self._waiting(session, info)
        return {**told, "limit_reached": session.message_count > self.max_messages_per_session}

    def add_message(self, session_id: str, role: str, content: str, metadata: Mapping[str, Any] | None = None) -> bool:
        """Add what was said; return whether it is in Kafka or safely in the outbox: False if no such session is open.

        Args:
            session_id: the conversation.
            role: user or assistant.
            content: what was said.
            metadata: anything; `confidence` (0 to 1), `feedback` (positive or negative) and `escalated` (true) are
                added up with the conversation.

        Raises:
            UsageError: there is no such role.
        """
        if role not in ROLES:
            raise UsageError("there is no such role", remedy=f"use {' or '.join(ROLES)}")
        try:
            performer_id = self._owner_of(session_id) if role == "user" else "system"
            added = self.sessions.add_message(
                session_id,
                {"source": _TEMPLATE, "performer_id": performer_id},
                role=role,
                content=content,
                metadata=metadata or {},
                wait_s=_TAGGED_WAIT_S,
            )
        except (*_GONE, SessionClosed):
            return False
        self._note(added.backend)
        return True

    def get_history(self, session_id: str, limit: int = max_history_length) -> list[_Json]:
        """Return the last messages, oldest first: role, content, timestamp, metadata, seq. At most 500."""
        try:
            messages = self.sessions.get_history(session_id, limit)
        except _GONE:
            return []
        return [_said(message) for message in messages]

    def get_active_sessions(self) -> dict[str, int]:
        """Return how many conversations are open: in Kafka, and waiting for it."""
        counts = self.sessions.count_open(_TEMPLATE)
        return {
            "firebase_sessions": counts.kafka,
            "memory_sessions": counts.fallback,
            "total": counts.total,
            "kafka": counts.kafka,
            "fallback": counts.fallback,
        }

    def clear_expired_sessions(self) -> int:
        """Return how many conversations that were begun here have expired since the last call.

        They end by the clock of the log, so there is nothing to clear.
        """
        return self.sessions.purge_stale()

    def ensure_session(self, session_id: str | None, user_info: Mapping[str, Any] | None = None) -> Ensured:
        """Return the conversation if it can go on, else a new one."""
        if session_id is not None and self.get_session(session_id) is not None:
            return Ensured(session_id, False, None)
        return Ensured(self.create_session(user_info), True, session_id)

    def _waiting(self, session: Session, info: Mapping[str, Any]) -> _Json:
        """Return a conversation that waits for Kafka."""
        history = self.get_history(session.session_id, self.max_messages_per_session)
        used = [message["metadata"].get("collections_used") for message in history]
        return {
            "id": session.session_id,
            "created_at": session.created_at,
            "last_activity": session.last_activity,
            "messages": [
                {name: message[name] for name in ("role", "content", "timestamp")}
                for message in history[-self.max_history_length :]
            ],
            "user_info": dict(info),
            "metadata": {
                "total_queries": _queries(session),
                "collections_used": list(dict.fromkeys(str(name) for names in used for name in names or ())),
                "escalated": session.summary["escalations"] > 0,
                "fallback": True,
            },
        }

    def _note(self, backend: str) -> None:
        """Log when what is written begins to wait for Kafka, and when it does no longer."""
        is_fallback = backend == "fallback"
        if is_fallback and not self._is_fallback:
            _LOG.warning("fallback: Kafka is away, and what is said waits in the outbox")
        elif self._is_fallback and not is_fallback:
            _LOG.info("fallback is over: Kafka is back")
        self._is_fallback = is_fallback


FirebaseSessionManager: Final = SessionManager
"""The same: what is said is in Kafka, or waits for it."""


def _logged(session: Session, info: Mapping[str, Any]) -> _Json:
    """Return a conversation that is in Kafka."""
    summary = session.summary
    return {
        "session_id": session.session_id,
        "user_email": _first(info, "email", "user_email"),
        "user_name": _first(info, "name", "user_name"),
        "company": info.get("company"),
        "division": info.get("division"),
        "user_type": info.get("user_type"),
        "created_at": session.created_at,
        "last_activity": session.last_activity,
        "message_count": session.message_count,
        "total_queries": _queries(session),
        "conversation_summary": session.notes.get("summary", ""),
        "status": session.status,
        "escalations": summary["escalations"],
        "avg_confidence": summary["average_confidence"],
        "feedback_positive": summary["feedback"].get("positive", 0),
        "feedback_negative": summary["feedback"].get("negative", 0),
    }


def _said(message: Message) -> _Json:
    """Return a message as a history has it."""
    metadata = message.get("metadata")
    return {
        "role": message.get("role"),
        "content": message.get("content"),
        "timestamp": message["timestamp"],
        "metadata": metadata if isinstance(metadata, dict) else {},
        "seq": message["session_seq"],
    }


def _queries(session: Session) -> int:
    queries: int = session.summary["expressed_by"].get("user", 0)
    return queries


def _first(info: Mapping[str, Any], *names: str) -> Any:
    return next((info[name] for name in names if info.get(name)), None)
