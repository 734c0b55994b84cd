"""Signing in at an OpenID provider: the browser goes there, and comes back with a code that tells who it is.

This is the authorization code flow with PKCE, state, nonce and issuer (OpenID Connect Core 3.1; RFC 7636, 9207, 9700).
The code is worth nothing without the verifier, which stays in an encrypted cookie of the browser that set out.
"""

import json
import re
import secrets
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from hashlib import sha256
from hmac import compare_digest
from typing import Any, Final, NamedTuple
from urllib.parse import quote, urlencode

import httpx
from cryptography.fernet import InvalidToken

from processor.faces.auth.doors import Caller, unauthenticated
from processor.faces.auth.oidc import OidcDoor
from processor.faces.problems import Problem
from processor.profiles.cipher import cipher_of

NAME: Final = "a3cp_oidc"
PATH: Final = "/page/oidc"
UNDER_WAY_S: Final = 600  # so long it may take to sign in at the provider
LASTS_S: Final = 3600
_PREFIX: Final = "a3cp-in_"
_TOKEN_MAX: Final = 2_000  # It is in a cookie, of which browsers take 4 KiB.
_TIMEOUT_S: Final = 5.0
_is_place: Final = re.compile(r"/(\?[!-~]*)?").fullmatch
_is_code: Final = re.compile(r"[a-z_]{1,40}").fullmatch


class NotSignedIn(Exception):
    """Signing in at the provider did not work; `words` names what people are told."""

    def __init__(self, words: str, what: str) -> None:
        super().__init__(what)
        self.words = words
        self.what = what


class Client(NamedTuple):
    """What the service is to the provider."""

    client_id: str
    secret: str | None = None  # None: a public client, which PKCE alone protects


class CameBack(NamedTuple):
    """Who came back from the provider, where on the page they were, and whether the page came over TLS."""

    who: Caller
    place: str
    over_tls: bool


class SignIns:
    """The door of those who signed in at the provider: what it said of them, sealed, for an hour."""

    def __init__(self, key: bytes) -> None:
        """`key`: the site's, the same on all replicas."""
        self._cipher = cipher_of(b"a3cp sign-in\0" + key)

    def token_of(self, who: Caller) -> str:
        """Return the token of `who`, which goes into the page's cookie and nowhere else.

        Raises:
            Problem: forbidden, since `who` has too many users for a cookie.
        """
        token = _PREFIX + self._cipher.encrypt(json.dumps([who.name, who.role, sorted(who.users)]).encode()).decode()
        if len(token) > _TOKEN_MAX:
            raise Problem("forbidden", "the provider names more users than a cookie holds")
        return token

    def made(self, token: str) -> bool:
        """Return whether it looks like a token of this door."""
        return token.startswith(_PREFIX)

    async def who(self, token: str) -> Caller | None:
        """See `Door`."""
        if not self.made(token):
            return None
        sealed = token.removeprefix(_PREFIX)
        try:
            name, role, users = json.loads(self._cipher.decrypt(sealed, ttl=LASTS_S - 1))  # That second too.
        except InvalidToken:
            raise unauthenticated("the sign-in has ended") from None
        until_s = self._cipher.extract_timestamp(sealed) + LASTS_S
        return Caller(name, role, frozenset(users), is_person=True, until_s=until_s)


