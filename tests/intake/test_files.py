"""What is read from files of messages, and what is told of their bad lines."""

import bz2
import io
import json
import lzma
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import fastavro
import pyarrow as pa
import pytest

from processor.codec.avrowriting import write_long
from processor.codec.codec import Codec
from processor.codec.schema import SHIPPED, Schemas
from processor.core.model import Message, Odd, odd_words
from processor.intake.files import Bad, FileReader, Good, Item
from processor.intake.texts import TEXT_BYTES_MAX
from processor.settings.documents import schema_text

CODEC = Codec(Schemas({name: schema_text(name) for name in SHIPPED}))
NO_IDS = Odd.SCHEMA_VERSION_MISSING | Odd.RECORD_ID_MISSING
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
    assert item == Good(1, line.encode(), "elias01", is_command=False, was_wrapped=False, odd=NO_IDS)


def test_upstreams_wrapper_is_taken_off() -> None:
    """Only where the line has exactly its three members; the message's bytes stay as they are."""
    inner = "{ " + SPINE + " }"
    lines = [
        '{"module":"ui","direction":"input","message":' + inner + "}",
        '{"direction":"input","module":"ui","message":' + inner + ',"more":1}',
        '{"direction":"x",' + SPINE + "}",
    ]
    first, second, third = read("\n".join(lines).encode())
    assert first == Good(1, inner.encode(), "elias01", is_command=False, was_wrapped=True, odd=NO_IDS)
    assert isinstance(second, Bad)
    assert second.number == 2
    assert isinstance(third, Good)
    assert not third.was_wrapped


def test_bad_lines_have_their_number_and_the_others_go_on() -> None:
    """Broken, without a user, without a time, too long, not text: each told; what follows is read."""
    good = "{" + SPINE + "}"
    too_long = '{"x":"' + "x" * TEXT_BYTES_MAX + '"}'
    content = f'{good}\n{{broken\n{{"user_id":"u"}}\n{too_long}\n[1]\n'.encode() + b"\xff\xfe\n" + good.encode()
    items = read(content)
    assert [type(item) for item in items] == [Good, Bad, Bad, Bad, Bad, Bad, Good]
    assert [item.number for item in items] == [1, 2, 3, 4, 5, 6, 7]
    whys = [item.why for item in items if isinstance(item, Bad)]
    assert "timestamp is missing" in whys[1]
    assert whys[2] == "the message is longer than 4 MiB"


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
    assert [item.user_id for item in items if isinstance(item, Good)] == ["elias01", "ben02"]
    first = decoded(items[0])
    assert (first.user_id, first.timestamp_ms) == ("elias01", 1_750_000_000_123)
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
    assert [type(item) for item in cut] == [Bad, Bad]
    assert cut[-1].number == 2
    assert "the record is damaged (value ends inside a field" in cut[-1].why
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


# --- Avro containers as others write them -----------------------------------------------------------------------------


def changed(**types: Any) -> Any:
    """Return our schema of messages with other types of some fields; None takes a field out."""
    schema = shipped("A3CPMessage")
    kept = [field for field in schema["fields"] if types.get(field["name"], True) is not None]
    schema["fields"] = [{**field, "type": types.get(field["name"], field["type"])} for field in kept]
    for field in schema["fields"]:
        if field["name"] in types:
            field.pop("default", None)
    return schema


def decoded(item: Item) -> Message:
    assert isinstance(item, Good), item
    message = CODEC.decode(item.value, 0)
    assert isinstance(message, Message)
    return message


def users(items: list[Item]) -> list[str]:
    """Return the users of what is good, and the numbers of what is bad, in order."""
    return [item.user_id if isinstance(item, Good) else f"{item.number}!" for item in items]


UUID_TEXT = "07e4c9ff-9b8e-4d3e-bc7c-2b1b1731df56"
AT_MS = 1_750_000_000_123


@pytest.mark.parametrize("codec", ["null", "deflate", "bzip2", "xz", "snappy", "zstandard"])
def test_codecs_of_containers(codec: str) -> None:
    """All of the specification's codecs, in several blocks."""
    values = [message(user_id=f"user-{n}", extra=json.dumps({"x": "y" * 300})) for n in range(200)]
    content = packed_container(shipped("A3CPMessage"), values, codec)
    assert users(read(content, "-")) == [f"user-{n}" for n in range(200)]


