"""The Kafka of `a3cp up`, when it is gone."""

import socket
from pathlib import Path

from processor.processes.up import Kafka


def test_a_port_that_is_not_free_yet_does_not_end_everything(tmp_path: Path) -> None:
    """Of a killed Kafka some threads may still hold it. That is said, and tried again."""
    said: list[str] = []
    with socket.create_server(("127.0.0.1", 0)) as holding:
        port = holding.getsockname()[1]
        kafka = Kafka(f"127.0.0.1:{port}", tmp_path, said.append)
        kafka._is_embedded = True
        kafka.look()
    assert said == ["Kafka is gone; starting it again", f"port {port} is taken by another process; trying again"]
