"""A consumer that needs nothing of ours but the schemas: prints `a3cp.tagged` or `a3cp.sessions`, until Ctrl-C.

    python examples/consume.py a3cp.sessions 127.0.0.1:9092

It needs the packages confluent-kafka and fastavro, and the folder schemas/ beside this one.
"""

import io
import json
import sys
from contextlib import suppress
from pathlib import Path

from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition
from fastavro import schemaless_reader
from fastavro.schema import fingerprint, load_schema, to_parsing_canonical_form

SCHEMAS = {}  # by the first ten bytes of a value
for file in (Path(__file__).parents[1] / "schemas" / "avro").glob("*.avsc"):
    schema = load_schema(file)
    SCHEMAS["c301" + fingerprint(to_parsing_canonical_form(schema), "CRC-64-AVRO")] = schema


def decode(value: bytes) -> dict:
    """Return the fields of a value in JSON, or in Avro with one of the schemas."""
    schema = SCHEMAS.get(value[:10].hex())
    return schemaless_reader(io.BytesIO(value[10:]), schema, None) if schema else json.loads(value)


topic, servers = sys.argv[1:]
consumer = Consumer(
    {
        "bootstrap.servers": servers,
        "group.id": "an-example",
        "isolation.level": "read_committed",  # Without it one sees what an aborted transaction wrote.
        "enable.auto.commit": False,
    }
)
partitions = consumer.list_topics(topic, timeout=10).topics[topic].partitions
consumer.assign([TopicPartition(topic, partition, OFFSET_BEGINNING) for partition in partitions])
with suppress(KeyboardInterrupt, BrokenPipeError):
    while True:
        record = consumer.poll(1.0)
        if record is not None and not record.error():
            print(json.dumps(decode(record.value()), default=str), flush=True)
consumer.close()
