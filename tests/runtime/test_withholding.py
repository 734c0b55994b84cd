"""What must not be kept leaves the dead letters of every encoding; and headers that only look like ours."""

import json
from hashlib import sha256
from typing import Any

import pytest

from processor.codec.wire import confluent_header
from processor.core.model import Rules
from processor.ports import Headers
from processor.runtime.deadletters import WITHHELD
from processor.runtime.task import Task
from processor.testing import MemoryRecord
from tests.broker.fleet import BASE_MS
from tests.runtime.stage import NAMES
from tests.strategies import avro_body, make_codec

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


def dead(value: bytes, headers: Headers | None = None) -> tuple[bytes | None, dict[str, bytes]]:
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
    assert headers[WITHHELD] == why
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
    assert WITHHELD not in headers


def test_headers_that_only_look_like_ours() -> None:
    """A record that arrives with headers of dead letters is not taken for one that was withheld, or for a marker."""
    came = [("a3cp-dlq-withheld", b"raw media"), ("a3cp-dlq-retried", b"a3cp.dlq[0]@0"), ("trace", b"7")]
    kept, headers = dead(b"{}", came)
    assert kept == b"{}"
    assert headers["trace"] == b"7"
    assert not {"a3cp-dlq-withheld", "a3cp-dlq-retried"} & set(headers)
