"""The embedded Kafka as a site would guard it: encrypted, with a password, certificate or token for each principal.

Certificates, users and tokens are made anew for each run. The broker's own listener, without any of it, is for the
test itself: who comes there is a super user.
"""

import base64
import datetime
import ipaddress
import json
import os
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple
from urllib.parse import parse_qs

import jwt
import pytest
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # Its stub forgets to re-export them.
    AdminClient,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialUpsertion,
)
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from processor import broker
from processor.broker.probe import free_ports
from tests.registry_server import Answering, Server

WAYS = ("TLS", "MTLS", "SCRAM", "OAUTH")
PASSWORD = "canary-of-kafka-passwords"
_DAY = datetime.timedelta(days=1)
_OAUTH = "org.apache.kafka.common.security.oauthbearer."


class Authority:
    """Signs certificates; all files are below `folder`."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"authority of {folder.name}")])
        own = self._builder(self._name, self._key).add_extension(x509.BasicConstraints(ca=True, path_length=0), True)
        self.file = folder / "ca.pem"
        self.file.write_bytes(own.sign(self._key, hashes.SHA256()).public_bytes(Encoding.PEM))

    def signed(self, name: str) -> Path:
        """Return a file with the key and the certificate of `name`, who may be this machine's server or a client."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        here = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
        uses = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH])
        builder = self._builder(subject, key).add_extension(here, False).add_extension(uses, False)
        text = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        file = self._folder / f"{name}.pem"
        file.write_bytes(text + builder.sign(self._key, hashes.SHA256()).public_bytes(Encoding.PEM))
        return file

    def _builder(self, subject: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
        now = datetime.datetime.now(datetime.UTC)
        builder = x509.CertificateBuilder().subject_name(subject).issuer_name(self._name).public_key(key.public_key())
        return (
            builder.serial_number(x509.random_serial_number()).not_valid_before(now - _DAY).not_valid_after(now + _DAY)
        )


class Provider:
    """An OAuth provider on loopback: tokens for whoever has the password, and the keys to check them with."""

    def __init__(self) -> None:
        key = rsa.generate_private_key(65537, 2048)
        public = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key()))
        self.keys = json.dumps({"keys": [{**public, "kid": "1", "use": "sig", "alg": "RS256"}]}).encode()
        self._key = key
        self._server = Server()
        self._server.answer = self._answer
        self.url = self._server.url
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def _answer(self, to: Answering) -> None:
        if to.command == "GET":
            to.give(200, self.keys, Content_Type="application/json")
            return
        given = base64.b64decode(to.headers.get("Authorization", "").removeprefix("Basic ")).decode()
        name, _, password = given.partition(":")
        if password == PASSWORD and parse_qs(to.body.decode())["grant_type"] == ["client_credentials"]:
            to.give(200, self.token(name), Content_Type="application/json")
        else:
            to.give(401, b"{}", Content_Type="application/json")

    def token(self, name: str) -> bytes:
        now_s = int(time.time())
        claims = {"sub": name, "iss": self.url, "aud": "kafka", "iat": now_s, "exp": now_s + 300}
        token = jwt.encode(claims, self._key, "RS256", {"kid": "1"})
        return json.dumps({"access_token": token, "token_type": "Bearer", "expires_in": 300}).encode()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class Secured(NamedTuple):
    """A guarded Kafka."""

    plain: str  # where all is allowed
    ports: Mapping[str, int]  # by way in
    authority: Authority
    provider: Provider

    def kafka(self, way: str, name: str, password: str = PASSWORD) -> dict[str, str]:
        """Return librdkafka's properties with which `name` comes in by `way`."""
        conf = {"bootstrap.servers": f"127.0.0.1:{self.ports[way]}", "ssl.ca.location": str(self.authority.file)}
        match way:
            case "MTLS":
                file = str(self.authority.signed(name))
                return {**conf, "security.protocol": "ssl", "ssl.certificate.location": file, "ssl.key.location": file}
            case "SCRAM":
                login = {"sasl.username": name, "sasl.password": password}
                return {**conf, "security.protocol": "sasl_ssl", "sasl.mechanism": "SCRAM-SHA-512", **login}
            case "OAUTH":
                return {
                    **conf,
                    "security.protocol": "sasl_ssl",
                    "sasl.mechanism": "OAUTHBEARER",
                    "sasl.oauthbearer.method": "oidc",
                    "sasl.oauthbearer.client.id": name,
                    "sasl.oauthbearer.client.secret": password,
                    "sasl.oauthbearer.token.endpoint.url": f"{self.provider.url}/token",
                }
        return {**conf, "security.protocol": "ssl"}

    def environ(self, way: str, name: str, password: str = PASSWORD) -> dict[str, str]:
        """Return the same as variables."""
        kafka = self.kafka(way, name, password)
        servers = kafka.pop("bootstrap.servers")
        named = {f"A3CP_KAFKA__{key.upper().replace('.', '__')}": value for key, value in kafka.items()}
        return {"KAFKA_BOOTSTRAP_SERVERS": servers, **named}

    def let_in(self, name: str) -> None:
        """Make a user of this name, with the password."""
        login = ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, 4096)
        user = UserScramCredentialUpsertion(name, login, PASSWORD.encode())
        admin = self.admin()  # It must live until the answer has come.
        for future in admin.alter_user_scram_credentials([user]).values():
            future.result()

    def admin(self) -> AdminClient:
        """Return a client that may do everything."""
        return AdminClient({"bootstrap.servers": self.plain})


