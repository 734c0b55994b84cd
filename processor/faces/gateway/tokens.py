"""Resume tokens: with one a client goes on with its session, on any replica that has the same site key."""

import hmac
from typing import Final

VALID_MS: Final = 7 * 24 * 3_600_000
_PURPOSE: Final = b"a3cp resume\0"  # So that the same key can serve for other things.
_HEX: Final = 32


def resume_token(owner: str, session_id: str, expires_ms: int, key: bytes) -> str:
    """Return what lets whoever has it go on with a session of `owner` until then."""
    return f"{expires_ms:x}.{_signature(owner, session_id, expires_ms, key)}"


def opens(token: str, owner: str, session_id: str, now_ms: int, key: bytes) -> bool:
    """Whether `token` was given for the session, and holds still."""
    expires, _, signature = token.partition(".")
    try:
        expires_ms = int(expires, 16)
    except ValueError:
        return False
    expected = _signature(owner, session_id, expires_ms, key)
    return hmac.compare_digest(signature.encode(), expected.encode()) and now_ms < expires_ms


def _signature(owner: str, session_id: str, expires_ms: int, key: bytes) -> str:
    told = f"{owner}\0{session_id}\0{expires_ms}".encode()
    return hmac.digest(key, _PURPOSE + told, "sha256").hex()[:_HEX]
