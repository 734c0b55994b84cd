"""What must not be kept leaves the dead letters of every encoding; and headers that only look like ours."""

import base64
import json
from collections.abc import Callable
from hashlib import sha256
from typing import Any

import pytest

from processor.codec.headers import DLQ_WITHHELD, Headers
from processor.codec.wire import confluent_header
from processor.core.model import Rules
from processor.runtime.task import Task
from processor.testing import MemoryRecord
from tests.broker.fleet import BASE_MS
from tests.runtime.stage import NAMES
from tests.strategies import avro_body, make_codec, single_object
from tests.withheld_records import KEPT, MEDIA, PARTIAL, PNG

CAMERA = json.dumps(
    {
        "type": "record",
        "name": "Camera",
        "fields": [
            {"name": "user_id", "type": "string"},
            {"name": "timestamp", "type": "long"},
            {"name": "is_partial", "type": ["null", "boolean"], "default": None},
            {"name": "transcript", "type": "string"},
            {"name": "more", "type": {"type": "map", "values": ["bytes", "string"]}},
        ],
    }
)
WORD = json.dumps("string")
CODEC = make_codec(CAMERA, WORD)
SECRET = b"SECRET"


def dead(value: bytes, headers: Headers | None = None) -> tuple[bytes | None, dict[str, bytes | None]]:
    """Return value and headers of the dead letter of `value`, which is the only thing that it causes."""
    task = Task(0, 1, codec=CODEC, rules=Rules(), topics=NAMES, record_bytes_max=2 << 20)
    ((topic, kept, _, _, told),) = task.process([MemoryRecord(0, 0, None, value, BASE_MS, headers)])
    assert topic == NAMES.dlq
    return kept, dict(told or ())


def camera(**fields: Any) -> bytes:
    """Return a record of the registry's schema 1 that has no user."""
    return confluent_header(1) + avro_body(CAMERA, {"user_id": " ", "timestamp": BASE_MS, **fields})


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"transcript": "SECRET", "is_partial": True, "more": {}}, b"partial transcript"),
        ({"transcript": "", "more": {"frame_data": SECRET}}, b"raw media"),
        ({"transcript": "", "more": {"audio_payload": SECRET}}, b"raw media"),
        ({"transcript": "", "more": {"image": "data:image/png;base64,SECRET"}}, b"raw media"),
    ],
)
def test_fields_that_bytes_do_not_show(fields: dict[str, Any], why: bytes) -> None:
    """A registry's Avro does not hold the names of its fields: it is read, and leaves hash and size."""
    value = camera(**fields)
    kept, headers = dead(value)
    assert headers[DLQ_WITHHELD] == why
    assert kept is not None
    assert SECRET not in kept
    assert json.loads(kept) == {"withheld": why.decode(), "sha256": sha256(value).hexdigest(), "size": len(value)}


@pytest.mark.parametrize(
    "value",
    [
        camera(transcript="whole", is_partial=False, more={"other": SECRET}),
        camera(transcript="cut off", is_partial=True, more={"frame_data": SECRET})[:-3],
        confluent_header(2) + b"\x12no record",
        confluent_header(9) + SECRET,
        b"\0",
    ],
)
def test_the_rest_is_kept(value: bytes) -> None:
    """Also what cannot be read, since nothing else could be retried."""
    kept, headers = dead(value)
    assert kept == value
    assert DLQ_WITHHELD not in headers


NOBODY = {"user_id": " ", "timestamp": "2025-06-15T15:06:40.000Z"}
UNREADABLE = {
    "cut off": lambda text: text[:-1].encode(),
    "UTF-16": lambda text: text.encode("utf-16"),
    "UTF-16 without a mark": lambda text: text.encode("utf-16-be"),
    "UTF-32": lambda text: text.encode("utf-32"),
    "encoded twice": lambda text: json.dumps(text).encode(),
}


def is_told(value: bytes, why: str) -> bool:
    """Whether the dead letter of `value` holds hash and size in its place, for this reason."""
    kept, headers = dead(value)
    instead = {"withheld": why, "sha256": sha256(value).hexdigest(), "size": len(value)}
    return headers.get(DLQ_WITHHELD) == why.encode() and json.loads(kept or b"") == instead


@pytest.mark.parametrize(("records", "why"), [(MEDIA, "raw media"), (PARTIAL, "partial transcript")])
def test_however_it_is_spelt(records: dict[str, dict[str, Any]], why: str) -> None:
    """In JSON that nobody can be found in, and in the `extra` of Avro likewise."""
    fields: dict[str, Any] = {"schema_version": "1", "record_id": "1", "user_id": " ", "timestamp": BASE_MS}
    fields |= dict.fromkeys(("performer_id", "modality", "source", "capture_id", "session_id"))
    for name, more in records.items():
        assert is_told(json.dumps({**NOBODY, **more}).encode(), why), name
        own: dict[str, Any] = {key: more[key] for key in ("modality", "source") if key in more}
        assert is_told(single_object("A3CPMessage", {**fields, **own, "extra": json.dumps(more)}), why), name


@pytest.mark.parametrize("write", UNREADABLE.values(), ids=UNREADABLE)
@pytest.mark.parametrize(("records", "why"), [(MEDIA, "raw media"), (PARTIAL, "partial transcript")])
def test_in_what_cannot_be_read(records: dict[str, dict[str, Any]], why: str, write: Callable[[str], bytes]) -> None:
    """Then a name that looks like one is enough."""
    for name, more in records.items():
        assert is_told(write(json.dumps({**NOBODY, **more})), why), name


def test_what_only_looks_like_it_is_kept() -> None:
    """Dead letters hold all else as it came, so that it can be put back."""
    for name, more in KEPT.items():
        value = json.dumps({**NOBODY, **more}).encode()
        kept, headers = dead(value)
        assert (kept, headers.get(DLQ_WITHHELD)) == (value, None), name


@pytest.mark.parametrize(
    "value",
    [
        PNG,
        b"\xff\xd8\xff\xe0\0\x10JFIF\0" + SECRET,
        b"RIFF\x24\0\0\0WAVEfmt " + SECRET,
        b"\0\0\0\x18ftypmp42" + SECRET,
        b"--boundary\r\n\r\n" + PNG,
        confluent_header(9) + b"\x02" + PNG,
        base64.b64encode(PNG),
        camera(transcript="", more={"anything": PNG}),
        camera(transcript="", more={"anything": bytes(range(256)) * 2}),
    ],
)
def test_media_as_they_are(value: bytes) -> None:
    """Files of media, alone, within something else, or as bytes of Avro in any field."""
    assert is_told(value, "raw media")


@pytest.mark.parametrize("depth", [3, 70, 250])
def test_however_deep_it_lies(depth: int) -> None:
    """In objects and lists, as deep as a message may be."""
    for before, after in (('{"a":', "}"), ("[", "]")):
        value = json.dumps(NOBODY)[:-1] + ', "x": ' + before * depth + '{"audioBytes": "SECRET"}' + after * depth + "}"
        assert is_told(value.encode(), "raw media")


def test_headers_that_only_look_like_ours() -> None:
    """A record that arrives with headers of dead letters is not taken for one that was withheld, or for a marker."""
    came: Headers = [("a3cp-dlq-withheld", b"raw media"), ("a3cp-dlq-retried", b"a3cp.dlq[0]@0"), ("trace", b"7")]
    kept, headers = dead(b"{}", came)
    assert kept == b"{}"
    assert headers["trace"] == b"7"
    assert not {"a3cp-dlq-withheld", "a3cp-dlq-retried"} & set(headers)
