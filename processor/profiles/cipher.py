"""How what is secret is encrypted: with Fernet, by a key that is made of any text."""

from base64 import urlsafe_b64encode
from hashlib import sha256

from cryptography.fernet import Fernet


def cipher_of(secret: bytes) -> Fernet:
    """Return what encrypts with `secret`: another one cannot read it."""
    return Fernet(urlsafe_b64encode(sha256(secret).digest()))