class Provider:
    """Sends browsers to the provider, and takes them back."""

    def __init__(self, door: OidcDoor, client: Client, http: httpx.AsyncClient, key: bytes) -> None:
        """Prepare.

        Args:
            door: knows the provider and its keys.
            client: what the service is to it.
            http: asks it.
            key: the site's.
        """
        self.sign_ins: Final = SignIns(key)
        self._door = door
        self._client = client
        self._http = http
        self._cipher = cipher_of(b"a3cp oidc\0" + key)

    async def way_there(self, origin: str, back: str) -> tuple[str, str]:
        """Return where the browser goes, and the cookie that it takes along.

        Args:
            origin: of the page, such as https://sessions.example.
            back: where on the page it comes back to.

        Raises:
            NotSignedIn: the provider does not answer.
        """
        state, nonce, verifier = (secrets.token_urlsafe(32) for _ in range(3))
        redirect = origin + PATH
        told = {"state": state, "nonce": nonce, "verifier": verifier, "redirect": redirect}
        told["back"] = back if _is_place(back) else "/"
        challenge = urlsafe_b64encode(sha256(verifier.encode()).digest()).rstrip(b"=").decode()
        query = {
            "response_type": "code", "scope": "openid", "client_id": self._client.client_id, "redirect_uri": redirect,
            "state": state, "nonce": nonce, "code_challenge": challenge, "code_challenge_method": "S256",
        }  # fmt: skip
        address = await self._endpoint("authorization_endpoint")
        sealed = self._cipher.encrypt(json.dumps(told).encode()).decode()
        return f"{address}{'&' if '?' in address else '?'}{urlencode(query)}", sealed

    async def back(self, query: Mapping[str, str], cookie: str | None) -> CameBack:
        """Return who came back from the provider with this query and cookie.

        Raises:
            NotSignedIn: the provider has refused; this browser did not set out, or too long ago; it cannot be checked.
            Problem: the provider names no role.
        """
        told = self._set_out(cookie)
        if not compare_digest(query.get("state", "").encode(), told["state"].encode()):
            raise NotSignedIn("late", "the state is another one than that of this browser")
        if query.get("iss", self._door.issuer) != self._door.issuer:
            raise NotSignedIn("provider", "another issuer has answered than the one that was asked")
        if "error" in query:
            error = query["error"] if _is_code(query["error"]) else "an error"
            raise NotSignedIn("denied" if error == "access_denied" else "provider", f"the provider says {error}")
        token = await self._traded(query.get("code", ""), told)
        try:
            claims = await self._door.claims(token, self._client.client_id)
        except Problem as problem:
            raise NotSignedIn("provider", f"the provider's answer is not valid: {problem.detail}") from None
        if claims is None or not compare_digest(str(claims.get("nonce", "")).encode(), told["nonce"].encode()):
            raise NotSignedIn("provider", "the provider's answer is of another sign-in")
        if (
            claims.get("azp", self._client.client_id) != self._client.client_id
        ):  # Of several audiences it names the one.
            raise NotSignedIn("provider", "the provider's answer was made for another client")
        return CameBack(self._door.caller(claims), told["back"], told["redirect"].startswith("https://"))

    async def way_out(self) -> str | None:
        """Return where a browser goes to sign out at the provider too; None if it says of no such place."""
        address = (await self._door.described()).get("end_session_endpoint")
        return None if address is None else f"{address}?{urlencode({'client_id': self._client.client_id})}"

    def _set_out(self, cookie: str | None) -> dict[str, str]:
        try:
            told: dict[str, str] = json.loads(self._cipher.decrypt(cookie or "", ttl=UNDER_WAY_S))
        except InvalidToken:
            raise NotSignedIn("late", "this browser did not set out for the provider, or too long ago") from None
        return told

    async def _traded(self, code: str, told: Mapping[str, str]) -> str:
        """Return the ID token for a code."""
        form = {
            "grant_type": "authorization_code", "code": code, "redirect_uri": told["redirect"],
            "code_verifier": told["verifier"], "client_id": self._client.client_id,
        }  # fmt: skip
        secret = self._client.secret
        auth = httpx.Auth() if secret is None else httpx.BasicAuth(quote(self._client.client_id, ""), quote(secret, ""))
        address = await self._endpoint("token_endpoint")
        try:
            answer = await self._http.post(address, data=form, auth=auth, timeout=_TIMEOUT_S)
            body: dict[str, Any] = answer.json()
            if answer.is_success:
                return str(body["id_token"])
            error = str(body.get("error", ""))
        except (httpx.HTTPError, ValueError, KeyError, AttributeError):
            raise NotSignedIn("provider", "the provider's token endpoint gave no answer that can be used") from None
        raise NotSignedIn("provider", f"the provider refused the code: {error if _is_code(error) else 'no reason'}")

    async def _endpoint(self, name: str) -> str:
        described = await self._door.described()
        address = described.get(name)
        if described.get("issuer") != self._door.issuer or not isinstance(address, str):
            raise NotSignedIn("provider", f"the provider gave no description of its own with {name}")
        return address
