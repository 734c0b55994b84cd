"""The messages that every system gets: the same content for all, in our encoding and in the peers'.

The content is that of the project's benchmark specification: a gesture classifier's output. Ours is framed as Avro
single-object encoding (10 bytes before the record), the peers' as the Confluent wire format (5 bytes); our record has
one more field (`session_id`, null: 1 byte).
"""

import io
import json
import random
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import fastavro
from fastavro.schema import fingerprint, to_parsing_canonical_form

from processor.settings.documents import schema_text

PEER_SCHEMAS: Final = Path(__file__).parent / "peers" / "kstreams"
START_MS: Final = 1_750_000_000_000  # 2025-06-15: in the past, so that no event time is ahead of the broker's clock
PEER_RAW_HEADER: Final = b"\x00\x00\x00\x00\x01"
OURS_ID_AT: Final = 17  # where the record id stands in a value: header, length, "1.0.1", length
PEERS_ID_AT: Final = 12
ID_BYTES: Final = 36

_EXTRA: Final = {
    "classifier_output": {"go_outside": 0.84, "hungry": 0.12, "unknown": 0.04},
    "context_location": "kitchen",
}
_EXTRA_TEXT: Final = json.dumps(_EXTRA)


def _schema(text: str) -> Any:
    return fastavro.parse_schema(json.loads(text))


OURS_RAW: Final = _schema(schema_text("A3CPMessage"))
OURS_TAGGED: Final = _schema(schema_text("TaggedA3CPMessage"))
OURS_EVENT: Final = _schema(schema_text("SessionEvent"))
PEER_RAW, PEER_TAGGED, PEER_EVENT = (
    _schema((PEER_SCHEMAS / name).read_text()) for name in ("raw.avsc", "tagged.avsc", "event.avsc")
)
OURS_RAW_HEADER: Final = b"\xc3\x01" + bytes.fromhex(
    fingerprint(to_parsing_canonical_form(json.loads(schema_text("A3CPMessage"))), "CRC-64-AVRO")
)


def message(rng: random.Random, user_id: str, timestamp_ms: int) -> dict[str, Any]:
    """Return one message as a record of either schema."""
    return {
        "schema_version": "1.0.1",
        "record_id": str(uuid.UUID(int=rng.getrandbits(128), version=4)),
        "user_id": user_id,
        "timestamp": timestamp_ms,
        "performer_id": "carer01",
        "modality": "gesture",
        "source": "gesture_classifier",
        "capture_id": str(uuid.UUID(int=rng.getrandbits(128), version=4)),
        "extra": _EXTRA_TEXT,
    }


def messages(count: int, users: int, seed: int = 7) -> Iterator[dict[str, Any]]:
    """Return `count` messages of random users; of a user's pauses about 1 in 50 exceeds the session gap."""
    rng = random.Random(seed)
    last_ms: dict[str, int] = {}
    for _ in range(count):
        user_id = f"user{rng.randrange(users):07d}"
        step_ms = rng.randrange(31, 600) * 60_000 if rng.random() < 0.02 else rng.randrange(200, 20_000)
        last_ms[user_id] = last_ms.get(user_id, START_MS) + step_ms
        yield message(rng, user_id, last_ms[user_id])


def encode(header: bytes, schema: Any, record: dict[str, Any]) -> bytes:
    """Return `record` with `header` before it."""
    buffer = io.BytesIO()
    buffer.write(header)
    fastavro.schemaless_writer(buffer, schema, record)
    return buffer.getvalue()


def encode_ours(record: dict[str, Any]) -> bytes:
    """Return the record as our input has it: Avro single-object encoding."""
    return encode(OURS_RAW_HEADER, OURS_RAW, record)


def encode_peers(record: dict[str, Any]) -> bytes:
    """Return the record as the peers' input has it: Confluent framing, schema id 1."""
    return encode(PEER_RAW_HEADER, PEER_RAW, record)


def encode_json(record: dict[str, Any]) -> bytes:
    """Return the record as A3CP's modules speak today: flat JSON, time as text."""
    fields = {key: value for key, value in record.items() if key != "extra"}
    text = datetime.fromtimestamp(record["timestamp"] / 1000, UTC).isoformat(timespec="milliseconds")
    return json.dumps({**fields, "timestamp": text.replace("+00:00", "Z"), **_EXTRA}).encode()


def decode(schema: Any, value: bytes, header_bytes: int) -> dict[str, Any]:
    """Return the record after the header, logical times as plain numbers."""
    record = fastavro.schemaless_reader(io.BytesIO(value[header_bytes:]), schema, None)
    assert isinstance(record, dict)
    return record
