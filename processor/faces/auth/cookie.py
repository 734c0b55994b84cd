"""The cookie that the page gets for a token: encrypted, so that a token is neither in the browser nor in its backups.

The token itself is in it, and is asked at the doors each time: a token that was taken back opens nothing, whatever
cookies there are. No script can read the cookie, and other sites cannot send it. A write needs a header of the page's
own besides, which a form of another page cannot have.
"""

import time
from http.cookies import CookieError, SimpleCookie
from typing import Final, Literal

from cryptography.fernet import InvalidToken
from starlette.types import Scope

from processor.faces.headers import READS, header
from processor.faces.problems import Problem
from processor.profiles.cipher import cipher_of

NAME: Final = "a3cp_page"
PAGE_HEADER: Final = b"a3cp-page"
LASTS_S: Final = 12 * 3600
_PURPOSE: Final = b"a3cp page cookie\0"  # So that the same key can serve for other things.


class Cookies:
    """Makes and reads the cookies of one site."""

    def __init__(self, key: bytes) -> None:
        """`key`: the site's, the same on all replicas."""
        self._cipher = cipher_of(_PURPOSE + key)

    def header_of(self, token: str, *, secure: bool) -> str:
        """Return the header `Set-Cookie` for a token; `secure`: whether it came over TLS."""
        return set_cookie(NAME, self.value_of(token, int(time.time())), LASTS_S, secure=secure)

    def value_of(self, token: str, now_s: int) -> str:
        """Return the cookie for a token that is traded `now_s`, seconds since the epoch."""
        return self._cipher.encrypt_at_time(token.encode(), now_s).decode()

    def authorization(self, scope: Scope) -> str | None:
        """Return the header `Authorization` that the cookie of a request stands for; None if there is none that holds.

        Raises:
            Problem: forbidden, since a write with the cookie alone may come from anywhere.
        """
        token = self.token(scope)
        if token is None:
            return None
        if scope["method"] not in READS and header(scope, PAGE_HEADER) is None:
            raise Problem(
                "forbidden", "a cookie alone may not write", remedy="Send the header A3CP-Page: 1, as the page does."
            )
        return f"Bearer {token}"

    def token(self, scope: Scope) -> str | None:
        """Return the token that the cookie of a request holds; None if it has none that holds."""
        cookie = cookie_of(scope, NAME)
        return None if cookie is None else self._token(cookie)

    def began_s(self, scope: Scope) -> int | None:
        """Return when the cookie of a request was made, seconds since the epoch; None if it has none that holds."""
        cookie = cookie_of(scope, NAME)
        if cookie is None or self._token(cookie) is None:
            return None
        return self._cipher.extract_timestamp(cookie)

    def _token(self, cookie: str) -> str | None:
        try:
            return self._cipher.decrypt(cookie, ttl=LASTS_S - 1).decode()  # That second too.
        except (InvalidToken, ValueError):
            return None


def cookie_of(scope: Scope, name: str) -> str | None:
    """Return a cookie of a request; None if it has none of this name."""
    told = header(scope, b"cookie")
    if told is None or name not in told:
        return None
    try:
        found = SimpleCookie(told).get(name)
    except CookieError:
        return None
    return None if found is None else found.value


def forgotten(*, secure: bool) -> str:
    """Return the header `Set-Cookie` that takes the cookie away."""
    return set_cookie(NAME, "", 0, secure=secure)


def set_cookie(
    name: str,
    value: str,
    lasts_s: int,
    *,
    secure: bool,
    path: str = "/",
    same_site: Literal["Strict", "Lax"] = "Strict",
) -> str:
    """Return the header `Set-Cookie` for a cookie that no script can read."""
    told = f"{name}={value}; Path={path}; Max-Age={lasts_s}; HttpOnly; SameSite={same_site}"
    return told + ("; Secure" if secure else "")
