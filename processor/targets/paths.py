"""Where a bundle lies and what its files are called: in names that every file system and object store keeps apart.

An id, whatever it holds, is written in lower-case letters, digits, `_`, `-` and `.`; every other byte of its UTF-8 is
`=` and two hex digits. So two ids never share a name, also where upper and lower case are the same, and no name climbs
out of its folder.
"""

import re
from datetime import UTC, datetime
from hashlib import sha256
from typing import Final

METADATA: Final = "session_metadata.json"
BUNDLE: Final = "bundle.json"
AUDIT: Final = "timeline.jsonl"
PAGE: Final = "timeline.html"
TABLE: Final = "messages.csv"
TIMELINE: Final = "timeline.csv"
OVERVIEW: Final = "index.html"  # of a root and of a date
RECORDS: Final = "records.jsonl"
PART_CHARS_MAX: Final = 128  # Half of what file systems take: room for what temporary names add.
_KEPT_CHARS: Final = 48  # of a name that is too long, before its hash
_PLAIN: Final = frozenset(b"abcdefghijklmnopqrstuvwxyz0123456789_-.")
_USUAL: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,127}").fullmatch
_DEVICE: Final = re.compile(r"(?:con|prn|aux|nul|conin\$|conout\$|clock\$|(?:com|lpt)[0-9])(?:\.|$)").match


def path_part(text: str) -> str:
    """Return `text` as one part of a path. Equal parts mean equal texts (longer ones: equal SHA-256)."""
    if _USUAL(text) and not _DEVICE(text):
        return text
    encoded = text.encode("utf-8", "surrogatepass")
    part = "".join(chr(byte) if byte in _PLAIN else f"={byte:02x}" for byte in encoded)
    if not part:
        return "="
    if part[0] == "." or _DEVICE(part):
        part = f"={ord(part[0]):02x}{part[1:]}"
    if part[-1] == ".":  # Windows drops a dot at the end.
        part = f"{part[:-1]}=2e"
    if len(part) > PART_CHARS_MAX:
        part = f"{part[:_KEPT_CHARS].rpartition('=')[0] or part[:_KEPT_CHARS]}=x{sha256(encoded).hexdigest()}"
    return part


def date_part(start_ms: int) -> str:
    """Return the UTC date of a session's start, `YYYY-MM-DD`."""
    return f"{datetime.fromtimestamp(start_ms / 1000, UTC):%Y-%m-%d}"


def bundle_path(session_id: str, start_ms: int) -> str:
    """Return where the session's bundle lies below the root: `YYYY-MM-DD/<session_id>`."""
    return f"{date_part(start_ms)}/{path_part(session_id)}"


def is_date_part(name: str) -> bool:
    """Return whether `name` is one that `date_part` gives."""
    return re.fullmatch(r"\d{4}-\d\d-\d\d", name) is not None