def packed_container(schema: Any, values: list[dict[str, Any]], codec: str) -> bytes:
    """Return a container of blocks of ten records, packed as Java does: fastavro lacks some of its codecs here."""
    parsed = fastavro.parse_schema(schema)
    sync = b"0123456789abcdef"
    out = io.BytesIO(b"Obj\x01")
    out.seek(4)
    metadata = {"avro.schema": json.dumps(schema).encode(), "avro.codec": codec.encode()}
    fastavro.schemaless_writer(out, {"type": "map", "values": "bytes"}, metadata)
    out.write(sync)
    for start in range(0, len(values), 10):
        block = io.BytesIO()
        for value in values[start : start + 10]:
            fastavro.schemaless_writer(block, parsed, value)
        data = PACKERS[codec](block.getvalue())
        fastavro.schemaless_writer(out, "long", len(values[start : start + 10]))
        fastavro.schemaless_writer(out, "bytes", data)
        out.write(sync)
    return out.getvalue()


def deflated(content: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(content) + packer.flush()


def snappy(content: bytes) -> bytes:
    packed: bytes = pa.compress(content, codec="snappy", asbytes=True)
    return packed + zlib.crc32(content).to_bytes(4, "big")


def zstandard(content: bytes) -> bytes:
    """Pack without telling the size, as Java's streams do."""
    out = pa.BufferOutputStream()
    with pa.CompressedOutputStream(out, "zstd") as packer:
        packer.write(content)
    packed: bytes = out.getvalue().to_pybytes()
    return packed


PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "null": bytes,
    "deflate": deflated,
    "bzip2": bz2.compress,
    "xz": lzma.compress,
    "snappy": snappy,
    "zstandard": zstandard,
    "lzo": bytes,
}


def test_a_codec_that_is_unknown() -> None:
    """Refused once, with its name and those that are known."""
    (refused,) = read(packed_container(shipped("A3CPMessage"), [message()], "lzo"))
    assert isinstance(refused, Bad)
    assert (refused.number, "'lzo'" in refused.why, "snappy" in refused.why) == (0, True, True)


def test_one_bad_record_does_not_end_a_container() -> None:
    """A time that no day has, text that is no UTF-8, a user that is blank: told each; the others are sent."""
    values = [message(user_id=f"user-{n}") for n in range(6)]
    values[1]["timestamp"], values[3]["user_id"], values[5]["timestamp"] = 253_402_300_800_000, " ", -1
    content = packed_container(shipped("A3CPMessage"), values, "null").replace(b"user-2", b"user\xff2")
    items = read(content)
    assert users(items) == ["user-0", "2!", "3!", "4!", "user-4", "6!"]
    whys = [item.why for item in items if isinstance(item, Bad)]
    assert "outside 1970-01-01 to 9999-12-31" in whys[0]
    assert "not UTF-8" in whys[1]
    assert "user_id is blank" in whys[2]
    assert not any("damaged" in why for why in whys)
    assert [bool(item.value) for item in items] == [True, True, False, True, True, True]  # What --unchecked can send.


@pytest.mark.parametrize("codec", ["null", "deflate", "snappy", "zstandard"])
@pytest.mark.parametrize("where", ["content", "sync", "size"])
def test_a_damaged_block_is_told_and_the_next_one_read(codec: str, where: str) -> None:
    """Found again by the mark that ends each block; the numbers of the records go on as far as they are known."""
    values = [message(user_id=f"user-{n:02}", extra="{}") for n in range(30)]
    whole = packed_container(shipped("A3CPMessage"), values, codec)
    blocks = whole.split(b"0123456789abcdef")  # the header, three blocks, nothing
    second = bytearray(blocks[2])
    match where:
        case "content":
            second[20:200] = bytes(180)
        case "size":
            second[1:3] = b"\xff\xff\xff\x7f"
    blocks[2] = bytes(second)
    content = b"0123456789abcdef".join(blocks)
    if where == "sync":
        at = len(b"0123456789abcdef".join(blocks[:3]))
        content = content[:at] + b"X" + content[at + 1 :]
    items = read(content)
    good = [user for user in users(items) if not user.endswith("!")]
    assert good[:10] == [f"user-{n:02}" for n in range(10)]
    if where != "sync":  # Else the third block goes with the second: nothing says where it begins.
        assert good[-10:] == [f"user-{n:02}" for n in range(20, 30)]
    bad = [item for item in items if isinstance(item, Bad)]
    assert bad
    assert all("damaged" in item.why for item in bad if codec != "null")
    assert min(item.number for item in bad) >= 11


