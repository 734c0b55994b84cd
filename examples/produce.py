"""A producer that needs nothing of ours but a schema: sends two messages of a user, in JSON and in Avro.

    python examples/produce.py a3cp.raw 127.0.0.1:9092

It needs the packages confluent-kafka and fastavro, and the folder schemas/ beside this one.
"""

import io
import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

from confluent_kafka import Producer
from fastavro import schemaless_writer
from fastavro.schema import load_schema

SCHEMA = load_schema(Path(__file__).parents[1] / "schemas" / "avro" / "A3CPMessage.avsc")
HEADER = bytes.fromhex("c301" + "790e4b99458ba986")  # The schema's fingerprint: docs/schemas.md.


def message() -> dict:
    """Return the fields of a message of now."""
    fields = {"schema_version": "1.0.1", "record_id": str(uuid4()), "user_id": "elias01", "source": "an_example"}
    return {**fields, "timestamp": datetime.now(UTC)}


def in_json(fields: dict) -> bytes:
    """Return `fields` in JSON; the time as ISO 8601 text, with its offset."""
    return json.dumps(fields, default=datetime.isoformat).encode()


def in_avro(fields: dict) -> bytes:
    """Return `fields` in Avro's single-object encoding."""
    value = io.BytesIO()
    value.write(HEADER)
    schemaless_writer(value, SCHEMA, fields)
    return value.getvalue()


topic, servers = sys.argv[1:]
producer = Producer(
    {
        "bootstrap.servers": servers,
        "partitioner": "murmur2",  # Java's; librdkafka's own default sends users elsewhere.
        "enable.idempotence": True,  # No message is lost, doubled or out of order when the client tries again.
    }
)
for encode in (in_json, in_avro):
    fields = message()
    producer.produce(topic, key=fields["user_id"], value=encode(fields))
producer.flush()
