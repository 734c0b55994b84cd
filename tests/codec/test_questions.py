"""What a registry has to be asked for before records can be read, and what framings are told for what they are."""

from typing import NamedTuple

import pytest

from processor.codec import AVRO, CONFLUENT, Codec, Schemas
from processor.codec.foreign import framing_in_headers
from processor.codec.schema import EVENTS, REFUSAL_S
from processor.codec.wire import confluent_header
from processor.errors import RegistryUnavailable
from tests.strategies import SCHEMA_TEXTS, FakeRegistry


class Record(NamedTuple):
    """A record that has only a value."""

    content: bytes | None

    def value(self) -> bytes | None:
        return self.content


def records(*values: bytes | None) -> list[Record]:
    return [Record(value) for value in values]


FIRST, SECOND, UNKNOWN = map(confluent_header, (1, 2, 7))
OTHERS = records(b"{}", None, b"", b"\0\0\0\0", b"\xc3\x01" + bytes(20))


def test_what_is_lacking_is_said_once_and_asked_for_once():
    """Each header once, those of events as soon as there may be some; nothing of records that need no registry."""
    now_s = [0.0]
    registry = FakeRegistry(SCHEMA_TEXTS["A3CPMessage"], "{")
    schemas = Schemas(SCHEMA_TEXTS, source=registry, monotonic_s=lambda: now_s[0])
    codec = Codec(schemas)
    framed = records(FIRST + b"a", UNKNOWN, FIRST + b"b", SECOND)
    assert schemas.lacking(OTHERS) == []
    assert schemas.lacking([*OTHERS, *framed]) == [FIRST, UNKNOWN, SECOND]
    for header in (FIRST, UNKNOWN, SECOND):
        schemas.ask(header)
    assert schemas.lacking(framed) == [EVENTS]
    assert codec.lacks_events(CONFLUENT)
    assert not codec.lacks_events(AVRO)
    schemas.ask(EVENTS)
    asked = registry.asked
    assert schemas.lacking(framed) == []
    assert not codec.lacks_events(CONFLUENT)
    schemas.ask(UNKNOWN)
    assert registry.asked == asked
    now_s[0] += REFUSAL_S
    assert schemas.lacking(framed) == [UNKNOWN, SECOND]


def test_a_registry_that_fails_leaves_it_lacking():
    """Nothing is remembered of a question to which no answer came."""
    registry = FakeRegistry(SCHEMA_TEXTS["A3CPMessage"])
    registry.down = True
    schemas = Schemas(SCHEMA_TEXTS, source=registry)
    for need in (FIRST, EVENTS):
        with pytest.raises(RegistryUnavailable):
            schemas.ask(need)
        assert schemas.lacks(need)


def test_a_tagged_form_that_cannot_be_registered_names_the_id():
    """The question is about another subject; who looks for the record knows its schema's id."""
    registry = FakeRegistry(SCHEMA_TEXTS["A3CPMessage"])

    def register(subject: str, text: str) -> int:
        raise RegistryUnavailable(f"no answer for {subject}", remedy="start it")

    registry.register = register  # type: ignore[method-assign]
    with pytest.raises(RegistryUnavailable, match=r"tagged form of schema id 1 .*a3cp.tagged-value; start it"):
        Schemas(SCHEMA_TEXTS, source=registry).ask(FIRST)


def test_without_a_registry_no_record_lacks_anything():
    """Framed records are dead letters then, and need no answer; the events of earlier ones do."""
    schemas = Schemas(SCHEMA_TEXTS)
    assert schemas.lacking(records(FIRST)) == []
    assert schemas.lacks(EVENTS)


def test_only_headers_with_schemas_are_told():
    """The first header that names a schema; none of those that everybody sends."""
    assert framing_in_headers(["traceparent", "content-type"]) is None
    error = framing_in_headers(["traceparent", "__value_schema_id"])
    assert error is not None
    assert "header __value_schema_id, which is not read" in str(error)
