"""Tokens of an OpenID provider: what lets in, and what does not, with real keys and signatures."""

import asyncio
import json
import time
from collections.abc import Callable
from typing import Any

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

from processor.faces.auth.doors import Caller
from processor.faces.auth.oidc import FETCH_EVERY_S, KEYS_FRESH_S, OidcDoor, OidcRules, ProviderKeys
from processor.faces.problems import Problem

ISSUER = "https://id.example/realm"
RULES = OidcRules(ISSUER, "a3cp")
RSA_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
EC_KEY = ec.generate_private_key(ec.SECP256R1())
OTHER_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)


class Provider:
    """A provider's pages, which may be away, and a clock."""

    def __init__(self) -> None:
        self.keys = {"r1": RSA_KEY, "e1": EC_KEY}
        self.asked: list[str] = []
        self.is_away = False
        self.now_s = 1_000.0

    def answer(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request.url.path)
        if self.is_away:
            raise httpx.ConnectError("away")
        if request.url.path == "/realm/.well-known/openid-configuration":
            return httpx.Response(200, json={"jwks_uri": "https://id.example/keys"})
        secret = {"kty": "oct", "k": "c2VjcmV0", "kid": "s1"}
        return httpx.Response(200, json={"keys": [*(_jwk(name, key) for name, key in self.keys.items()), secret]})

    def door(self, rules: OidcRules = RULES) -> OidcDoor:
        client = httpx.AsyncClient(transport=httpx.MockTransport(self.answer))
        return OidcDoor(rules, ProviderKeys(rules, client, lambda: self.now_s))


def _jwk(name: str, key: Any) -> dict[str, Any]:
    kind = RSAAlgorithm if isinstance(key, rsa.RSAPrivateKey) else ECAlgorithm
    return {**json.loads(kind.to_jwk(key.public_key())), "kid": name, "use": "sig"}


def token(key: Any = RSA_KEY, kid: str | None = "r1", alg: str = "RS256", **claims: Any) -> str:
    now_s = int(time.time())
    said = {"iss": ISSUER, "aud": "a3cp", "sub": "ann", "exp": now_s + 60, "a3cp_role": "reviewer", **claims}
    said = {name: value for name, value in said.items() if value is not None}
    return jwt.encode(said, key, alg, headers={} if kid is None else {"kid": kid})


def who(text: str, door: OidcDoor | None = None) -> Caller | None:
    return asyncio.run((door or Provider().door()).who(text))


def refusal(text: str, door: OidcDoor | None = None) -> str:
    with pytest.raises(Problem) as caught:
        who(text, door)
    return caught.value.code


def test_a_signed_token_lets_in() -> None:
    """Role and users are claims; whoever names no users sees their own sessions only."""
    exp = int(time.time()) + 600
    ann = Caller("ann", "reviewer", frozenset({"ann"}), is_person=True, until_s=exp + int(RULES.leeway_s))
    assert who(token(exp=exp)) == ann
    assert who(token(EC_KEY, "e1", "ES256")) is not None
    found = who(token(a3cp_users=["bob", "eve"], a3cp_role=["other", "producer"]))
    assert found is not None
    assert (found.role, found.sees("bob"), found.sees("ann")) == ("producer", True, False)
    everybody = who(token(a3cp_users="*", a3cp_role="operator"))
    assert everybody is not None
    assert everybody.sees_all
    assert who(token(exp=int(time.time()) - 10)) is not None, "clocks differ"
    renamed = Provider().door(RULES._replace(role_claim="role", users_claim="owners"))
    found = who(token(role="operator", owners=["bob"]), renamed)
    assert found is not None
    assert (found.role, found.users) == ("operator", {"bob"})


PUBLIC_PEM = RSA_KEY.public_key().public_bytes(
    serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
)


def confused() -> str:
    """Return a token that is signed with the public key as if that were a shared secret."""
    import hmac
    from base64 import urlsafe_b64encode

    head, body, _ = token().split(".")
    head = urlsafe_b64encode(json.dumps({"alg": "HS256", "kid": "r1"}).encode()).rstrip(b"=").decode()
    signature = urlsafe_b64encode(hmac.digest(PUBLIC_PEM, f"{head}.{body}".encode(), "sha256")).rstrip(b"=").decode()
    return f"{head}.{body}.{signature}"


@pytest.mark.parametrize(
    ("case", "text", "code"),
    [
        ("expired", lambda: token(exp=int(time.time()) - 100), "unauthenticated"),
        ("not valid yet", lambda: token(nbf=int(time.time()) + 100), "unauthenticated"),
        ("never expires", lambda: token(exp=None), "unauthenticated"),
        ("another issuer's", lambda: token(iss="https://evil.example"), "unauthenticated"),
        ("for another service", lambda: token(aud="other"), "unauthenticated"),
        ("for nobody", lambda: token(aud=None), "unauthenticated"),
        ("about nobody", lambda: token(sub=None), "unauthenticated"),
        ("signed by another", lambda: token(OTHER_KEY), "unauthenticated"),
        ("with a key nobody knows", lambda: token(kid="x9"), "unauthenticated"),
        ("with no key's id", lambda: token(kid=None), "unauthenticated"),
        ("with the algorithm of another key", lambda: token(EC_KEY, "r1", "ES256"), "unauthenticated"),
        ("not signed", lambda: token("", "r1", "none"), "unauthenticated"),
        ("signed with the shared secret in the key set", lambda: token("secret" * 8, "s1", "HS256"), "unauthenticated"),
        ("signed with the public key as secret", confused, "unauthenticated"),
        ("altered", lambda: token()[:-6] + "AAAAAA", "unauthenticated"),
        ("without a role", lambda: token(a3cp_role=None), "forbidden"),
        ("with a role that is none of ours", lambda: token(a3cp_role="admin"), "forbidden"),
    ],
)
def test_what_does_not_let_in(case: str, text: Callable[[], str], code: str) -> None:
    """The table is what an attacker or a wrong setting can present."""
    assert refusal(text()) == code, case


def test_what_is_no_jwt_is_left_to_the_other_doors() -> None:
    """Static tokens may be there as well."""
    assert who("a3cp_sometoken") is None
    assert who("") is None


def test_keys_are_kept() -> None:
    """They are fetched once, again when they are old or one is unknown, and kept while the provider is away."""
    provider = Provider()
    door = provider.door()
    assert who(token(), door)
    assert who(token(), door)
    assert provider.asked == ["/realm/.well-known/openid-configuration", "/keys"]
    provider.keys = {"r2": OTHER_KEY}
    assert refusal(token(OTHER_KEY, "r2"), door) == "unauthenticated", "asked a moment ago"
    provider.now_s += FETCH_EVERY_S + 1
    assert who(token(OTHER_KEY, "r2"), door)
    assert refusal(token(), door) == "unauthenticated", "the key was taken back"
    provider.now_s += KEYS_FRESH_S + 1
    provider.is_away = True
    assert who(token(OTHER_KEY, "r2"), door), "an old key is better than none"


def test_a_provider_that_never_answered_is_no_refusal() -> None:
    """Then the service cannot know: the client asks again."""
    provider = Provider()
    provider.is_away = True
    door = provider.door()
    assert refusal(token(), door) == "starting"
    provider.is_away = False
    provider.now_s += FETCH_EVERY_S + 1
    assert who(token(), door)
