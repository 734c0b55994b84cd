"""A consumer in a few lines: prints a topic of the session manager, and goes on until Ctrl-C.

    .venv/bin/python examples/consume.py a3cp-demo.sessions [HOST:PORT]

Without an address it takes KAFKA_BOOTSTRAP_SERVERS, else the embedded Kafka. Values in JSON and Avro are shown alike.
"""

import os
import sys

from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition

from processor.broker import bootstrap_of_running
from processor.codec import SHIPPED, Codec, Schemas
from processor.settings.documents import schema_text

topic = sys.argv[1]
servers = sys.argv[2] if len(sys.argv) > 2 else os.environ.get("KAFKA_BOOTSTRAP_SERVERS") or bootstrap_of_running()
if not servers:
    sys.exit("no Kafka is named and the embedded one does not run; a3cp broker up starts it")
codec = Codec(Schemas({name: schema_text(name) for name in SHIPPED}))
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
try:
    while True:
        record = consumer.poll(1.0)
        if record is None or record.error():
            continue
        if topic.endswith(".tagged"):
            view = codec.decode_tagged(record.value())
            print(view.session_id, view.session_seq, view.user_id, view.source, *view.flags, flush=True)
        elif topic.endswith(".sessions"):
            event = codec.decode_event(record.value())
            print(event.session_id, event.user_id, event.kind, event.reason or "", flush=True)
        else:
            print(record.key(), record.value(), flush=True)
except (KeyboardInterrupt, BrokenPipeError):
    consumer.close()
