"""Which roles a route needs: checked before it, and told by the OpenAPI document."""

from typing import Any
from urllib.parse import unquote

from fastapi import Request, Security
from fastapi.security import HTTPBearer
from fastapi.security.base import SecurityBase

from processor.faces.auth.doors import Asking, Role, require
from processor.faces.replica.context import Given
from processor.faces.requests.finding import place_of


class _Needed(SecurityBase):
    """Lets those on who have one of some roles."""

    def __init__(self, roles: tuple[Role, ...]) -> None:
        self.model = HTTPBearer().model
        self.scheme_name = "token"
        self._roles = roles

    async def __call__(self, request: Request, who: Asking, context: Given) -> None:
        """Let `who` go on.

        Raises:
            Problem: forbidden; of a session that `who` does not see, what is told of one that does not exist.
        """
        if not who.may(*self._roles) and (session_id := request.path_params.get("session_id")) is not None:
            await place_of(context, who, unquote(session_id))
        require(who, *self._roles)


def needs(*roles: Role) -> Any:
    """Return the dependency of a route that needs one of `roles`; an operator may do all."""
    return Security(_Needed(roles), scopes=list(dict.fromkeys((*roles, "operator"))))
