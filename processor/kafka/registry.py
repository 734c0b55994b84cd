"""A schema registry with Confluent's HTTP API (Confluent's own, Apicurio, Karapace, Redpanda), as a `SchemaSource`.

Two calls over httpx; why not the client that comes with confluent-kafka: docs/adr/0012.
"""

import json
from typing import Any, Final
from urllib.parse import quote, unquote, urlsplit, urlunsplit

import httpx

from processor.errors import DecodeError, RegistryUnavailable, UsageError
from processor.http import Answer, ask

CALL_S: Final = 4.0  # for one question, all addresses together; how long to go on asking is the caller's to say
_MEDIA_TYPE: Final = "application/vnd.schemaregistry.v1+json"
_REFUSED: Final = (409, 422)  # incompatible; invalid
_NOT_FOUND: Final = (40401, 40402, 40403)  # beside status 404, from a registry; a wrong path has others
_IDS_END: Final = 1 << 31  # ids are numbered from 1, in 32 bits with a sign
_KINDS: Final = {"JSON": "a JSON Schema", "PROTOBUF": "a Protobuf schema"}


class Registry:
    """Asks a registry, each time anew. `Schemas` remembers the answers."""

    def __init__(self, url: str) -> None:
        """Use the registry at `url`: http(s)://[user:password@]host[:port][/path], or several with commas between.

        Raises:
            UsageError: it is no such address.
        """
        self._places = [_place(part.strip()) for part in url.split(",")]
        self._is_proven = False  # whether it has given a schema: then it is a registry for certain

    def schema_text(self, schema_id: int) -> str | None:
        """Return the Avro schema with this id. Returns None if there is none.

        Raises:
            RegistryUnavailable: no address answers as a registry does.
            DecodeError: the schema cannot be used: it is too large, no Avro schema, or refers to other schemas.
        """
        if schema_id >= _IDS_END:
            return None
        about = f"schema id {schema_id}"
        answer = self._ask("GET", f"/schemas/ids/{schema_id}", about)
        if answer.content is None:
            raise DecodeError(
                f"value has {about}, for which the registry's answer is too large to be a schema",
                remedy="write with a smaller schema",
            )
        if answer.status == 404 and (self._is_proven or _is_unknown(answer.content)):
            return None
        body = _body(answer, about)
        kind = body.get("schemaType") or "AVRO"
        if kind != "AVRO":
            raise DecodeError(
                f"value has {about}, which is {_KINDS.get(str(kind), 'no Avro schema')}; with an id only Avro is read",
                remedy="write with an Avro schema, or send plain JSON, without the 5 bytes before it",
            )
        if body.get("references"):
            raise DecodeError(
                f"value has {about}, which refers to other schemas of the registry; such references are not followed",
                remedy="register one schema that defines all its types itself, and write with that",
            )
        text = body.get("schema")
        if not isinstance(text, str):
            raise _strange(answer, about)
        self._is_proven = True
        return text

    def register(self, subject: str, text: str) -> int:
        """Return the id of the Avro schema `text` under `subject`, new or old.

        Raises:
            RegistryUnavailable: no address answers as a registry does.
            DecodeError: it refuses the schema.
        """
        about = f"a schema under {subject}"
        answer = self._ask("POST", f"/subjects/{quote(subject, safe='')}/versions", about, {"schema": text})
        if answer.status in _REFUSED:
            raise DecodeError(
                f"the schema registry refuses {about} (status {answer.status})",
                remedy="change the schema compatibly, or the subject's rule, then replay the dead letter",
            )
        schema_id = _body(answer, about).get("id")
        if not isinstance(schema_id, int) or not 0 <= schema_id < 1 << 32:
            raise _strange(answer, about)
        return schema_id

    def latest_id(self, subject: str) -> int | None:
        """Return the id of the latest schema under `subject`. Returns None if there is none.

        Raises:
            RegistryUnavailable: no address answers as a registry does.
        """
        about = f"the latest schema under {subject}"
        answer = self._ask("GET", f"/subjects/{quote(subject, safe='')}/versions/latest", about)
        if answer.status == 404 and _is_unknown(answer.content or b""):
            return None
        schema_id = _body(answer, about).get("id")
        if not isinstance(schema_id, int):
            raise _strange(answer, about)
        return schema_id

    def _ask(self, method: str, path: str, about: str, body: dict[str, str] | None = None) -> Answer:
        """Return the first answer of any address. "No" is an answer, "not now" is none."""
        headers = {"Accept": f"{_MEDIA_TYPE}, application/json"}
        if body is not None:
            headers["Content-Type"] = _MEDIA_TYPE
        why = ""
        for place, auth in self._places:
            content = None if body is None else json.dumps(body).encode()
            request = httpx.Request(method, place + path, headers=headers, content=content)
            try:
                answer = ask(request, auth, CALL_S / len(self._places))
            except (httpx.HTTPError, TimeoutError) as error:
                why = str(error) if isinstance(error, TimeoutError) else type(error).__name__
                continue
            if answer.status in (200, 404, *_REFUSED):
                return answer
            why = f"status {answer.status}"
        login = why in ("status 401", "status 403")
        raise RegistryUnavailable(
            f"schema registry does not answer for {about} ({why})",
            remedy="name who may read and write there in SCHEMA_REGISTRY_URL (https://user:password@host)"
            if login
            else "start it, or correct SCHEMA_REGISTRY_URL",
        )


def _place(url: str) -> tuple[str, tuple[str, str] | None]:
    """Return the address without user and password, and the two apart."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
        httpx.URL(url)
    except (ValueError, httpx.InvalidURL):
        host = port = None
    if not host or parts.scheme not in ("http", "https"):
        raise UsageError("SCHEMA_REGISTRY_URL is no http address", remedy="set it like http://registry.example:8081")
    if ":" in host:
        host = f"[{host}]"
    place = urlunsplit((parts.scheme, f"{host}:{port}" if port else host, parts.path.rstrip("/"), "", ""))
    auth = (unquote(parts.username), unquote(parts.password or "")) if parts.username else None
    return place, auth


def _is_unknown(content: bytes) -> bool:
    """Whether a registry says that it does not know an id. A wrong path and a web page give another 404."""
    try:
        return not content or json.loads(content)["error_code"] in _NOT_FOUND
    except (ValueError, RecursionError, TypeError, KeyError):
        return False


def _body(answer: Answer, about: str) -> dict[str, Any]:
    try:
        body = json.loads(answer.content or b"")
    except (ValueError, RecursionError) as error:
        raise _strange(answer, about) from error
    if answer.status != 200 or not isinstance(body, dict):
        raise _strange(answer, about)
    return body


def _strange(answer: Answer, about: str) -> RegistryUnavailable:
    return RegistryUnavailable(
        f"schema registry answers strangely for {about} (status {answer.status})",
        remedy="correct SCHEMA_REGISTRY_URL; it may need a path, such as /apis/ccompat/v7 for Apicurio",
    )
