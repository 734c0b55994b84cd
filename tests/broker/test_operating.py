"""The operators' corner on a real Kafka: what waits, what was set aside, and that the shown command puts it back."""

import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer

from tests.broker.fleet import BASE_MS, message
from tests.cli.running import PROGRAM
from tests.processes.services import Service, environ_of, processor

pytestmark = pytest.mark.broker


@pytest.mark.long
def test_an_operator_sees_what_waits_and_puts_back_what_was_set_aside(topics: str, kafka: str, tmp_path: Path) -> None:
    """With a worker and without, with a store that is behind, and by the very command that is shown."""
    environ = {
        "KAFKA_BOOTSTRAP_SERVERS": kafka, "A3CP_TOPIC_PREFIX": topics, "A3CP_GROUP_ID": topics,
        "A3CP_STORE_URL": f"sqlite:///{tmp_path / 'a3cp.db'}",
    }  # fmt: skip
    producer = Producer({"bootstrap.servers": kafka})

    def send(*values: bytes) -> None:
        for value in values:
            producer.produce(f"{topics}.raw", value, b"ann", 0)
        producer.flush()

    def a3cp(words: list[str]) -> None:
        subprocess.run([*PROGRAM, *words], env=environ_of(environ), cwd=tmp_path, check=True, capture_output=True)

    def group(told: dict[str, Any]) -> dict[str, Any]:
        letters = told["dead_letters"]
        return letters["groups"][0] if letters and letters["groups"] else {}

    a3cp(["export"])
    send(message("ann", BASE_MS), b'{"secret":')
    with Service(tmp_path, environ) as service:
        service.wait_until_ready()

        def until(holds: Any) -> dict[str, Any]:
            told: dict[str, Any] = {}

            def looked() -> bool:
                nonlocal told
                told = service.http.get("/v1/operations", timeout=60).raise_for_status().json()
                return bool(holds(told))

            service.wait_for(looked)
            assert "secret" not in str(told)
            return told

        with processor(environ, tmp_path):
            told = until(lambda told: group(told) and told["processor"]["records"] == 0 and told["exporter"]["records"])
            assert told["processor"]["workers"] == 1
            assert told["processor"]["troubles"] == []
            assert told["service"] == {"records": 0, "seconds": 0}
            assert told["exporter"]["seconds"] > 0
            assert told["unknown"] == {}
            assert (group(told)["status"], group(told)["stage"], group(told)["count"]) == ("waiting", "decode", 1)
            a3cp(shlex.split(group(told)["command"])[1:])
            told = until(lambda told: group(told)["status"] == "failed again")
            assert told["dead_letters"]["count"] == 1
            a3cp(["export"])
            until(lambda told: told["exporter"]["records"] == 0)
        send(*(message("ann", BASE_MS + number, number=number) for number in range(1, 4)))
        told = until(lambda told: told["processor"]["records"] == 3 and told["processor"]["workers"] == 0)
        assert told["processor"]["seconds"] > 0
        assert told["processor"]["partitions"][0]["partition"] == 0
        assert "no worker runs" in told["processor"]["troubles"][0]
