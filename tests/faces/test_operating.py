"""The operators' corner over HTTP: what waits, what was set aside and how it is put back, the outbox, what runs."""

import shlex
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient
from typer.testing import CliRunner

from processor.cli.app import app
from processor.faces.auth.doors import Caller, Role
from processor.faces.replica.corner import Corner, retry_command
from processor.in_memory import TOPICS, MemoryDeployment
from processor.kafka.deadletters.letter import Group
from processor.settings.model import Settings
from tests.faces.reading import HOUR_MS
from tests.faces.stage import as_caller, created, http_of, problem


def standing(http: TestClient) -> dict[str, Any]:
    answer = http.get("/v1/operations")
    assert answer.status_code == 200, answer.text
    told: dict[str, Any] = answer.json()
    return told


def raw(deployment: MemoryDeployment, value: bytes, key: bytes = b"ann") -> None:
    deployment.producer.send(value, key)


def test_all_is_read(deployment: MemoryDeployment, http: TestClient) -> None:
    """Nothing waits, nothing is wrong, and what runs is told."""
    created(http)
    deployment.export()
    told = standing(http)
    assert told["service"] == {"records": 0, "seconds": 0}
    assert told["processor"] == {"records": 0, "seconds": 0, "workers": 1, "partitions": [], "troubles": []}
    assert told["exporter"] == {"records": 0, "seconds": 0, "following": 0}
    assert told["dead_letters"] == {"count": 0, "groups": []}
    assert (told["ready"], told["reasons"], told["warnings"], told["unknown"]) == (True, [], [], {})
    assert told["outbox"] is None
    assert told["versions"]["release"] == version("a3cp-session-manager")


def test_what_waits_is_told_in_records_and_seconds(deployment: MemoryDeployment, http: TestClient) -> None:
    """Of the processor, with the partition and what to do; of the exporter; of the service's own view."""
    created(http)
    deployment.processor_is_away = True
    raw(deployment, b"{}")
    raw(deployment, b"{}")
    deployment.clock.time_ms += 90_000
    told = standing(http)
    (behind,) = told["processor"].pop("partitions")
    assert (behind["records"], behind["slot"], behind["stands_still"]) == (2, None, True)
    trouble = "no worker runs; start one with a3cp process"
    assert told["processor"] == {"records": 2, "seconds": 90, "workers": 0, "troubles": [trouble]}
    assert told["service"]["records"] == 0
    assert told["exporter"]["records"] > 0
    assert told["exporter"]["seconds"] == 90


def test_dead_letters_are_told_with_the_command_that_puts_them_back(
    deployment: MemoryDeployment, http: TestClient
) -> None:
    """By reason, in words, and without a byte of what they hold."""
    for value in (b'{"secret":', b'{"secret":', b'{"timestamp": "2026-01-01T00:00:00Z", "who": "secret"}'):
        raw(deployment, value)
    letters = standing(http)["dead_letters"]
    assert letters["count"] == 3
    first, second = letters["groups"]
    assert (first["count"], first["status"], first["stage"]) == (2, "waiting", "decode")
    assert second["why"] == "user_id is missing"
    assert second["remedy"] == "send the user's pseudonym as user_id"
    assert second["command"] == "a3cp dlq retry --stage validate --why 'user_id is missing'"
    assert second["position"].startswith(f"{TOPICS.dlq}[")
    assert "secret" not in http.get("/v1/operations").text


@pytest.mark.parametrize(
    ("why", "wanted"),
    [
        ("user_id is missing; send it", "user_id is missing"),
        ('it\'s $(reboot) `x` "y" \\; do', 'it\'s $(reboot) `x` "y" \\'),
        ("first\nrm -rf ~", "first"),
        ("left \u202e right", "left "),
        ("\x1b[2J", None),
    ],
)
def test_the_command_is_safe_to_paste(why: str, wanted: str | None) -> None:
    """Whatever stands in the reason: it is one word of the shell, on one line, and a part of the reason."""
    command = retry_command(Group("waiting", "decode", "DecodeError", why), "a3cp")
    assert command is not None
    assert command.isprintable()
    words = shlex.split(command)
    assert words[:5] == ["a3cp", "dlq", "retry", "--stage", "decode"]
    assert words[5:] == ([] if wanted is None else ["--why", wanted])


def test_the_command_is_one_that_the_program_takes() -> None:
    """All of its options exist; of what came back after a retry too, and with another prefix."""
    command = retry_command(Group("failed again", "size", "", "too large"), "site-b")
    assert command is not None
    words = shlex.split(command)
    assert words[-3:] == ["--again", "--prefix", "site-b"]
    told = CliRunner().invoke(app, [*words[1:], "--help"]).output
    assert all(word in told for word in words if word.startswith("--"))
    assert retry_command(Group("withheld", "size", "", "too large"), "a3cp") is None


def test_the_outbox_is_told(tmp_path: Path) -> None:
    """How full it is, and since when the oldest record waits."""
    place = f"sqlite:///{tmp_path / 'a3cp.db'}"
    settings = Settings(outbox=str(tmp_path / "outbox.db"), store_url=place)
    with MemoryDeployment(tmp_path, settings=settings) as deployment, http_of(deployment) as http:
        empty = standing(http)["outbox"]
        assert (empty["records"], empty["oldest_since"], empty["kafka_is_away"]) == (0, None, False)
        deployment.broker_is_away = True
        assert http.post("/v1/sessions", json={"user_id": "ann"}).json()["backend"] == "fallback"
        told = standing(http)
        assert (told["outbox"]["records"], told["outbox"]["kafka_is_away"]) == (1, True)
        assert told["outbox"]["oldest_since"] is not None
        assert 0 < told["outbox"]["size_bytes"] < told["outbox"]["size_bytes_max"]
        assert set(told["unknown"]) == {"processor", "service", "exporter"}
        assert (told["processor"], told["service"], told["exporter"]) == (None, None, None)


@pytest.mark.parametrize("role", ["producer", "reviewer"])
def test_others_do_not_see_it(http: TestClient, role: Role) -> None:
    """Whatever users they see."""
    answer = as_caller(http, Caller("x", role, ("*",))).get("/v1/operations")
    assert problem(answer) == (403, "forbidden")


def test_kafka_is_asked_once_in_a_while(deployment: MemoryDeployment) -> None:
    """However often somebody looks; and not at all while it is known to be away."""
    asked: list[str] = []

    class Broker:
        def overview(self) -> Any:
            asked.append("overview")
            raise AssertionError("not asked")

    nothing: Any = dict
    corner = Corner(
        Broker(),  # type: ignore[arg-type]
        settings=deployment.settings, topics=TOPICS, store=None, outbox=None, positions=nothing, ends=nothing,
        away=lambda: ("no broker answers",), now_ms=deployment.clock.now_ms,
    )  # fmt: skip
    first = corner.now()
    assert first.unknown == dict.fromkeys(("processor", "service", "dead_letters"), "no broker answers")
    deployment.clock.time_ms += HOUR_MS
    assert corner.now() is first
    assert not asked
