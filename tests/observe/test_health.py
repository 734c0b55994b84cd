"""Whether a worker lives and is ready, asked as an orchestrator asks it."""

import json
import socket
import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest
from prometheus_client import CollectorRegistry

from processor.errors import UsageError
from processor.observe.health import Health, HealthServer
from processor.observe.metrics import Metrics
from tests.patience import PATIENCE_S


class Stopwatch:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def watch() -> Stopwatch:
    return Stopwatch()


@pytest.fixture
def health(watch: Stopwatch) -> Health:
    return Health(30, watch)


@pytest.fixture
def server(health: Health) -> Iterator[HealthServer]:
    registry = CollectorRegistry()
    Metrics(registry)
    with HealthServer("127.0.0.1", 0, health, registry) as serving:
        yield serving


def get(server: HealthServer, path: str, method: str = "GET") -> tuple[int, str]:
    request = urllib.request.Request(f"http://127.0.0.1:{server.port}{path}", method=method)
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def test_a_worker_lives_as_long_as_its_loop_turns(health: Health, watch: Stopwatch) -> None:
    """Exactly the limit is still alive; longer is not, and the reason has the figures; a beat brings it back."""
    watch.now_s += 30
    assert health.not_alive() == []
    watch.now_s += 1
    assert health.not_alive() == ["the loop has not turned for 31 s, at most 30 s are allowed"]
    health.beat()
    assert health.not_alive() == []


def test_ready_means_assigned_restored_and_connected(health: Health) -> None:
    """Each of the three is a reason of its own not to be ready; none of them asks for a restart."""
    assert health.not_ready() == ["waiting to be assigned partitions"]
    health.assigned([2, 0])
    assert health.not_ready() == ["restoring partitions 0, 2"]
    health.restored(0)
    assert health.not_ready() == ["restoring partitions 2"]
    health.revoked([2])
    assert health.not_ready() == []
    health.away("no broker answers")
    assert health.not_ready() == ["no broker answers"]
    assert health.not_alive() == []
    health.away(None)
    assert health.not_ready() == []


def test_a_worker_without_partitions_is_a_ready_spare(health: Health) -> None:
    """With more workers than partitions some get none; they are ready to take over."""
    health.assigned([])
    assert health.not_ready() == []


def test_a_stuck_partition_fails_liveness_unless_the_broker_is_away(health: Health) -> None:
    """What does not move asks for a restart, but not while nothing can move."""
    health.assigned([])
    health.stuck(1, "a3cp.raw[1]@7", "40 offsets behind for 61 s")
    assert health.not_alive() == ["stuck at a3cp.raw[1]@7: 40 offsets behind for 61 s"]
    health.away("no broker answers")
    assert health.not_alive() == []
    health.away(None)
    health.unstuck(1)
    assert health.not_alive() == []
    health.stuck(1, "a3cp.raw[1]@7", "again")
    health.revoked([1])
    assert health.not_alive() == []


def test_answers(server: HealthServer, health: Health, watch: Stopwatch) -> None:
    """200 and 503 as orchestrators want it, with the reasons for people; metrics in Prometheus' form."""
    assert get(server, "/livez") == (200, '{"status": "ok", "reasons": []}\n')
    status, body = get(server, "/readyz")
    assert (status, json.loads(body)["reasons"]) == (503, ["waiting to be assigned partitions"])
    health.assigned([])
    assert get(server, "/readyz?verbose")[0] == 200
    health.warn(1, "lost_input", "look at it")
    assert get(server, "/readyz") == (200, '{"status": "ok", "reasons": [], "warnings": ["look at it"]}\n')
    health.revoked([1])
    assert get(server, "/readyz") == (200, '{"status": "ok", "reasons": []}\n')
    assert get(server, "/readyz", "HEAD") == (200, "")
    watch.now_s += 31
    assert get(server, "/livez")[0] == 503
    assert "a3cp_build_info{" in get(server, "/metrics")[1]
    assert get(server, "/else")[0] == 404
    assert get(server, "/livez", "POST")[0] == 501


def test_a_taken_port_is_named(server: HealthServer, health: Health) -> None:
    """The error says which port and what to set, not errno."""
    with pytest.raises(UsageError, match=rf"127.0.0.1:{server.port}: .*take another port"):
        HealthServer("127.0.0.1", server.port, health, CollectorRegistry())


def test_a_client_that_hangs_does_not_hold_up_the_others_or_the_stop(health: Health) -> None:
    """One open connection that says nothing: others are answered, and closing returns at once."""
    server = HealthServer("127.0.0.1", 0, health, CollectorRegistry())
    server.start()
    with socket.create_connection(("127.0.0.1", server.port)):
        assert get(server, "/livez")[0] == 200
        server.close()
