"""Addresses as people may see them: without what lets one in."""

import re
from typing import Final
from urllib.parse import urlsplit

MASK: Final = "[redacted]"

# The user part may hold a slash that nobody escaped; then all up to the last @ counts as secret.
_LOGIN: Final = re.compile(r"(?<=://)(?:[^\s/'\"@:]*:[^\s'\"]*|[^\s/'\"]*)@")
_QUERY: Final = re.compile(r"(?<=://)([^\s'\"?]*\?)([^\s'\"]+)")
_VALUE: Final = re.compile(r"(?<==)[^&;]+")


def is_web_address(text: str) -> bool:
    """Return whether `text` is the address of something on the web, such as `https://host/path`."""
    try:
        parts = urlsplit(text)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # Its port is none, or its brackets are not closed.
        return False


def masked(text: str) -> str:
    """Return `text` with the login and the query's values of every URL in it replaced by `[redacted]`.

    Nothing else changes. All of a login goes, since some services take a secret as the user's name; all values of a
    query go, since each driver names its password differently.
    """
    if "://" not in text:
        return text
    text = _LOGIN.sub(f"{MASK}@", text)
    return _QUERY.sub(lambda query: query[1] + _VALUE.sub(MASK, query[2]), text)
