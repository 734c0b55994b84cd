"""Sessions of an impact assessment: the component that an application mounts, or calls from its own code.

from fastapi import FastAPI
from a3cp_sessions.assessment import router

app = FastAPI()
app.include_router(router)  # POST /session/create, GET /session/{session_id}, GET /session/{session_id}/audit

A session is one of the template `assessment`: its status goes from `created` through the five states to `completed`, or
to `error` from any of them. What the component tells comes from the service, so it holds no state and no rules.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Header, HTTPException
from pydantic import BaseModel, PlainSerializer

from processor.client.service.asyncsessions import AsyncSessions
from processor.client.service.exchange import Suspending
from processor.client.service.forms import Session
from processor.client.service.opening import backend_of
from processor.client.service.problems import (
    Forbidden,
    IllegalTransition,
    InvalidRequest,
    ServiceError,
    SessionClosed,
    SessionNotFound,
    SessionRemoved,
)
from processor.errors import A3CPError, UsageError

CREATED: Final = "created"
"""The status of a session for which none was told yet."""

SESSIONS_PATH: Final = "data/sessions"
_is_pseudonym: Final = re.compile(r"person-[0-9a-f]{32}").fullmatch  # The service's id of who gave an address.
_is_made: Final = re.compile(r"anon-[0-9a-f]{16}").fullmatch  # The service's id of somebody who was not named.

Moment = Annotated[
    datetime,
    PlainSerializer(lambda at: at.isoformat(timespec="milliseconds").replace("+00:00", "Z"), str, when_used="json"),
]
"""A time, in JSON with ms and Z as everywhere else."""


class SessionCreateRequest(BaseModel):
    """Request to create a new assessment session."""

    user_id: str | None = None


class SessionResponse(BaseModel):
    """Session details response."""

    session_id: str
    created_at: Moment
    status: str
    audit_path: str
    user_id: str | None = None


class SessionAuditResponse(BaseModel):
    """Full audit trail for a session."""

    session_id: str
    created_at: Moment
    status: str
    steps_completed: list[str]
    timing: dict[str, int]
    data: dict[str, Any]


class ComponentError(A3CPError):
    """A component could not do what it was asked for."""

    def __init__(self, message: str, *, component: str) -> None:
        super().__init__(message)
        self.component = component

    def to_dict(self) -> dict[str, str]:
        """Return the error as an HTTP answer tells it."""
        return {"error": type(self).__name__, "message": self.what, "component": self.component}


class SessionNotFoundError(ComponentError):
    """There is no such session."""


class SessionService:
    """Session lifecycle management as a component."""

    component_name: Final = "session"

    def __init__(
        self,
        sessions: AsyncSessions | None = None,
        *,
        sessions_path: str | Path = SESSIONS_PATH,
    ) -> None:
        """Choose the service.

        Args:
            sessions: what the service is asked by; by A3CP_URL, else over the Kafka of the settings when None.
            sessions_path: the folder into which the exporter writes (`a3cp export --to`).
        """
        # A component has no end at which connections could be closed.
        self._sessions = sessions or AsyncSessions(exchange=Suspending(backend_of(None, None), keeps_connections=False))
        self.sessions_path = Path(sessions_path)

    async def process(self, request: SessionCreateRequest, *, idempotency_key: str | None = None) -> SessionResponse:
        """Create a session. An address as user id needs a profile store: the service's, or that of the settings."""
        session = await self._sessions.create(request.user_id, template="assessment", idempotency_key=idempotency_key)
        return self._response(session, request.user_id)

    async def get_session(self, session_id: str) -> SessionResponse:
        """Return a session.

        Raises:
            SessionNotFoundError: there is none.
        """
        try:
            session = await self._sessions.get(session_id)
            return self._response(session, await self._given_of(session))
        except (SessionNotFound, SessionRemoved) as error:
            raise self._not_found(session_id) from error

    async def update_status(self, session_id: str, status: str) -> SessionResponse:
        """Take a session to its next status; `completed` and `error` end it.

        Raises:
            SessionNotFoundError: there is none.
            ComponentError: the status is unknown, or cannot come now.
        """
        try:
            await self._sessions.update_status(session_id, status)
        except (SessionNotFound, SessionRemoved) as error:
            raise self._not_found(session_id) from error
        except (IllegalTransition, InvalidRequest, SessionClosed) as error:
            raise ComponentError(error.what, component=self.component_name) from error
        return await self.get_session(session_id)

    async def complete_step(
        self,
        session_id: str,
        name: str,
        *,
        duration_ms: int | None = None,
        timing_key: str | None = None,
        data: Any = None,
    ) -> SessionAuditResponse:
        """Note that a step is done; the audit trail tells it from now on.

        Args:
            session_id: the session.
            name: of the step, such as `modules_generated`.
            duration_ms: how long it took.
            timing_key: under which `timing` tells that, such as `modules_ms`; `<name>_ms` when None.
            data: what came of it; `data` tells it under the step's name.

        Raises:
            SessionNotFoundError: there is no such session.
            ComponentError: it is over.
        """
        try:
            await self._sessions.step(
                session_id, name, status="completed", duration_ms=duration_ms, timing_key=timing_key, data=data
            )
        except (SessionNotFound, SessionRemoved) as error:
            raise self._not_found(session_id) from error
        except SessionClosed as error:
            raise ComponentError(error.what, component=self.component_name) from error
        return await self.get_audit(session_id)

    async def get_audit(self, session_id: str) -> SessionAuditResponse:
        """Return a session's audit trail.

        Raises:
            SessionNotFoundError: there is no such session.
        """
        try:
            audit = await self._sessions.get_audit(session_id)
        except (SessionNotFound, SessionRemoved) as error:
            raise self._not_found(session_id) from error
        return SessionAuditResponse(
            session_id=audit.session_id,
            created_at=audit.created_at,
            status=audit.phase or CREATED,
            steps_completed=list(audit.steps_completed),
            timing=dict(audit.timing),
            data=dict(audit.data),
        )

    async def _given_of(self, session: Session) -> str | None:
        """Return the id that the person gave; None if they gave none, their pseudonym if the token may not know it."""
        user_id = session.user_id
        if user_id is None or _is_made(user_id):
            return None
        if not _is_pseudonym(user_id):
            return user_id
        with suppress(Forbidden):
            return await self._sessions.given_id(session.session_id) or user_id
        return user_id

    def _response(self, session: Session, user_id: str | None) -> SessionResponse:
        return SessionResponse(
            session_id=session.session_id,
            created_at=session.created_at,
            status=session.phase or CREATED,
            audit_path=str(self.sessions_path / f"{session.created_at.astimezone(UTC):%Y-%m-%d}" / session.session_id),
            user_id=user_id,
        )

    def _not_found(self, session_id: str) -> SessionNotFoundError:
        return SessionNotFoundError(f"Session {session_id} not found", component=self.component_name)


