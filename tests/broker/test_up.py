"""`a3cp up` on a real Kafka: all parts run, one that dies comes back, all stop, and what was there is there again."""

from pathlib import Path

import httpx
import psutil
import pytest

from tests.broker.ups import WITHIN_S, up

pytestmark = [pytest.mark.broker, pytest.mark.long]


def started(url: str, user_id: str) -> str:
    body = {
        "schema_version": "1.0.1", "record_id": "3f2504e0-4f89-41d3-9a0c-0305e82c3301", "user_id": user_id,
        "timestamp": "2026-01-01T00:00:00.000Z", "performer_id": "system",
    }  # fmt: skip
    answer = httpx.post(f"{url}/session_manager/sessions.start", json=body, timeout=60)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["session_id"])


def test_everything_runs_and_stays(kafka: str, topics: str, tmp_path: Path) -> None:
    """It says where everything is; a killed processor comes back; what was begun is still open after a restart."""
    here = ("--data-dir", "data")
    names = {"A3CP_TOPIC_PREFIX": topics, "A3CP_GROUP_ID": topics}
    with up(tmp_path, kafka, *here, **names) as running:
        url = running.url()
        said = running.said().splitlines()
        assert [line.split()[0] for line in said[-6:]] == ["Kafka", "topics", "sessions", "log", "service", "try"]
        session = started(url, "elias01")
        running.wait_for(
            lambda: "warnings" not in httpx.get(f"{url}/readyz", timeout=WITHIN_S).json()
        )  # The store is found once it is there.
        running.child("process").kill()
        running.wait_for(lambda: "the processor was killed by signal 9; starting it again" in running.said())
        assert started(url, "elias01") == session
        assert running.child("export").is_running()
        gone = started(url, "maria")
        running.wait_for(
            lambda: httpx.post(f"{url}/v1/users/maria/erase", timeout=WITHIN_S).status_code == httpx.codes.OK
        )
        assert httpx.get(f"{url}/v1/sessions/{gone}", timeout=WITHIN_S).status_code == httpx.codes.GONE
        children = running.children
        assert running.stop() == 0
        assert not any(child.is_running() for child in children)
    with up(tmp_path, kafka, *here, **names) as running:
        assert started(running.url(), "elias01") == session
        children = [running.child("serve"), running.child("process")]
        running.process.kill()
        gone, alive = psutil.wait_procs(children, WITHIN_S)
        assert not alive, "none is left behind by kill -9"
        assert len(gone) == 2
