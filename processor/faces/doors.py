"""Who asks: the caller of a request, what its role allows, and whose sessions it sees."""

from collections.abc import Collection
from typing import Annotated, Final, Literal, NamedTuple

from fastapi import Depends, Request

from processor.faces.problems import Problem

Role = Literal["producer", "reviewer", "operator"]
ALL_USERS: Final = "*"


class Caller(NamedTuple):
    """Who sends a request."""

    name: str
    role: Role
    users: Collection[str]  # owners whose sessions it sees; `*` among them: all

    def may(self, *roles: Role) -> bool:
        """Return whether it has one of `roles`; an operator may do all."""
        return self.role == "operator" or self.role in roles

    def sees(self, owner: str) -> bool:
        """Return whether it sees the sessions of `owner`."""
        return ALL_USERS in self.users or owner in self.users

    @property
    def sees_all(self) -> bool:
        """Whether it sees the sessions of everybody."""
        return ALL_USERS in self.users


LOCAL: Final = Caller("local", "operator", (ALL_USERS,))
"""Everybody, where there are no doors: on loopback."""


async def caller(_request: Request) -> Caller:
    """Return who asks; a dependency of routes."""
    return LOCAL


Asking = Annotated[Caller, Depends(caller)]
"""The type of a route's parameter that is the caller."""


def require(who: Caller, *roles: Role) -> None:
    """Let `who` go on with one of `roles`.

    Raises:
        Problem: forbidden, since it has another role.
    """
    if not who.may(*roles):
        words = " or ".join((*roles, "operator"))
        raise Problem("forbidden", f"this needs the role {words}, and the token has the role {who.role}")
