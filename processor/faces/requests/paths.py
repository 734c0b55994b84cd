"""Ids in paths: whatever is percent-encoded in one is part of the id, a slash too."""

from typing import Annotated, Final, TypeAlias
from urllib.parse import unquote

from fastapi import Path
from pydantic import AfterValidator
from starlette.types import ASGIApp, Receive, Scope, Send

BELOW: Final = "/v1/"


class EncodedPaths:
    """Passes paths of `/v1` on as they were sent, so that routes are found before ids are decoded."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass one request."""
        raw: bytes | None = scope.get("raw_path")
        if raw is not None and b"%" in raw and scope["path"].startswith(BELOW):
            scope["path"] = raw.partition(b"?")[0].decode("ascii", "replace")
        await self._app(scope, receive, send)


SessionId: TypeAlias = Annotated[
    str, Path(description="The session's id; a slash in it is sent as %2F."), AfterValidator(unquote)
]
"""The type of a route's parameter `session_id`, below `/v1`."""

UserId: TypeAlias = Annotated[
    str, Path(description="The id of a person; a slash in it is sent as %2F."), AfterValidator(unquote)
]
"""The type of a route's parameter `user_id`, below `/v1`."""
