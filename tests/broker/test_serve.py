"""`a3cp serve` beside a Kafka that comes, goes and comes back: it heals by itself, and says what it cannot do."""

from pathlib import Path
from typing import Any

import httpx
import pytest

from processor import broker
from processor.broker.probe import free_ports
from processor.kafka.topics.admin import ensure_topics
from tests.processes.services import Service, processor

pytestmark = pytest.mark.broker


def boundary(user_id: str, **more: Any) -> dict[str, Any]:
    return {
        "schema_version": "1.0.1", "record_id": "3f2504e0-4f89-41d3-9a0c-0305e82c3301", "user_id": user_id,
        "timestamp": "2026-01-01T00:00:00.000Z", "performer_id": "system", **more,
    }  # fmt: skip


def start(service: Service, user_id: str) -> httpx.Response:
    return service.http.post("/session_manager/sessions.start", json=boundary(user_id), timeout=60)


def status(service: Service, user_id: str, session_id: str) -> httpx.Response:
    asked = {"user_id": user_id, "session_id": session_id}
    return service.http.post("/session_manager/sessions.validate", json=asked, timeout=60)


@pytest.mark.long
def test_kafka_comes_and_goes(tmp_path: Path) -> None:
    """One service, never restarted: before there is a Kafka, with it, without it, with it again."""
    (port,) = free_ports(1)
    environ = {"KAFKA_BOOTSTRAP_SERVERS": f"127.0.0.1:{port}"}
    with Service(tmp_path, environ) as service:
        service.wait_for(lambda: f"127.0.0.1:{port}" in service.http.get("/readyz").text)
        answer = start(service, "elias01")
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
        assert "starting" in answer.json()["detail"]
        try:
            broker.up(port, tmp_path / "kafka")
            service.wait_for(lambda: "topic" in service.http.get("/readyz").text)
            ensure_topics({"bootstrap.servers": f"127.0.0.1:{port}"})
            with processor(environ, tmp_path):
                service.wait_until_ready()
                answer = start(service, "elias01")
                assert answer.status_code == 200, answer.text
                session_id = answer.json()["session_id"]
                assert status(service, "elias01", session_id).json() == {"status": "active"}

                broker.down(tmp_path / "kafka")
                service.wait_for(lambda: service.http.get("/readyz").status_code == 503)
                assert service.http.get("/livez").status_code == 200
                assert status(service, "elias01", session_id).json() == {"status": "active"}, "it is known"
                assert status(service, "elias01", "sess_0123456789abcdef").status_code == 503, "nobody knows"
                answer = start(service, "mara")
                assert answer.status_code == 503
                assert int(answer.headers["retry-after"]) >= 1

                broker.up(port, tmp_path / "kafka")
                service.wait_until_ready()
                service.wait_for(lambda: start(service, "mara").status_code == 200)
                assert start(service, "elias01").json()["session_id"] == session_id
        finally:
            broker.down(tmp_path / "kafka")
        with service.http.stream("GET", "/v1/live", timeout=60) as watched:
            assert watched.status_code == 200
            assert service.stop() == 0, "who watches does not hold it up"
    assert [line for line in service.log() if line["level"] == "error"] == []
    troubles = [line["message"] for line in service.log() if line["level"] == "warning"]
    assert len(troubles) < 20, "a trouble is told once, not twice a second"
