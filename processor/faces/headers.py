"""Headers of a request, looked up without an object for all of them: every request passes by."""

from starlette.types import Scope


def header(scope: Scope, name: bytes) -> str | None:
    """Return the first header `name`, which is in small letters; None if the request has none."""
    for key, value in scope["headers"]:
        if key == name:
            return str(value, "latin-1")
    return None
