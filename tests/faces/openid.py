"""A small OpenID provider on loopback: it checks what a real one checks, and signs with a real key."""

import json
import secrets
import socket
import time
from base64 import b64decode, urlsafe_b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from typing import Any
from urllib.parse import parse_qsl, unquote, urlencode

import jwt
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

from processor.processes.service.inprocess import serving

CLIENT_ID = "a3cp page"  # With a blank, which has to be encoded in HTTP's Basic.
SECRET = "se:cret/ü"


class OpenIdProvider:
    """Lets everybody in at once as `claims` say, unless it is told to answer otherwise."""

    def __init__(self, issuer: str) -> None:
        self.issuer = issuer
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.claims: dict[str, Any] = {"sub": "ruth", "a3cp_role": "reviewer", "a3cp_users": ["heron-07"]}
        self.redirects: set[str] = set()  # that are registered for the client
        self.refuses: str | None = None
        self.set_out: list[dict[str, str]] = []
        self._codes: dict[str, dict[str, str]] = {}

    def app(self) -> Starlette:
        """Return the provider's pages."""
        return Starlette(routes=[
            Route("/.well-known/openid-configuration", self._described),
            Route("/authorize", self._authorize),
            Route("/token", self._token, methods=["POST"]),
            Route("/keys", self._keys),
            Route("/logout", self._logout),
        ])  # fmt: skip

    async def _described(self, _: Request) -> Response:
        return JSONResponse({
            "issuer": self.issuer, "authorization_endpoint": f"{self.issuer}/authorize",
            "token_endpoint": f"{self.issuer}/token", "jwks_uri": f"{self.issuer}/keys",
            "end_session_endpoint": f"{self.issuer}/logout",
        })  # fmt: skip

    async def _authorize(self, request: Request) -> Response:
        asked = dict(request.query_params)
        self.set_out.append(asked)
        if asked["client_id"] != CLIENT_ID or asked["redirect_uri"] not in self.redirects:
            return PlainTextResponse("who are you?", 400)
        if (asked["response_type"], asked["scope"], asked["code_challenge_method"]) != ("code", "openid", "S256"):
            return PlainTextResponse("not that way", 400)
        back = {"state": asked["state"], "iss": self.issuer}
        if self.refuses is not None:
            return RedirectResponse(f"{asked['redirect_uri']}?{urlencode({**back, 'error': self.refuses})}", 303)
        code = secrets.token_urlsafe(16)
        self._codes[code] = asked
        return RedirectResponse(f"{asked['redirect_uri']}?{urlencode({**back, 'code': code})}", 303)

    async def _token(self, request: Request) -> Response:
        form = dict(parse_qsl((await request.body()).decode()))
        asked = self._codes.pop(form.get("code", ""), None)
        name, _, secret = b64decode(request.headers["authorization"].removeprefix("Basic ")).decode().partition(":")
        challenge = urlsafe_b64encode(sha256(form["code_verifier"].encode()).digest()).rstrip(b"=").decode()
        is_client = (unquote(name), unquote(secret)) == (CLIENT_ID, SECRET)
        if asked is None or not is_client or challenge != asked["code_challenge"]:
            return JSONResponse({"error": "invalid_grant"}, 400)
        if (form["redirect_uri"], form["grant_type"]) != (asked["redirect_uri"], "authorization_code"):
            return JSONResponse({"error": "invalid_grant"}, 400)
        now_s = int(time.time())
        said = {"iss": self.issuer, "aud": CLIENT_ID, "iat": now_s, "exp": now_s + 60, "nonce": asked["nonce"]}
        token = jwt.encode({**said, **self.claims}, self.key, "ES256", headers={"kid": "k"})
        return JSONResponse({"access_token": "opaque", "token_type": "Bearer", "id_token": token})

    async def _keys(self, _: Request) -> Response:
        jwk = json.loads(ECAlgorithm.to_jwk(self.key.public_key()))
        return JSONResponse({"keys": [{**jwk, "kid": "k", "use": "sig"}]})

    async def _logout(self, request: Request) -> Response:
        return PlainTextResponse(f"signed out of {request.query_params['client_id']}")


@contextmanager
def openid_provider() -> Iterator[OpenIdProvider]:
    """Serve a provider on a free port."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        provider = OpenIdProvider(f"http://127.0.0.1:{listening.getsockname()[1]}")
        with serving(provider.app(), listening):
            yield provider
