"""The signature of a file, in a file beside it: a manifest's is `manifest.sig`. It is over all bytes of the file.

This needs no cryptography: processor/bundles/keys.py makes and checks signatures.
"""

from typing import Final, Protocol

import msgspec

from processor.sessions.shapes import Signature

NAME: Final = "manifest.sig"
FORMAT: Final = "a3cp-signature/1"


class NotASignature(ValueError):
    """The bytes are not what `render` writes."""


class Signer(Protocol):
    """Signs files."""

    def sign(self, data: bytes) -> bytes:
        """Return what stands beside a file that holds `data`."""


class Checker(Protocol):
    """Checks signatures."""

    def fault(self, signature: Signature, data: bytes) -> str | None:
        """Return what is wrong with the signature of `data`. Returns None if nothing is."""


def render(key_id: str, signature: bytes) -> bytes:
    """Return a signature as its file has it."""
    return msgspec.json.format(msgspec.json.encode(Signature(FORMAT, key_id, signature)), indent=2) + b"\n"


def read(data: bytes) -> Signature:
    """Return the signature in `data`.

    Raises:
        NotASignature: it is none, or a byte of it is not as it was written.
    """
    try:
        signature = msgspec.json.decode(data, type=Signature)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise NotASignature(f"it is no signature: {error}") from error
    if render(signature.key_id, signature.signature) != data:
        raise NotASignature("its bytes are not those that were written")
    return signature