@cache
def get_service() -> SessionService:
    """Return the process's one service, made when it is first needed."""
    return SessionService()


def router_of(service: Callable[..., Any]) -> APIRouter:
    """Return the three routes; `service` is the dependency that gives them their `SessionService`."""
    router = APIRouter(prefix="/session", tags=["Session"])
    Service = Annotated[SessionService, Depends(service)]  # noqa: N806  # A type.

    @router.post("/create")
    async def create_session(
        request: SessionCreateRequest, service: Service, idempotency_key: Annotated[str | None, Header()] = None
    ) -> SessionResponse:
        """Create a new assessment session."""
        with _told():
            return await service.process(request, idempotency_key=idempotency_key)

    @router.get("/{session_id}")
    async def get_session(session_id: str, service: Service) -> SessionResponse:
        """Get session details."""
        with _told():
            return await service.get_session(session_id)

    @router.get("/{session_id}/audit")
    async def get_session_audit(session_id: str, service: Service) -> SessionAuditResponse:
        """Get full audit trail for a session."""
        with _told():
            return await service.get_audit(session_id)

    return router


@contextmanager
def _told() -> Iterator[None]:
    """Tell errors as HTTP does: what does not exist with the component's words, all else as the service told it."""
    try:
        yield
    except ComponentError as error:
        raise HTTPException(404, error.to_dict()) from error
    except A3CPError as error:
        status = 503
        errors: Sequence[Mapping[str, Any]] = ()
        if isinstance(error, ServiceError):
            status, errors = error.status or 503, error.errors
        elif isinstance(error, UsageError):
            status = 422
        if status == 422:  # Told as FastAPI tells what it finds itself.
            wrong = [dict(each) for each in errors] or [{"loc": ["body"], "msg": error.what, "type": "value_error"}]
            raise HTTPException(422, wrong) from error
        raise HTTPException(status, str(error), {"Retry-After": "1"} if status in (429, 503) else None) from error


router: Final = router_of(get_service)
"""The routes over this process's one service."""
