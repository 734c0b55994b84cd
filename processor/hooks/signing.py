"""Signatures of webhooks, as of Standard Webhooks 1.0 (https://www.standardwebhooks.com)."""

import base64
import binascii
import hmac
from typing import Final

from processor.errors import UsageError

_ENCODED: Final = "whsec_"


def key_of(secret: str) -> bytes:
    """Return the key that `secret` stands for: `whsec_` and the key in base64, or else the text itself.

    Raises:
        UsageError: there is none, or it is no base64. It is never quoted.
    """
    try:
        key = (
            base64.b64decode(secret[len(_ENCODED) :], validate=True) if secret.startswith(_ENCODED) else secret.encode()
        )
    except (binascii.Error, ValueError):
        raise UsageError(
            "the secret of a webhook begins with whsec_, and the rest is no base64", remedy="copy it again, as a whole"
        ) from None
    if not key:
        raise UsageError("the secret of a webhook is empty", remedy="give it the one that the receiver checks with")
    return key


def signature(key: bytes, webhook_id: str, timestamp_s: int, body: bytes) -> str:
    """Return the value of the header `webhook-signature`."""
    signed = hmac.digest(key, f"{webhook_id}.{timestamp_s}.".encode() + body, "sha256")
    return f"v1,{base64.b64encode(signed).decode()}"
