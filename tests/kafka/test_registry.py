"""A registry that is broken or hostile: each question has an end, in time and in size, and is told in words."""

import gzip
import json
import threading
from collections.abc import Iterator

import pytest

from processor.errors import DecodeError, RegistryUnavailable, UsageError
from processor.http import ANSWER_BYTES_MAX
from processor.kafka.registry import CALL_S, Registry
from tests.patience import PATIENCE_S
from tests.registry_server import Answering, Server, always, serving

TEXT = '{"type": "record", "name": "R", "fields": []}'
FINE = json.dumps({"schema": TEXT}).encode()
UNKNOWN = b'{"error_code": 40403, "message": "Schema not found"}'


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as running:
        yield running


def test_a_schema_and_an_unknown_id(server):
    """What a registry says is returned; also a 404 with nothing beside it counts as unknown."""
    server.answer = always(200, FINE)
    assert Registry(server.url).schema_text(7) == TEXT
    server.answer = always(404, UNKNOWN)
    assert Registry(server.url).schema_text(7) is None
    server.answer = always(404)
    assert Registry(server.url).schema_text(7) is None
    server.answer = always(500)
    assert Registry(server.url).schema_text(0xFFFF_FFFF) is None  # No id is so large: nobody is asked.
    server.answer = always(200, gzip.compress(FINE), Content_Encoding="gzip")
    assert Registry(server.url).schema_text(7) == TEXT
    server.answer = always(200, b'{"id": 9}')
    assert Registry(server.url).register("subject", TEXT) == 9


def test_the_latest_id_of_a_subject(server):
    """It is asked for without writing anything; a subject that is not known has none."""
    server.answer = always(200, b'{"subject": "s", "id": 12, "version": 3, "schema": "{}"}')
    assert Registry(server.url).latest_id("s") == 12
    server.answer = always(404, b'{"error_code": 40401, "message": "Subject not found"}')
    assert Registry(server.url).latest_id("s") is None
    for strange in (always(404, b"<html>"), always(200, b"[]"), always(200, b"{}")):
        server.answer = strange
        with pytest.raises(RegistryUnavailable):
            Registry(server.url).latest_id("s")


def test_a_registry_that_is_known_to_be_one(server):
    """Once it has given a schema, whatever it says beside 404 means that it does not know the id."""
    registry = Registry(server.url)
    server.answer = always(404, b"<html>")
    with pytest.raises(RegistryUnavailable):
        registry.schema_text(7)
    server.answer = always(200, FINE)
    registry.schema_text(1)
    server.answer = always(404, b"<html>")
    assert registry.schema_text(7) is None


FAILING = [
    ("an error", always(500), "schema id 7 (status 500)"),
    ("an error with a text", always(503, b"later"), "schema id 7 (status 503)"),
    ("a login", always(401), "name who may read and write there in SCHEMA_REGISTRY_URL"),
    ("a redirect", always(302, Location="http://127.0.0.1:1/"), "schema id 7 (status 302)"),
    ("a page", always(200, b"<html>"), "strangely for schema id 7"),
    ("a page that is not found", always(404, b"<html>"), "strangely for schema id 7"),
    ("a list that is not found", always(404, b"[]"), "strangely for schema id 7"),
    ("a path that is not found", always(404, b'{"error_code": 404}'), "strangely for schema id 7"),
    ("a list", always(200, b"[1]"), "strangely for schema id 7"),
    ("JSON nested deeply", always(200, b"[" * 100_000), "strangely for schema id 7"),
    ("no schema", always(200, b"{}"), "strangely for schema id 7"),
    ("a number for a schema", always(200, b'{"schema": 5}'), "strangely for schema id 7"),
    ("no whole answer", always(200, FINE, Content_Length="9999"), "does not answer for schema id 7"),
    ("another packing", always(200, FINE, Content_Encoding="br"), "does not answer for schema id 7 (DecodingError)"),
    ("no answer", lambda asked: asked.connection.close(), "does not answer for schema id 7"),
]  # fmt: skip


