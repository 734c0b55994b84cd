"""Query parameters that are given twice: nobody could tell which of the two counts, so they are refused."""

from collections import Counter
from typing import Final

from fastapi import Depends, Request

from processor.faces.problems import Problem

_LISTS: Final = frozenset({"flag"})  # may be repeated
_TOLD: Final = "it is given twice"


async def _named_once(request: Request) -> None:
    """Refuse a request that gives one parameter twice.

    Raises:
        Problem: invalid_request.
    """
    names = Counter(name for name, _ in request.query_params.multi_items() if name not in _LISTS)
    errors = [{"loc": ["query", name], "msg": _TOLD, "type": "twice"} for name, count in names.items() if count > 1]
    if errors:
        raise Problem("invalid_request", f"query.{errors[0]['loc'][1]}: {_TOLD}", errors=errors)


NAMED_ONCE: Final = Depends(_named_once)
"""A dependency of all routes of the session API."""
