"""A site with a Kafka whose topics are written as the processor writes them, and the command that exports them."""

import json
import os
import subprocess
from contextlib import closing
from pathlib import Path
from typing import Any

from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient

from processor.sessions.projection.feed import OutputRecord
from processor.store import open_store
from tests.broker.fleet import SESSION_TIMEOUT_MS
from tests.cli.running import PROGRAM, a3cp


class Site:
    """A Kafka's topics, written as the processor writes them, and the command that exports them."""

    def __init__(self, kafka: str, topics: str, folder: Path) -> None:
        self._kafka = kafka
        self._topics = topics
        self._folder = folder
        own = {
            "KAFKA_BOOTSTRAP_SERVERS": kafka,
            "A3CP_TOPIC_PREFIX": topics,
            "A3CP_GROUP_ID": topics,
            "A3CP_SESSION_TIMEOUT_MS": str(SESSION_TIMEOUT_MS),  # For so long a killed exporter keeps its partitions.
        }
        self.environ = {**os.environ, **own}

    def produce(self, records: list[OutputRecord], *, abort: bool = False, size: int = 200) -> None:
        """Write `records` in transactions; with `abort`, each of them once in vain before."""
        conf = {"bootstrap.servers": self._kafka, "transactional.id": self._topics, "linger.ms": 5}
        producer = Producer(conf)
        producer.init_transactions(60)
        for start in range(0, len(records), size):
            for commit in (False, True) if abort else (True,):
                producer.begin_transaction()
                for record in records[start : start + size]:
                    producer.produce(f"{self._topics}.{record.topic}", record.value, b"key", record.partition)
                if commit:
                    producer.commit_transaction(60)
                else:
                    producer.flush(60)
                    producer.abort_transaction(60)

    def run(self, *arguments: str) -> Any:
        """Run the command and return the object that it prints."""
        done = a3cp(*arguments, "--json", environ=self.environ)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def followers(self, address: str) -> int:
        """Return how many members the group of those has that export into a store."""
        with closing(open_store(address, must_exist=True)) as store:
            group_id = f"{self._topics}-export-{store.identity}"
        admin = AdminClient({"bootstrap.servers": self._kafka})  # It has to live until it is answered.
        return len(admin.describe_consumer_groups([group_id])[group_id].result(60).members)

    def follow(self, address: str) -> "subprocess.Popen[bytes]":
        """Start an exporter that follows."""
        with (self._folder / "follow.log").open("ab") as log:
            command = [*PROGRAM, "export", "--follow", "--store", address]
            return subprocess.Popen(command, env=self.environ, stdout=log, stderr=log)
