"""Tokens of an OpenID provider: signed JWTs, checked with the provider's public keys."""

import asyncio
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, Final, NamedTuple

import httpx
import jwt
from jwt import PyJWK

from processor.faces.auth.doors import ALL_USERS, ROLES, Caller, unauthenticated
from processor.faces.problems import Problem

ALGORITHMS: Final = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
"""Asymmetric ones only: a public key can never be taken for a shared secret."""

KEYS_FRESH_S: Final = 300.0  # After that they are fetched again, and the old ones count until that succeeds.
FETCH_EVERY_S: Final = 10.0  # at most, whatever key ids tokens name
_FETCH_TIMEOUT_S: Final = 5.0
_KEY_KINDS: Final = ("RSA", "EC", "OKP")


class OidcRules(NamedTuple):
    """What a provider's tokens must say."""

    issuer: str
    audience: str
    jwks_url: str | None = None  # None: as the provider's own description says
    leeway_s: float = 30.0
    role_claim: str = "a3cp_role"
    users_claim: str = "a3cp_users"


class ProviderKeys:
    """The provider's public keys by id: fetched when they are needed, kept while the provider does not answer."""

    def __init__(
        self, rules: OidcRules, client: httpx.AsyncClient, monotonic_s: Callable[[], float] = time.monotonic
    ) -> None:
        self._issuer = rules.issuer
        self._jwks_url = rules.jwks_url
        self._client = client
        self._monotonic_s = monotonic_s
        self._keys: Mapping[str | None, PyJWK] = {}
        self._described: Mapping[str, Any] = {}
        self._fetched_s = self._tried_s = self._described_s = float("-inf")
        self._lock = asyncio.Lock()

    async def key(self, key_id: str | None) -> PyJWK | None:
        """Return the key; None if the provider has none of this id.

        Raises:
            Problem: starting, since no keys could be fetched yet.
        """
        now_s = self._monotonic_s()
        is_stale = now_s > self._fetched_s + KEYS_FRESH_S
        if (is_stale or key_id not in self._keys) and now_s > self._tried_s + FETCH_EVERY_S:
            async with self._lock:
                if self._tried_s < now_s:  # Nobody else has asked meanwhile.
                    await self._fetch()
        if not self._keys:
            raise Problem("starting", "the keys of the OpenID provider could not be fetched yet")
        return self._keys.get(key_id)

    async def _fetch(self) -> None:
        self._tried_s = self._monotonic_s()
        try:
            jwks_url = self._jwks_url or str((await self.described())["jwks_uri"])
            found = (await self._get(jwks_url))["keys"]
            keys = [PyJWK(each) for each in found if each.get("kty") in _KEY_KINDS and each.get("use") != "enc"]
        except (httpx.HTTPError, jwt.PyJWTError, ValueError, KeyError, TypeError, AttributeError):
            return  # What is known goes on to count.
        self._keys = {key.key_id: key for key in keys}
        self._fetched_s = self._monotonic_s()

    async def described(self) -> Mapping[str, Any]:
        """Return what the provider says of itself; nothing if that could not be had yet."""
        now_s = self._monotonic_s()
        if not self._described and now_s > self._described_s + FETCH_EVERY_S:
            self._described_s = now_s
            with suppress(httpx.HTTPError, ValueError):
                found = await self._get(f"{self._issuer.rstrip('/')}/.well-known/openid-configuration")
                self._described = found if isinstance(found, dict) else {}
        return self._described

    async def _get(self, url: str) -> Any:
        answer = await self._client.get(url, timeout=_FETCH_TIMEOUT_S)
        return answer.raise_for_status().json()


class OidcDoor:
    """The door of a provider's tokens."""

    def __init__(self, rules: OidcRules, keys: ProviderKeys) -> None:
        self._rules = rules
        self._keys = keys
        self.issuer: Final = rules.issuer
        self.described: Final = keys.described

    async def who(self, token: str) -> Caller | None:
        """Return who the token says it is; None if it is no JWT.

        Raises:
            Problem: it is expired, another's or not signed by the provider; or it names no role.
        """
        claims = await self.claims(token, self._rules.audience)
        return None if claims is None else self.caller(claims)

    async def claims(self, token: str, audience: str) -> Mapping[str, Any] | None:
        """Return what a token for `audience` says; None if it is no JWT. Raises as `who`, but for the role."""
        try:
            header = jwt.get_unverified_header(token)
        except jwt.PyJWTError:
            return None
        if header.get("alg") not in ALGORITHMS:
            raise unauthenticated("the token's algorithm is not allowed")
        key = await self._keys.key(header.get("kid"))
        if key is None:
            raise unauthenticated("the token's key is not known")
        try:
            claims: Mapping[str, Any] = jwt.decode(
                token,
                key,
                algorithms=list(ALGORITHMS),
                audience=audience,
                issuer=self._rules.issuer,
                leeway=self._rules.leeway_s,
                options={"require": ["exp", "iss", "aud", "sub"]},
            )
        except jwt.ExpiredSignatureError:
            raise unauthenticated("the token has expired") from None
        except jwt.PyJWTError:
            raise unauthenticated("the token is not valid here") from None
        return claims

    def caller(self, claims: Mapping[str, Any]) -> Caller:
        """Return who the claims tell of.

        Raises:
            Problem: forbidden, since they name no role.
        """
        subject = str(claims["sub"])
        named = _words(claims.get(self._rules.role_claim))
        role = next((role for role in reversed(ROLES) if role in named), None)
        if role is None:
            raise Problem("forbidden", f"the token's claim {self._rules.role_claim} names no role")
        users = _words(claims.get(self._rules.users_claim, [subject]))
        scope = (ALL_USERS,) if ALL_USERS in users else users
        return Caller(subject, role, scope, is_person=True, until_s=int(claims["exp"] + self._rules.leeway_s))


def _words(claim: object) -> frozenset[str]:
    """Return the texts of a claim that is one text or a list."""
    listed = claim if isinstance(claim, list) else [claim]
    return frozenset(word for word in listed if isinstance(word, str) and word)
