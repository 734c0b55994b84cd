"""The session manager of a gateway, with the names of its first design: `createSession`, `getSession` and so on."""

from processor.client.gateway import Session, SessionManager

__all__ = ["Session", "SessionManager"]
