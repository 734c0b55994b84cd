"""`a3cp serve` as a process, where no Kafka is: it starts, lives, says why, and stops."""

import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path

import httpx
import pytest
import uvicorn

from processor.faces.app import make_app
from processor.faces.auth.tokens import add_token
from processor.processes.service import listening
from processor.processes.service.listening import is_loopback
from processor.profiles import Pseudonyms, open_profiles
from processor.profiles.shares import KEPT_MS, Share
from tests.cli.running import a3cp
from tests.processes.services import Service, environ_of

NOWHERE = {
    "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1",
    "A3CP_SITE_KEY": "the key of this site",
    "A3CP_PROFILE_STORE_URL": "sqlite:///profiles.db",
}


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with Service(tmp_path_factory.mktemp("serve"), NOWHERE) as running:
        yield running


def test_without_kafka_it_lives_and_says_why(service: Service) -> None:
    """No restart loop: /livez is green, /readyz tells the reason, all else says `starting` and when to come again."""
    assert service.http.get("/livez").status_code == 200
    service.wait_for(lambda: "127.0.0.1:1" in service.http.get("/readyz").text)
    answer = service.http.get("/readyz")
    assert (answer.status_code, answer.json()["status"]) == (503, "failing")
    assert all("; " in reason for reason in answer.json()["reasons"]), "with what to do"
    answer = service.http.get("/v1/sessions/sess_1")
    assert answer.status_code in {404, 503}
    assert service.http.get("/metrics").status_code == 200
    warnings = [line for line in service.log() if line["level"] == "warning"]
    assert len(warnings) == 1, "a trouble is told once, and that a trial keeps profiles in clear is no trouble"


def test_links_that_ended_long_ago_are_removed(tmp_path: Path) -> None:
    """At the start already, without Kafka; one that ended lately stays in lists, and one that can be read stays."""
    address, now_ms = f"sqlite:///{tmp_path / 'profiles.db'}", time.time_ns() // 1_000_000
    shares = open_profiles(address, Pseudonyms(b"site key"), None).shares
    share = Share("", "s", "ann", "p", None, None, [], 0, expires_ms=now_ms + 1_000_000)
    shares.add(share._replace(share_id="open"))
    shares.add(share._replace(share_id="lately", expires_ms=now_ms - KEPT_MS + 1_000_000))
    shares.add(share._replace(share_id="expired", expires_ms=now_ms - KEPT_MS - 1))
    shares.add(share._replace(share_id="revoked", revoked_ms=now_ms - KEPT_MS - 1))
    environ = {**NOWHERE, "A3CP_PROFILE_STORE_URL": address, "A3CP_SITE_KEY": "k" * 32}
    with Service(tmp_path, environ) as running:
        running.wait_for(lambda: len(shares.of_session("s")) == 2)
        assert {each.share_id for each in shares.of_session("s")} == {"open", "lately"}
        running.wait_for(lambda: [line["operation"] for line in running.log()].count("tidy") == 1)


def test_a_head_without_end_is_cut_off(service: Service) -> None:
    """A head of more than 64 KiB ends the connection; so nobody fills the memory with headers."""
    with socket.create_connection(("127.0.0.1", httpx.URL(service.url).port or 0)) as connection:
        connection.sendall(b"GET /livez HTTP/1.1\r\n")
        with pytest.raises(OSError, match=r"reset|pipe"):
            connection.sendall(b"x: y\r\n" * 10_000_000)
    assert service.http.get("/livez").status_code == 200


def test_who_sends_nothing_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection without a whole head is closed after a while, at its beginning and after an answer."""
    monkeypatch.setattr(listening, "HEAD_S", 0.2)
    with listening.bind("127.0.0.1", 0) as bound:
        server = uvicorn.Server(uvicorn.Config(make_app(None), http=listening.BoundedHead, log_config=None))
        thread = threading.Thread(target=server.run, args=([bound],))
        thread.start()
        address = bound.getsockname()
        try:
            for beginning in (b"", b"GET /livez HTTP/1.1\r\nHost: loc"):
                with socket.create_connection(address, timeout=30) as connection:
                    connection.sendall(beginning)
                    assert connection.recv(1) == b""
            with closing(HTTPConnection(address[0], address[1], timeout=30)) as client:
                client.request("GET", "/livez")
                answer = client.getresponse()
                assert (answer.status, answer.read()[:1]) == (200, b"{")
                client.sock.sendall(b"GET /livez HT")
                assert client.sock.recv(1) == b""
        finally:
            server.should_exit = True
            thread.join()


def test_a_taken_port_is_one_line(service: Service, tmp_path: Path) -> None:
    """Exit code 2, and what to do."""
    port = str(httpx.URL(service.url).port)
    done = a3cp("serve", "--port", port, environ=environ_of({}), folder=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: cannot listen on 127.0.0.1:{port}: ")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_stops_when_told(number: int, tmp_path: Path) -> None:
    """Exit code 0, at once when nothing is under way."""
    with Service(tmp_path, NOWHERE) as running:
        assert running.http.get("/livez", timeout=60).status_code == 200
        assert running.stop(number) == 0
        assert running.log()[-1]["message"] == "stopped"


def test_elsewhere_it_wants_doors(tmp_path: Path) -> None:
    """It does not start where strangers reach it and nobody asks who they are; with tokens it does."""
    environ = environ_of({**NOWHERE, "A3CP_SERVE_HOST": "0.0.0.0"})
    done = a3cp("serve", "--port", "0", environ=environ, folder=tmp_path)
    assert done.returncode == 2
    assert "A3CP_SERVE_TOKENS_FILE" in done.stderr
    file = tmp_path / "tokens.json"
    token = add_token(file, "ops", "operator", frozenset("*"))
    with Service(tmp_path, {**NOWHERE, "A3CP_SERVE_HOST": "0.0.0.0", "A3CP_SERVE_TOKENS_FILE": str(file)}) as running:
        assert running.http.get("/metrics").status_code == 401
        headers = {"Authorization": f"Bearer {token}"}
        assert running.http.get("/metrics", headers=headers).status_code == 200
        later = add_token(file, "later", "reviewer", frozenset("*"))
        headers = {"Authorization": f"Bearer {later}"}
        running.wait_for(lambda: running.http.get("/metrics", headers=headers).status_code == 200)
        file.write_text("[]")
        running.wait_for(lambda: running.http.get("/metrics", headers=headers).status_code == 401)
        assert token not in str(running.log())
        assert [
            line["message"] for line in running.log() if "encrypted" in line["message"] and line["level"] == "warning"
        ]


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost"])
def test_loopback(host: str) -> None:
    """These are reached from this machine only."""
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.0.1", "example.org", ""])
def test_not_loopback(host: str) -> None:
    """These are reached from elsewhere, or may be."""
    assert not is_loopback(host)
