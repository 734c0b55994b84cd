"""The session component of an impact assessment, to call or to mount in FastAPI; needs the `serve` extra."""

from processor.client.assessment import (
    ComponentError,
    SessionAuditResponse,
    SessionCreateRequest,
    SessionNotFoundError,
    SessionResponse,
    SessionService,
    get_service,
    router,
)

__all__ = [
    "ComponentError",
    "SessionAuditResponse",
    "SessionCreateRequest",
    "SessionNotFoundError",
    "SessionResponse",
    "SessionService",
    "get_service",
    "router",
]
