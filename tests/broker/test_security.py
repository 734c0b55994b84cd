"""Each way into a guarded Kafka, by librdkafka's own properties alone: TLS, certificates, passwords, tokens."""

import os
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

import httpx
import pytest

from a3cp_sessions import Sessions
from processor.client import SessionClient
from processor.kafka.lettingin import why_kept_out
from tests.broker.fleet import Fleet, await_true
from tests.broker.rights import Right, give
from tests.broker.secured import PASSWORD, Authority, Secured, secured
from tests.broker.ups import up
from tests.cli.running import a3cp

pytestmark = [pytest.mark.broker, pytest.mark.long]

EXAMPLES = Path(__file__).parents[2] / "examples" / "messages.jsonl"


@pytest.fixture(scope="module")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    """A guarded Kafka, where `ann` may do everything. Who has no name (`TLS`) may too."""
    with secured(tmp_path_factory.mktemp("security")) as running:
        running.let_in("ann")
        kinds = {"topic": "", "group": "", "transactional_id": "", "cluster": "kafka-cluster"}
        give(running.admin(), [Right("ann", kind, name or "*", False, "ALL") for kind, name in kinds.items()])
        yield running


def variables(environ: Mapping[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in environ.items():
        monkeypatch.setenv(name, value)


@pytest.mark.parametrize("way", ["MTLS", "SCRAM", "OAUTH"])
def test_all_that_speaks_to_kafka_takes_the_same_properties(
    kafka: Secured, way: str, prefix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Processor, clients of both kinds, exporter and audit, each only told where and how by the environment."""
    variables({**kafka.environ(way, "ann"), "A3CP_TOPIC_PREFIX": prefix}, monkeypatch)
    monkeypatch.chdir(tmp_path)
    with Fleet(os.environ["KAFKA_BOOTSTRAP_SERVERS"], prefix, tmp_path) as fleet:
        assert fleet.a3cp("topics", "apply")[0] == 0
        fleet.start()
        with SessionClient(outbox=tmp_path / "outbox.db") as client:
            session = client.command("elias01", "start", timeout_s=60).session_id
            assert session is not None
            client.command("elias01", "end", timeout_s=60)
        with Sessions("kafka://", timeout_s=60) as sessions:
            assert sessions.validate("elias01", session) == "closed"
        code, said = fleet.a3cp("export")
        assert (code, "1 complete" in said) == (0, True)
        assert fleet.a3cp("audit")[0] == 0


def test_what_is_several_programs_at_once_over_tls(
    kafka: Secured, prefix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`a3cp up`, `a3cp demo` and `a3cp replay`: each part of them is told too."""
    environ = kafka.environ("TLS", "")
    servers = environ.pop("KAFKA_BOOTSTRAP_SERVERS")
    names = {"A3CP_TOPIC_PREFIX": prefix, "A3CP_GROUP_ID": prefix}
    with up(tmp_path, servers, "--data-dir", "data", **names, **environ) as running:
        begun = httpx.post(f"{running.url()}/v1/sessions", json={"user_id": "elias01"}, timeout=60)
        session = begun.json()["session_id"]
        hello = {"source": "ui", "text": "hello"}
        said = httpx.post(f"{running.url()}/v1/sessions/{session}/messages", json=hello, timeout=60)
        assert said.status_code == 202, said.text
        assert httpx.post(f"{running.url()}/v1/sessions/{session}/end", timeout=60).status_code == 200
        store = f"sqlite:///{tmp_path / 'data' / 'a3cp.db'}"
        variables({**environ, "KAFKA_BOOTSTRAP_SERVERS": servers, "A3CP_TOPIC_PREFIX": prefix}, monkeypatch)
        replay = ["replay", session, "--to", f"{prefix}.raw", "--speed", "max", "--store", store]
        running.wait_for(lambda: "sent 1" in a3cp(*replay, environ=os.environ).stdout)
    done = a3cp("demo", "--messages", str(EXAMPLES), environ=os.environ, folder=tmp_path)
    assert done.returncode == 0, done.stderr


def test_who_is_kept_out_is_told_why(kafka: Secured, tmp_path: Path) -> None:
    """The client's own reason, which it tells to nobody who only waits for an answer. A password is in none."""
    stranger = Authority(tmp_path / "stranger")
    tls, port = kafka.kafka("TLS", ""), kafka.ports["TLS"]
    mtls = {**kafka.kafka("MTLS", "ann"), "ssl.certificate.location": "", "ssl.key.location": ""}
    whys = {
        "another authority": ({**tls, "ssl.ca.location": str(stranger.file)}, "certificate verify failed"),
        "another host's certificate": ({**tls, "bootstrap.servers": f"localhost:{port}"}, "certificate verify failed"),
        "no certificate": ({name: value for name, value in mtls.items() if value}, "certificate required"),
        "a wrong password": (kafka.kafka("SCRAM", "ann", "wrong"), "invalid credentials"),
        "nobody of this name": (kafka.kafka("SCRAM", "nobody"), "invalid credentials"),
        "another mechanism": ({**kafka.kafka("SCRAM", "ann"), "sasl.mechanism": "PLAIN"}, "SCRAM-SHA-512"),
        "no token": (kafka.kafka("OAUTH", "ann", "wrong"), "Failed to acquire SASL OAUTHBEARER token"),
        "TLS where there is none": ({**tls, "bootstrap.servers": kafka.plain}, "PLAINTEXT broker listener"),
    }
    told: list[str | None] = []

    def ask(conf: Mapping[str, str]) -> str | None:
        told.append(why_kept_out({**conf, "log_level": "0"}))
        return told[-1]

    for title, (conf, wanted) in whys.items():
        await_true(title, partial(ask, conf))  # A slow broker may say nothing for the two seconds of one question.
        assert wanted in str(told[-1]), title
        assert PASSWORD not in str(told[-1])
    assert why_kept_out({**kafka.kafka("SCRAM", "ann"), "log_level": "0"}) is None
    assert why_kept_out({"bootstrap.servers": "127.0.0.1:1", "log_level": "0"}) is None


def test_a_command_that_is_kept_out_says_so_in_one_line(kafka: Secured) -> None:
    """Rather than that no broker answers."""
    done = a3cp("status", environ=kafka.environ("SCRAM", "ann", "wrong"))
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"error: the broker at 127.0.0.1:{kafka.ports['SCRAM']} lets nobody in with these [kafka]")
    assert "invalid credentials" in line
    assert "; check security.protocol, certificates and login (docs/security.md)" in line
    assert "wrong" not in line
