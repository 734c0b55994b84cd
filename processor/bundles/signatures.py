"""The signature of a file, in a file beside it: a manifest's is `manifest.sig`. It is over all bytes of the file.

A page that is handed out alone has its signature in a comment at its end. It is over the hash of what is before.

This needs no cryptography: processor/bundles/keys.py makes and checks signatures.
"""

import re
from base64 import b64decode, b64encode
from hashlib import sha256
from typing import Final, Protocol

import msgspec

from processor.sessions.forms.shapes import Signature

NAME: Final = "manifest.sig"
FORMAT: Final = "a3cp-signature/1"
_PAGE_END: Final = re.compile(rb"<!-- a3cp-signature ([0-9a-f]{16}) ([A-Za-z0-9+/]{86}==) -->\n\Z")


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


def page_end(signer: Signer, digest: bytes) -> bytes:
    """Return what signs a page at its end; `digest`: the SHA-256 of the page."""
    signature = read(signer.sign(_of_page(digest)))
    return b"<!-- a3cp-signature %b %b -->\n" % (signature.key_id.encode(), b64encode(signature.signature))


def signed_page(page: bytes) -> tuple[Signature, bytes] | None:
    """Return the signature at the end of a page, and what it is over. Returns None if there is none."""
    end = _PAGE_END.search(page)
    if end is None:
        return None
    digest = sha256(memoryview(page)[: end.start()]).digest()
    return Signature(FORMAT, end[1].decode(), b64decode(end[2])), _of_page(digest)


def _of_page(digest: bytes) -> bytes:
    return b"page " + digest.hex().encode()
