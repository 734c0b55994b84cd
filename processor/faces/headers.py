"""Headers and methods of a request; every request passes by, so no object is made for all headers of one."""

from typing import Final

from starlette.types import Scope

READS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
"""The methods of requests that change nothing."""


def header(scope: Scope, name: bytes) -> str | None:
    """Return the header `name`, which is in small letters; None if the request has none.

    If it comes more than once, the values have commas between them: to HTTP that is the same (RFC 9110, 5.3).
    """
    found = [str(value, "latin-1") for key, value in scope["headers"] if key == name]
    return ", ".join(found) if found else None