@contextmanager
def secured(folder: Path) -> Iterator[Secured]:
    """Run a guarded Kafka in `folder`."""
    authority, provider = Authority(folder / "tls"), Provider()
    ports = dict(zip(WAYS, free_ports(len(WAYS)), strict=True))
    java = f"-Da3cp.rights=DEBUG -Dorg.apache.kafka.sasl.oauthbearer.allowed.urls={provider.url}/keys"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JAVA_TOOL_OPTIONS", f"{os.environ.get('JAVA_TOOL_OPTIONS', '')} {java}")
        running = broker.up(None, folder / "kafka", properties=_properties(ports, authority, provider))
    try:
        yield Secured(running.bootstrap, ports, authority, provider)
    finally:
        broker.down(folder / "kafka")
        provider.stop()


def _properties(ports: Mapping[str, int], authority: Authority, provider: Provider) -> dict[str, str]:
    listeners = ",".join(f"{way}://127.0.0.1:{port}" for way, port in ports.items())
    scram, oauth = "listener.name.scram.", "listener.name.oauth."
    return {
        "listeners": listeners,
        "advertised.listeners": listeners,
        "listener.security.protocol.map": "TLS:SSL,MTLS:SSL,SCRAM:SASL_SSL,OAUTH:SASL_SSL",
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": str(authority.signed("broker")),
        "ssl.truststore.type": "PEM",
        "ssl.truststore.location": str(authority.file),
        "listener.name.mtls.ssl.client.auth": "required",
        "ssl.principal.mapping.rules": "RULE:^CN=(.*)$/$1/",
        f"{scram}sasl.enabled.mechanisms": "SCRAM-SHA-512",
        f"{scram}scram-sha-512.sasl.jaas.config": "org.apache.kafka.common.security.scram.ScramLoginModule required;",
        f"{oauth}sasl.enabled.mechanisms": "OAUTHBEARER",
        f"{oauth}oauthbearer.sasl.jaas.config": f"{_OAUTH}OAuthBearerLoginModule required;",
        f"{oauth}oauthbearer.sasl.server.callback.handler.class": f"{_OAUTH}OAuthBearerValidatorCallbackHandler",
        f"{oauth}oauthbearer.sasl.oauthbearer.jwks.endpoint.url": f"{provider.url}/keys",
        f"{oauth}oauthbearer.sasl.oauthbearer.expected.audience": "kafka",
        f"{oauth}oauthbearer.sasl.oauthbearer.expected.issuer": provider.url,
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "super.users": "User:ANONYMOUS",
    }
