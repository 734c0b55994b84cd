"""Keys that sign bundles: Ed25519 (RFC 8032), in PEM files as OpenSSL has them.

A key is known by its id: the first 16 hex digits of the SHA-256 of the public key's 32 bytes. A signature names it, so
after a change of keys each bundle is checked with the key that signed it.
"""

import os
from collections.abc import Iterable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from processor.bundles import signatures
from processor.errors import UsageError
from processor.sessions.forms.shapes import Signature

PUBLIC_SUFFIX: Final = ".pub"
_ID_CHARS: Final = 16


class SigningKey:
    """A private key."""

    def __init__(self, private: Ed25519PrivateKey) -> None:
        self._private = private
        self.key_id: Final = id_of(private.public_key())

    def sign(self, data: bytes) -> bytes:
        """See `Signer.sign`."""
        return signatures.render(self.key_id, self._private.sign(data))


class PublicKeys:
    """The keys that a reader trusts."""

    def __init__(self, keys: Iterable[Ed25519PublicKey]) -> None:
        self._keys = {id_of(key): key for key in keys}

    def fault(self, signature: Signature, data: bytes) -> str | None:
        """See `Checker.fault`."""
        key = self._keys.get(signature.key_id)
        if key is None:
            return f"it is by the key {signature.key_id}, which is none of those given ({', '.join(self._keys)})"
        try:
            key.verify(signature.signature, data)
        except InvalidSignature:
            return f"the key {signature.key_id} has not signed these bytes: they were changed, or it is made up"
        return None


def id_of(key: Ed25519PublicKey) -> str:
    """Return the id of a key."""
    return sha256(key.public_bytes_raw()).hexdigest()[:_ID_CHARS]


def make_keys(path: Path) -> str:
    """Make a pair of keys: the private one at `path`, the public one beside it. Return their id.

    Raises:
        UsageError: one of the files is there already, or cannot be written.
    """
    private = Ed25519PrivateKey.generate()
    secret = private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    public = private.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    _write_new(path, secret, 0o600)
    _write_new(path.with_name(path.name + PUBLIC_SUFFIX), public, 0o644)
    return id_of(private.public_key())


def read_signing_key(path: Path) -> SigningKey:
    """Return the private key in a file.

    Raises:
        UsageError: it cannot be read, or is none.
    """
    key = _loaded(path, lambda data: serialization.load_pem_private_key(data, None))
    if not isinstance(key, Ed25519PrivateKey):
        raise _no_key(path, "private")
    return SigningKey(key)


def read_public_keys(paths: Iterable[Path]) -> PublicKeys:
    """Return the public keys in files; a folder stands for all of its files that end in `.pub`.

    Raises:
        UsageError: one cannot be read, or is none, or a folder has none.
    """
    return PublicKeys(_public_key(file) for path in paths for file in _files(path))


def _files(path: Path) -> Iterator[Path]:
    if not path.is_dir():
        yield path
        return
    found = sorted(path.glob(f"*{PUBLIC_SUFFIX}"))
    if not found:
        raise UsageError(f"{path} has no public key", remedy=f"put one there that ends in {PUBLIC_SUFFIX}")
    yield from found


def _public_key(path: Path) -> Ed25519PublicKey:
    key = _loaded(path, serialization.load_pem_public_key)
    if not isinstance(key, Ed25519PublicKey):
        raise _no_key(path, "public")
    return key


def _loaded(path: Path, load: Any) -> object:
    """Return what `load` makes of a file. Returns None if it is no key."""
    try:
        return load(path.read_bytes())
    except OSError as error:
        raise UsageError(
            f"the key {path} cannot be read ({error.strerror})", remedy="a3cp keys new makes one"
        ) from None
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return None


def _no_key(path: Path, kind: str) -> UsageError:
    return UsageError(f"{path} holds no {kind} Ed25519 key in PEM", remedy="a3cp keys new makes a pair: FILE, FILE.pub")


def _write_new(path: Path, content: bytes, mode: int) -> None:
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
            file.write(content)
    except OSError as error:
        raise UsageError(
            f"{path} cannot be made ({error.strerror})", remedy="name a new file in a folder of yours"
        ) from None
