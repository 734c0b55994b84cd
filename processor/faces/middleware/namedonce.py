"""Query parameters and headers that are given twice: nobody could tell which of the two counts, so they are refused.

Of other headers the values count together, as HTTP has it (`headers.header`).
"""

from collections import Counter
from collections.abc import Iterable
from typing import Final

from fastapi import Depends, Request
from starlette.types import Scope

from processor.faces.problems import Problem

_LISTS: Final = frozenset({"flag"})  # parameters that may be repeated
_HEADERS: Final = frozenset({b"authorization", b"content-type", b"idempotency-key", b"last-event-id"})
_TOLD: Final = "it is given twice"


def refuse_headers_twice(scope: Scope) -> None:
    """Refuse a request that gives a header twice of which one value counts.

    Raises:
        Problem: invalid_request.
    """
    _refuse("header", (str(name, "ascii") for name, _ in scope["headers"] if name in _HEADERS))


async def _named_once(request: Request) -> None:
    """Refuse a request that gives one parameter twice.

    Raises:
        Problem: invalid_request.
    """
    _refuse("query", (name for name, _ in request.query_params.multi_items() if name not in _LISTS))


def _refuse(place: str, names: Iterable[str]) -> None:
    twice = [name for name, count in Counter(names).items() if count > 1]
    errors = [{"loc": [place, name], "msg": _TOLD, "type": "twice"} for name in twice]
    if errors:
        raise Problem("invalid_request", f"{place}.{twice[0]}: {_TOLD}", errors=errors)


NAMED_ONCE: Final = Depends(_named_once)
"""A dependency of all routes of the session API."""
