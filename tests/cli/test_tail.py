"""`a3cp tail` without a Kafka: what it says of a record, and where it begins."""

import json
from typing import Any

import pytest

from processor.cli.printing.record_lines import fields_of, line_of, said_by
from processor.cli.tail import offsets_of, word_and_name
from processor.codec.headers import DLQ_RETRIED, DLQ_START
from processor.codec.wire import AVRO, JSON
from processor.core.model import Ended, EndReason, Flag, Tagged
from processor.errors import UsageError
from processor.runtime.ports import TopicRecord
from tests.strategies import SCHEMA_TEXTS, confluent, make_codec, single_object

CODEC = make_codec()
FIELDS = {"schema_version": "1.0.1", "record_id": "r", "user_id": "ann", "source": "gesture_classifier"}
AS_JSON = json.dumps({**FIELDS, "timestamp": "2025-06-15T15:06:40Z"}).encode()
AS_AVRO = {**FIELDS, "timestamp": 1_750_000_000_000}
TAG = Tagged("sess_1", 7, 1_750_000_000_000, Flag.LATE, 1_750_000_000_000, bytes(32), True)
END = Ended("sess_1", 1_750_000_000_000, 1_750_000_000_000, EndReason.COMMAND, 0, 7, bytes(32), 0, 1_750_000_000_000)


def record(value: bytes | None, **fields: Any) -> TopicRecord:
    return TopicRecord("a3cp.t", 3, 1042, 1_750_000_000_123, b"ann", value)._replace(**fields)


def line(word: str, value: bytes | None, **fields: Any) -> str:
    one = record(value, **fields)
    return line_of(one, said_by(word, one, CODEC))


START = "2025-06-15 15:06:40Z  a3cp.t[3]@1042  ann  "


@pytest.mark.parametrize("value", [AS_JSON, single_object("A3CPMessage", AS_AVRO), confluent("A3CPMessage", AS_AVRO)])
def test_each_encoding(value: bytes) -> None:
    """Raw and tagged messages in all three read alike."""
    codec = make_codec(SCHEMA_TEXTS["A3CPMessage"])
    for word, content, expected in (
        ("raw", value, f"{START}Message from the recognition of signs"),
        ("tagged", codec.tag(value, TAG), f"{START}sess_1 #7  Message from the recognition of signs  (late)"),
    ):
        one = record(content)
        said = said_by(word, one, codec)
        assert line_of(one, said) == expected
        told = fields_of(one, said)
        assert (told["position"], told["append_time"], told["user_id"]) == (
            "a3cp.t[3]@1042",
            "2025-06-15T15:06:40.123Z",
            "ann",
        )
        assert told["message"]["source"] == "gesture_classifier"
        json.dumps(told)


@pytest.mark.parametrize("encoding", [JSON, AVRO])
def test_a_session_event(encoding: int) -> None:
    """The event in words; as JSON in the form that all commands share."""
    one = record(CODEC.encode_event("ann", END, encoding))
    said = said_by("sessions", one, CODEC)
    assert line_of(one, said) == f"{START}sess_1  Session ended on request"
    assert fields_of(one, said)["event"]["kind"] == "ended"


def test_a_dead_letter() -> None:
    """Where it came from and why it is dead; the marker of one that was put back says so."""
    told = {"topic": "a3cp.raw", "partition": "3", "offset": "17", "stage": "decode", "message": "no JSON"}
    headers = [(DLQ_START + name, text.encode()) for name, text in told.items()]
    assert line("dlq", b"x", headers=headers) == f"{START}a3cp.raw[3]@17  decode: no JSON"
    assert line("dlq", None, headers=[(DLQ_RETRIED, b"a3cp.dlq[3]@5")]) == f"{START}a dead letter was put back"


def test_what_cannot_be_read_or_shown() -> None:
    """It is said in the record's place: nothing ends the tail, and nothing steers the terminal."""
    assert line("tagged", b"\x00").startswith(f"{START}it cannot be read: value ")
    assert line("raw", None) == f"{START}it has no value"
    media = json.dumps({**FIELDS, "image": "data:image/png;base64,iVBORw0KGgo="}).encode()
    one = record(media)
    said = said_by("raw", one, CODEC)
    assert line_of(one, said) == f"{START}withheld: raw media"
    assert fields_of(one, said)["message"] == {"withheld": "raw media"}
    steering = json.dumps({**FIELDS, "source": "\x1b[2J", "user_id": "x"}).encode()
    assert "\x1b" not in line("raw", steering, key=b"\x1b[31m")
    assert line("raw", json.dumps({**FIELDS, "command": "end"}).encode()) == f"{START}command end"


def test_where_to_begin() -> None:
    """Words and positions; a position of another topic is refused."""
    assert offsets_of("now", "a3cp.raw") == offsets_of("beginning", "a3cp.raw") == {}
    assert offsets_of("a3cp.raw[3]@17", "a3cp.raw") == offsets_of("3@17", "a3cp.raw") == {("a3cp.raw", 3): 17}
    for wrong in ("a3cp.tagged[3]@17", "yesterday", "[3]@17", "3"):
        with pytest.raises(UsageError, match=r"is no place in a3cp.raw; say now, beginning, or a position"):
            offsets_of(wrong, "a3cp.raw")


def test_which_topic() -> None:
    """By its word or its name."""
    names = {"raw": "x.raw", "dlq": "x.dlq"}
    assert word_and_name("raw", names) == word_and_name("x.raw", names) == ("raw", "x.raw")
    with pytest.raises(UsageError, match=r"no topic a3cp.raw; there are raw, dlq, or x.raw, x.dlq"):
        word_and_name("a3cp.raw", names)