def test_containers_joined_in_one_file() -> None:
    """Two files joined by `cat` are no damage: what has the same schema is read, another one is named."""
    values = [message(user_id=f"user-{n}") for n in range(20)]
    first, second = (packed_container(shipped("A3CPMessage"), values, codec) for codec in ("deflate", "null"))
    items = read(first + second)
    assert [item.number for item in items if isinstance(item, Good)] == list(range(1, 41))
    for follower, why in (
        (container(shipped("SessionCommand")), "with another schema"),
        (second[:40], "its header is damaged"),
        (second.replace(b"\x08null", b"\x08nope", 1), "no codec of Avro"),
    ):
        *good, bad = read(first + follower)
        assert len(good) == 20
        assert isinstance(bad, Bad)
        assert (bad.number, why in bad.why, bad.why.startswith("another Avro file begins here")) == (21, True, True)


def test_a_block_that_unpacks_to_too_much() -> None:
    """The memory it takes is bounded; the next block is read."""
    sync = b"0123456789abcdef"
    bomb = deflated(bytes(80 << 20))
    whole = packed_container(shipped("A3CPMessage"), [message(user_id=f"user-{n}") for n in range(20)], "deflate")
    header, first, second, _ = whole.split(sync)
    out = io.BytesIO()
    fastavro.schemaless_writer(out, "long", 7)
    fastavro.schemaless_writer(out, "bytes", bomb)
    items = read(sync.join((header, first, out.getvalue(), second, b"")))
    (bad,) = (item for item in items if isinstance(item, Bad))
    assert (bad.number, "unpacks to more than 64 MiB" in bad.why) == (11, True)
    assert len(items) == 21


def test_records_of_no_bytes_are_refused_once() -> None:
    """A block of a few bytes may say that it holds millions of them."""
    names = ("schema_version", "record_id", "user_id", "timestamp", "source")
    nothing = {"type": "record", "name": "A3CPMessage", "fields": [{"name": name, "type": "null"} for name in names]}
    header = container(nothing)
    (refused,) = read(header + write_long(1 << 26) + write_long(0) + header[-16:])
    assert isinstance(refused, Bad)
    assert "67108864 records from here on take no bytes" in refused.why


def test_a_header_that_is_damaged() -> None:
    """Or a schema that cannot be read: refused once."""
    whole = container(shipped("A3CPMessage"), message())
    for content in (whole[:30], whole.replace(b'"type"', b'"tipe"'), b"Obj\x01" + b"\xff" * 20):
        (refused,) = read(content)
        assert isinstance(refused, Bad)
        assert (refused.number, refused.why.startswith("its ")) == (0, True)


