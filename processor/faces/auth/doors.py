"""Who asks: the caller of a request, what its role allows, and whose sessions it sees."""

from collections.abc import Collection
from typing import Annotated, Final, Literal, NamedTuple, Protocol, get_args

from fastapi import Depends, Request

from processor.faces.problems import Problem

Role = Literal["producer", "reviewer", "operator"]
ROLES: Final[tuple[Role, ...]] = get_args(Role)
ALL_USERS: Final = "*"
_BEARER: Final = "bearer "


class Caller(NamedTuple):
    """Who sends a request."""

    name: str
    role: Role
    users: Collection[str]  # owners whose sessions it sees; `*` among them: all
    is_person: bool = False  # whether the name is a person's, which stays out of the log
    until_s: int | None = None  # when what it proves itself with ends, seconds since the epoch; None: never

    def may(self, *roles: Role) -> bool:
        """Return whether it has one of `roles`; an operator may do all."""
        return self.role == "operator" or self.role in roles

    def sees(self, owner: str) -> bool:
        """Return whether it sees the sessions of `owner`."""
        return self.sees_all or owner in self.users

    @property
    def sees_all(self) -> bool:
        """Whether it sees the sessions of everybody."""
        return ALL_USERS in self.users


LOCAL: Final = Caller("local", "operator", (ALL_USERS,))
"""Everybody, where there are no doors: on loopback."""


class Door(Protocol):
    """One way to prove who one is."""

    async def who(self, token: str) -> Caller | None:
        """Return whose token it is; None if it is none of this door's.

        Raises:
            Problem: it is this door's, and does not let in.
        """


class Doors:
    """All ways in. Without any, everybody is `LOCAL`."""

    def __init__(self, *doors: Door) -> None:
        self._doors = doors

    def with_first(self, door: Door) -> "Doors":
        """Return these doors behind another one."""
        return Doors(door, *self._doors)

    @property
    def are_open(self) -> bool:
        """Whether everybody comes in."""
        return not self._doors

    async def who(self, authorization: str | None) -> Caller:
        """Return who sends a request with this header `Authorization`.

        Raises:
            Problem: unauthenticated or forbidden.
        """
        if not self._doors:
            return LOCAL
        if authorization is None or authorization[: len(_BEARER)].lower() != _BEARER:
            raise unauthenticated("the request has no token")
        token = authorization[len(_BEARER) :].strip()
        for door in self._doors:
            found = await door.who(token)
            if found is not None:
                return found
        raise unauthenticated("the token is not known")


def unauthenticated(detail: str) -> Problem:
    """Return the problem that the token does not let in."""
    return Problem("unauthenticated", detail, headers={"WWW-Authenticate": "Bearer"})


async def caller(request: Request) -> Caller:
    """Return who asks, as the gate has found; a dependency of routes."""
    who: Caller = request.state.caller
    return who


Asking = Annotated[Caller, Depends(caller)]
"""The type of a route's parameter that is the caller."""


def require(who: Caller, *roles: Role) -> None:
    """Let `who` go on with one of `roles`.

    Raises:
        Problem: forbidden, since it has another role.
    """
    if not who.may(*roles):
        words = " or ".join(dict.fromkeys((*roles, "operator")))
        raise Problem("forbidden", f"this needs the role {words}, and the token has the role {who.role}")
