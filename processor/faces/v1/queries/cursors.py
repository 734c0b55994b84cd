"""Cursors: where the next page of a list begins, as a text that clients pass back as it is.

A cursor is signed with the site key, which all replicas have: so one that was made up is told from one that was given.
What its bearer may see is asked again for each page.
"""

import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Final

from processor.faces.problems import Problem
from processor.sessions.ports import Cursor

_SIGNATURE_BYTES: Final = 8


def cursor_text(cursor: Cursor, key: bytes) -> str:
    """Return `cursor`, start and id of the last session of a page, as a client gets it."""
    start_ms, session_id = cursor
    told = f"{start_ms} {session_id}".encode()
    return urlsafe_b64encode(_signature(told, key) + told).decode().rstrip("=")


def cursor_in(text: str, key: bytes) -> Cursor:
    """Return what `cursor_text` has made `text` of.

    Raises:
        Problem: invalid_request, since it has not.
    """
    try:
        data = urlsafe_b64decode(text.encode("ascii") + b"=" * (-len(text) % 4))
        signature, told = data[:_SIGNATURE_BYTES], data[_SIGNATURE_BYTES:]
        if not hmac.compare_digest(signature, _signature(told, key)):
            raise ValueError
        start, session_id = told.decode().split(" ", 1)
        return int(start), session_id
    except ValueError:
        raise Problem("invalid_request", "the cursor is none that this service has told") from None


def _signature(told: bytes, key: bytes) -> bytes:
    return hmac.digest(key, b"a3cp cursor " + told, "sha256")[:_SIGNATURE_BYTES]
