"""What is read from files of messages, and what is told of their bad lines."""

import io
import json
from pathlib import Path
from typing import Any

import fastavro
import pytest

from processor.cli.input_files import LINE_BYTES_MAX, Bad, FileReader, Good, Item
from processor.codec.codec import Codec
from processor.codec.schema import SHIPPED, Schemas
from processor.core.model import Message
from processor.resources import schema_text

SPINE = '"user_id":"elias01","timestamp":"2025-06-15T12:34:56.789Z"'


def read(content: bytes, name: str = "day.jsonl") -> list[Item]:
    return list(FileReader(lambda: 1_750_000_000_000).read(io.BufferedReader(io.BytesIO(content)), name))


def container(schema: Any, *records: dict[str, Any]) -> bytes:
    out = io.BytesIO()
    fastavro.writer(out, fastavro.parse_schema(schema), records)
    return out.getvalue()


def shipped(name: str) -> Any:
    return json.loads(schema_text(name))


def message(**fields: Any) -> dict[str, Any]:
    return {"schema_version": "1.0.1", "record_id": "r", "user_id": "elias01", "timestamp": 1_750_000_000_123, **fields}


def test_a_line_is_sent_as_it_is() -> None:
    """Its bytes are not touched, whatever order, spaces and spellings they have; blank lines are none."""
    line = '{ "b" : 1e2, "a":"\\u00e4ä", ' + SPINE + " }"
    (item,) = read(b"\xef\xbb\xbf" + line.encode() + b"\r\n\n  \n")
    assert item == Good(1, line.encode(), "elias01", is_command=False, was_wrapped=False)


def test_upstreams_wrapper_is_taken_off() -> None:
    """Only where the line has exactly its three members; the message's bytes stay as they are."""
    inner = "{ " + SPINE + " }"
    lines = [
        '{"module":"ui","direction":"input","message":' + inner + "}",
        '{"direction":"input","module":"ui","message":' + inner + ',"more":1}',
        '{"direction":"x",' + SPINE + "}",
    ]
    first, second, third = read("\n".join(lines).encode())
    assert first == Good(1, inner.encode(), "elias01", is_command=False, was_wrapped=True)
    assert isinstance(second, Bad)
    assert second.number == 2
    assert isinstance(third, Good)
    assert not third.was_wrapped


def test_bad_lines_have_their_number_and_the_others_go_on() -> None:
    """Broken, without a user, without a time, too long, not text: each told; what follows is read."""
    good = "{" + SPINE + "}"
    too_long = '{"x":"' + "x" * LINE_BYTES_MAX + '"}'
    content = f'{good}\n{{broken\n{{"user_id":"u"}}\n{too_long}\n[1]\n'.encode() + b"\xff\xfe\n" + good.encode()
    items = read(content)
    assert [type(item) for item in items] == [Good, Bad, Bad, Bad, Bad, Bad, Good]
    assert [item.number for item in items] == [1, 2, 3, 4, 5, 6, 7]
    whys = [item.why for item in items if isinstance(item, Bad)]
    assert "timestamp is missing" in whys[1]
    assert whys[2] == "the line is longer than 4 MiB"


def test_commands_are_told_apart() -> None:
    """A line may be a command."""
    (item,) = read(b"{" + SPINE.encode() + b',"command":"start"}')
    assert isinstance(item, Good)
    assert item.is_command


@pytest.mark.parametrize("name", ["day.avro", "-"])
def test_a_container_is_sent_in_single_object_encoding(name: str) -> None:
    """Every record comes out as the codec reads it: same content, known by the file's name or its first bytes."""
    content = container(shipped("A3CPMessage"), message(extra='{"event":"x"}'), message(user_id="ben02"))
    items = read(content, name)
    codec = Codec(Schemas({known: schema_text(known) for known in SHIPPED}))
    assert [item.user_id for item in items if isinstance(item, Good)] == ["elias01", "ben02"]
    decoded = codec.decode(items[0].value, 0)
    assert isinstance(decoded, Message)
    assert (decoded.user_id, decoded.timestamp_ms) == ("elias01", 1_750_000_000_123)
    assert b'{"event":"x"}' in items[0].value
    assert items[0].value[:2] == b"\xc3\x01"


def test_bad_records_of_a_container() -> None:
    """A record without a user is told by its number; a file cut off says where, and what came before is sent."""
    content = container(shipped("A3CPMessage"), message(user_id=" "), message())
    first, second = read(content, "day.avro")
    assert isinstance(first, Bad)
    assert (first.number, first.why[:16]) == (1, "user_id is blank")
    assert isinstance(second, Good)
    cut = read(content[:-30], "day.avro")
    assert isinstance(cut[-1], Bad)
    assert "the file is damaged here" in cut[-1].why
    (not_avro,) = read(b"{}", "day.avro")
    assert isinstance(not_avro, Bad)


def test_a_container_with_other_fields_is_refused() -> None:
    """What A3CPMessage has no field for would be lost; an older schema with fewer is fine."""
    schema = shipped("A3CPMessage")
    schema["fields"].append({"name": "mood", "type": "string"})
    (refused,) = read(container(schema, message(mood="x")), "day.avro")
    assert isinstance(refused, Bad)
    assert "fields that A3CPMessage has not: mood" in refused.why
    older = shipped("A3CPMessage")
    older["fields"] = older["fields"][:4]
    (item,) = read(container(older, message()), "day.avro")
    assert isinstance(item, Good)
    other = {"type": "record", "name": "Other", "fields": []}
    (refused,) = read(container(other, {}), "day.avro")
    assert isinstance(refused, Bad)
    assert "holds Other" in refused.why


def test_upstreams_examples(tmp_path: Path) -> None:
    """A file in upstream's form of examples: the usable ones are sent, the others told."""
    lines = [{"module": "m", "direction": "output", "message": {"user_id": "u", "timestamp": "2025-07-09T12:00:00Z"}}]
    lines += [{"module": "m", "direction": "output", "message": {"success": True}}]
    items = read("\n".join(json.dumps(line) for line in lines).encode())
    assert [type(item) for item in items] == [Good, Bad]