@pytest.mark.parametrize(("title", "answer", "why"), FAILING)
def test_a_registry_that_fails_for_an_id(server, title, answer, why):
    """It is no answer, so nothing is guessed; the id is named."""
    server.answer = answer
    with pytest.raises(RegistryUnavailable) as failed:
        Registry(server.url).schema_text(7)
    assert why in str(failed.value)


def test_nobody_listens(server):
    """A refused connection names the id too; the next address is asked."""
    server.answer = always(200, FINE)
    with pytest.raises(RegistryUnavailable, match=r"schema id 7 \(ConnectError\); start it"):
        Registry("http://127.0.0.1:1").schema_text(7)
    assert Registry(f"http://127.0.0.1:1, {server.url}").schema_text(7) == TEXT


@pytest.mark.parametrize(
    ("title", "head"),
    [
        ("in the headers", b"HTTP/1.1 200 OK\r\nX-A: "),
        ("in the body", b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n"),
    ],
)
def test_an_answer_that_drips_is_left(server, title, head):
    """However slowly bytes come: the call ends, and so do its thread and its connection."""

    def answer(asked: Answering) -> None:
        asked.wfile.write(head)
        asked.drip(b"a" * 5_000)

    server.answer = answer
    with pytest.raises(RegistryUnavailable, match=f"schema id 7 \\(no whole answer within {CALL_S:g} s\\)"):
        Registry(server.url).schema_text(7)
    assert server.left.wait(PATIENCE_S)
    wait_until_none_runs()


def wait_until_none_runs() -> None:
    for thread in threading.enumerate():
        if thread.name == "a3cp-http":
            thread.join(PATIENCE_S)
            assert not thread.is_alive()


LARGE = [
    ("plainly", always(200, b" " * (ANSWER_BYTES_MAX + 1))),
    ("packed a thousandfold", always(200, gzip.compress(b" " * 100 * ANSWER_BYTES_MAX), Content_Encoding="gzip")),
]


@pytest.mark.parametrize(("title", "answer"), LARGE)
def test_an_answer_that_is_too_large(server, title, answer):
    """It is not read to its end; the record is at fault, since whoever registers may register much."""
    server.answer = answer
    with pytest.raises(DecodeError, match="schema id 7, for which the registry's answer is too large"):
        Registry(server.url).schema_text(7)
    with pytest.raises(RegistryUnavailable, match="strangely for a schema under s"):
        Registry(server.url).register("s", TEXT)


UNSUPPORTED = [
    ({"schemaType": "JSON"}, "is a JSON Schema; with an id only Avro is read; write"),
    ({"schemaType": "PROTOBUF"}, "is a Protobuf schema; with an id only Avro is read; write with an Avro schema"),
    ({"schemaType": "THRIFT"}, "is no Avro schema"),
    ({"references": [{"name": "x", "subject": "x", "version": 1}]}, "refers to other schemas of the registry"),
]  # fmt: skip


@pytest.mark.parametrize(("more", "why"), UNSUPPORTED)
def test_a_feature_that_is_not_supported(server, more, why):
    """The reason says what it really is, and what to do."""
    server.answer = always(200, json.dumps({"schema": TEXT, **more}).encode())
    with pytest.raises(DecodeError) as refused:
        Registry(server.url).schema_text(7)
    assert why in str(refused.value)


@pytest.mark.parametrize(
    "url", ["registry:8081", "ftp://x", "http://", "http://a:b:c", "http://exa mple:99999", "http://[::1"]
)
def test_what_is_no_address(url):
    """A setting that cannot be right is told at the start."""
    with pytest.raises(UsageError, match="SCHEMA_REGISTRY_URL is no http address"):
        Registry(url)


def test_ids_that_cannot_be(server):
    """What is registered gets an id of 32 bits."""
    for answer in (b'{"id": 4294967296}', b'{"id": -1}', b'{"id": "1"}', b"{}"):
        server.answer = always(200, answer)
        with pytest.raises(RegistryUnavailable, match="strangely"):
            Registry(server.url).register("s", TEXT)
    server.answer = always(409, b"")
    with pytest.raises(DecodeError, match=r"refuses a schema under s \(status 409\)"):
        Registry(server.url).register("s", TEXT)
