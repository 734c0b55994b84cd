"""A schema registry with Confluent's HTTP API (Confluent's own, Apicurio, Karapace, Redpanda), as a `SchemaSource`.

Two calls over httpx; why not the client that comes with confluent-kafka: docs/adr/0012.
"""

import time
from collections.abc import Callable
from typing import Any, Final
from urllib.parse import quote, unquote, urlsplit, urlunsplit

import httpx

from processor.core.errors import DecodeError, RegistryUnavailable, UsageError

TIMEOUT_S: Final = 5.0  # for one answer; how long to go on asking is the caller's to say
UNKNOWN_S: Final = 30.0  # how long an unknown id stays unknown before it is asked for again
UNKNOWN_MAX: Final = 1024  # unknown ids that are remembered
_MEDIA_TYPE: Final = "application/vnd.schemaregistry.v1+json"
_REFUSED: Final = (409, 422)  # incompatible; invalid


class Registry:
    """Asks a registry, each time anew but for ids it did not know a moment ago: `Schemas` remembers the rest."""

    def __init__(self, url: str, *, monotonic_s: Callable[[], float] = time.monotonic) -> None:
        """Use the registry at `url`: http(s)://[user:password@]host[:port][/path], or several with commas between.

        Raises:
            UsageError: that is no such address.
        """
        self._places = [_place(part.strip()) for part in url.split(",")]
        self._http = httpx.Client(timeout=TIMEOUT_S, headers={"Accept": f"{_MEDIA_TYPE}, application/json"})
        self._monotonic_s = monotonic_s
        self._unknown: dict[int, float] = {}  # by id: when to ask again

    def schema_text(self, schema_id: int) -> str | None:
        """Return the Avro schema with this id; None when there is none.

        Raises:
            RegistryUnavailable: no address answers as a registry does.
            DecodeError: the schema is of another kind than Avro.
        """
        now_s = self._monotonic_s()
        if self._unknown.get(schema_id, now_s) > now_s:
            return None
        answer = self._ask("GET", f"/schemas/ids/{schema_id}")
        if answer.status_code == 404:
            if len(self._unknown) >= UNKNOWN_MAX:
                self._unknown.clear()
            self._unknown[schema_id] = now_s + UNKNOWN_S
            return None
        body = _body(answer)
        kind = body.get("schemaType", "AVRO")
        if kind != "AVRO":
            raise DecodeError(
                f"value has schema id {schema_id}, which is {kind}", remedy="write it with an Avro schema"
            )
        text = body.get("schema")
        if not isinstance(text, str):
            raise _strange(answer)
        return text

    def register(self, subject: str, text: str) -> int:
        """Return the id of the Avro schema `text` under `subject`, new or old.

        Raises:
            RegistryUnavailable: no address answers as a registry does.
            DecodeError: it refuses the schema.
        """
        answer = self._ask("POST", f"/subjects/{quote(subject, safe='')}/versions", {"schema": text})
        if answer.status_code in _REFUSED:
            raise DecodeError(
                f"the schema registry refuses a schema under {subject} (status {answer.status_code})",
                remedy="change the schema compatibly, or the subject's rule, then replay the dead letter",
            )
        schema_id = _body(answer).get("id")
        if not isinstance(schema_id, int):
            raise _strange(answer)
        return schema_id

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def _ask(self, method: str, path: str, body: dict[str, str] | None = None) -> httpx.Response:
        """Return the first answer of any address: also one that says no, but none that says not now."""
        why = ""
        for place, auth in self._places:
            try:
                answer = self._http.request(
                    method, place + path, json=body, auth=auth, headers={"Content-Type": _MEDIA_TYPE} if body else None
                )
            except httpx.HTTPError as error:
                why = type(error).__name__
                continue
            if answer.status_code in (200, 404, *_REFUSED):
                return answer
            why = f"status {answer.status_code}"
        raise RegistryUnavailable(
            f"schema registry does not answer ({why})", remedy="start it, or correct SCHEMA_REGISTRY_URL"
        )


def _place(url: str) -> tuple[str, tuple[str, str] | None]:
    """Return the address without user and password, and these."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        host = port = None
    if not host or parts.scheme not in ("http", "https"):
        raise UsageError("SCHEMA_REGISTRY_URL is no http address", remedy="set it like http://registry.example:8081")
    if ":" in host:
        host = f"[{host}]"
    place = urlunsplit((parts.scheme, f"{host}:{port}" if port else host, parts.path.rstrip("/"), "", ""))
    auth = (unquote(parts.username), unquote(parts.password or "")) if parts.username else None
    return place, auth


def _body(answer: httpx.Response) -> dict[str, Any]:
    try:
        body = answer.json()
    except ValueError as error:
        raise _strange(answer) from error
    if answer.status_code != 200 or not isinstance(body, dict):
        raise _strange(answer)
    return body


def _strange(answer: httpx.Response) -> RegistryUnavailable:
    return RegistryUnavailable(
        f"schema registry answers strangely (status {answer.status_code})",
        remedy="correct SCHEMA_REGISTRY_URL; it may need a path, such as /apis/ccompat/v7 for Apicurio",
    )
