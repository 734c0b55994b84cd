"""Sessions of a gateway: the manager that handlers of sockets call, with the names of its first design.

>>> from a3cp_sessions.gateway import SessionManager
>>> manager = SessionManager(sessions)  # Sessions("http://127.0.0.1:8080"); without an argument that of A3CP_URL
>>> session = manager.createSession("human_reviewer_1")
>>> sorted(session)
['context', 'createdAt', 'id', 'lastActivityAt', 'userId']
>>> manager.getSession(session.id).userId
'human_reviewer_1'
>>> manager.terminateSession(session.id), manager.getSession(session.id)
(True, None)

It holds no sessions and has no rules: they are the log's. `a3cp serve` has a gateway of its own (docs/sockets.md).
"""

import logging
import os
import secrets
from datetime import datetime
from typing import Any, Final

from processor.client.service import forms
from processor.client.service.problems import SessionClosed, SessionNotFound, SessionRemoved
from processor.client.service.sessions import Sessions
from processor.observe.logs import hashed

TEMPLATE: Final = "gateway"  # A session of it ends after more than 3,600 s of silence.


class Session(dict[str, Any]):
    """A session as the design has it: `id`, `userId`, `createdAt`, `lastActivityAt` (ms) and `context`.

    Its keys are attributes too.
    """

    def __getattr__(self, name: str) -> Any:
        """Return the value of a key."""
        try:
            return self[name]
        except KeyError:
            raise AttributeError(name) from None


class SessionManager:
    """Manages sessions of a gateway; several threads may use it. Each method may raise a `ServiceError`."""

    def __init__(
        self, sessions: Sessions | None = None, *, logger: logging.Logger | None = None, log_ids: bool = False
    ) -> None:
        """Choose the service.

        Args:
            sessions: what it is asked by; by A3CP_URL, else over the Kafka of the settings when None.
            logger: told of what is created, terminated and purged; this module's when None.
            log_ids: tell it ids as they are. Else it is told hashes, with A3CP_LOG_KEY as their key, or one of this
                process's own.
        """
        self._sessions = sessions or Sessions()
        self._logger = logger or logging.getLogger(__name__)
        self._key = None if log_ids else (os.environ.get("A3CP_LOG_KEY") or secrets.token_hex(16)).encode()

    def createSession(self, userId: str) -> Session:
        """Begin a session of a user: always another one."""
        session = self._sessions.create(userId, template=TEMPLATE)
        told_id, told_user = self._told(session.session_id), self._told(userId)
        self._logger.info("[SessionManager] Session created: %s for user: %s", told_id, told_user)
        return _session_of(session)

    def getSession(self, sessionId: str) -> Session | None:
        """Return an open session; None if there is none. It counts as activity, once a minute for the log."""
        try:
            touched = self._sessions.touch(sessionId)
            session = _session_of(self._sessions.get(sessionId))
        except (SessionClosed, SessionNotFound, SessionRemoved):
            return None
        if touched.timestamp is not None:
            session["lastActivityAt"] = max(session.lastActivityAt, _ms(touched.timestamp))
        return session

    def terminateSession(self, sessionId: str) -> bool:
        """End a session; return False if there is none that is open."""
        is_ended = self._sessions.terminate(sessionId)
        if is_ended:
            self._logger.info("[SessionManager] Session terminated: %s", self._told(sessionId))
        return is_ended

    def purgeStaleSessions(self) -> int:
        """Return how many of the sessions created here have ended by time-out since the last call.

        The clock of the log ends them, so there is nothing to purge; but it is told here as the design has it.
        """
        count = self._sessions.purge_stale()
        if count:
            self._logger.info("[SessionManager] Purged %d stale sessions.", count)
        return count

    create_session = createSession
    get_session = getSession
    terminate_session = terminateSession
    purge_stale_sessions = purgeStaleSessions

    def _told(self, identifier: str) -> str:
        return identifier if self._key is None else hashed(identifier, self._key)


def _session_of(session: forms.Session) -> Session:
    return Session(
        id=session.session_id,
        userId=session.user_id,
        createdAt=_ms(session.created_at),
        lastActivityAt=_ms(session.last_activity or session.created_at),
        context=dict(session.context),
    )


def _ms(at: datetime) -> int:
    return round(at.timestamp() * 1000)