@pytest.mark.parametrize("zone", ["UTC", "America/New_York", "Asia/Kolkata"])
@pytest.mark.parametrize("unit", ["millis", "micros", "nanos"])
def test_times_do_not_depend_on_the_machine(unit: str, zone: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A local timestamp counts as UTC, as in the codec, and is told to have no zone; any other is what it is."""
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        number = AT_MS * {"millis": 1, "micros": 1_000, "nanos": 1_000_000}[unit]
        for kind, odd in ((f"timestamp-{unit}", 0), (f"local-timestamp-{unit}", Odd.TIMESTAMP_WITHOUT_ZONE)):
            for written in ({"type": "long", "logicalType": kind}, ["null", {"type": "long", "logicalType": kind}]):
                schema = changed(timestamp=written)
                plain = changed(timestamp="long" if isinstance(written, dict) else ["null", "long"])
                value = message(record_id=UUID_TEXT, timestamp=number)
                # Written as a number: fastavro would make a local time of it.
                content = packed_container(schema, [], "null") + container_blocks(plain, value)
                (item,) = read(content)
                assert decoded(item).timestamp_ms == AT_MS
                assert isinstance(item, Good)
                assert item.odd == odd
    finally:
        monkeypatch.undo()
        time.tzset()


def container_blocks(schema: Any, *values: dict[str, Any]) -> bytes:
    """Return the blocks of a container, without its header."""
    whole = packed_container(schema, list(values), "null")
    return whole.partition(b"0123456789abcdef")[2]


@pytest.mark.parametrize(
    ("types", "value"),
    [
        ({"record_id": {"type": "string", "logicalType": "uuid"}}, {"record_id": UUID_TEXT}),
        (
            {"record_id": {"type": "fixed", "name": "Id", "size": 16, "logicalType": "uuid"}},
            {"record_id": UUID(UUID_TEXT).bytes},
        ),
        ({"record_id": ["null", {"type": "string", "logicalType": "uuid"}]}, {"record_id": UUID_TEXT}),
        ({"user_id": ["string", "null"], "schema_version": ["null", "string"]}, {}),
        ({"user_id": "bytes"}, {"user_id": b"elias01"}),
        ({"timestamp": "string"}, {"timestamp": "2025-06-15T15:06:40.123Z"}),
        ({"modality": {"type": "enum", "name": "M", "symbols": ["audio", "gesture"]}}, {"modality": "gesture"}),
        ({"performer_id": None, "extra": None}, {}),
        ({"source": "null"}, {"source": None}),
    ],
)
def test_schemas_of_others(types: dict[str, Any], value: dict[str, Any]) -> None:
    """Nullable where ours is not, UUIDs, enums, fewer fields: what can be written as ours, is."""
    (item,) = read(container(changed(**types), message(**{"record_id": UUID_TEXT, **value})))
    expected = (CODEC.fields_of(item.value)["record_id"], decoded(item).user_id, decoded(item).timestamp_ms)
    assert expected == (UUID_TEXT, "elias01", AT_MS)
    if "modality" in value:
        assert CODEC.fields_of(item.value)["modality"] == "gesture"


def test_the_name_of_a_schema_does_not_matter() -> None:
    """Spark calls its records topLevelRecord, and makes every field nullable."""
    fields = [{**field, "type": ["string", "null"]} for field in shipped("A3CPMessage")["fields"]]
    fields[3]["type"] = [{"type": "long", "logicalType": "timestamp-micros"}, "null"]
    for field in fields:
        field.pop("default", None)
    schema = {"type": "record", "name": "topLevelRecord", "fields": fields}
    values = [message(record_id=UUID_TEXT, timestamp=AT_MS * 1_000), message(record_id=None, schema_version=None)]
    values += [message(user_id=None), message(timestamp=None)]
    first, second, third, fourth = read(container(schema, *values))
    assert decoded(first).timestamp_ms == AT_MS
    assert isinstance(second, Good)
    assert odd_words(second.odd) == ("schema_version_not_semver", "record_id_not_uuid")  # Ours has no null there.
    assert [item.why.partition(";")[0] for item in (third, fourth) if isinstance(item, Bad)] == [
        "user_id is missing",
        "timestamp is missing",
    ]


@pytest.mark.parametrize(
    ("types", "value", "why"),
    [
        ({"timestamp": "string"}, {"timestamp": "yesterday"}, "timestamp is no ISO 8601 time"),
        ({"timestamp": "double"}, {"timestamp": 1.5}, "timestamp is no whole number"),
        ({"user_id": "bytes"}, {"user_id": b"\xff"}, "user_id is bytes that are no text"),
        ({"source": "int"}, {"source": 7}, "source is not of the type that A3CPMessage has"),
        ({"user_id": {"type": "array", "items": "int"}}, {"user_id": [1]}, "user_id is not of the type"),
    ],
)
def test_values_that_cannot_be_ours(types: dict[str, Any], value: dict[str, Any], why: str) -> None:
    """Told by the field; the content is not."""
    bad, good = read(container(changed(**types), message(**value), message(**value)))
    for item in (bad, good):
        assert isinstance(item, Bad)
        assert item.why.startswith(why)


def test_commands_in_containers() -> None:
    """A record with `command` is one, whatever it is called."""
    schema = {**shipped("SessionCommand"), "name": "Ask"}
    command = {**message(), "command": "start", "force_new": True, "is_training_data": False}
    (item,) = read(container(schema, command))
    assert isinstance(item, Good)
    assert item.is_command
    for field in schema["fields"][8:]:
        field.update(type=["null", "boolean" if field["type"] == "boolean" else "string"], default=None)
    (item,) = read(container(schema, {**message(), "command": "start"}))
    assert isinstance(item, Good)
    assert CODEC.fields_of(item.value)["force_new"] is False


def test_strict_refuses_a_container_of_local_times_once() -> None:
    """All of its records would be refused for it."""
    schema = changed(timestamp={"type": "long", "logicalType": "local-timestamp-millis"})
    reader = FileReader(lambda: AT_MS, strict=True)
    content = packed_container(schema, [], "null") + container_blocks(changed(timestamp="long"), message())
    (refused,) = reader.read(io.BufferedReader(io.BytesIO(content)), "-")
    assert isinstance(refused, Bad)
    assert "(timestamp_without_zone)" in refused.why
