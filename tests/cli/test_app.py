"""The command line's frame: exit codes, one line for a mistake, no traceback."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from processor.store import open_store

CANARY = "c4n4ry"


def a3cp(*arguments: str, cwd: Path | None = None, **environment: str) -> subprocess.CompletedProcess[str]:
    program = "from processor.cli.app import main; main()"
    kept = {name: value for name, value in os.environ.items() if name != "KAFKA_BOOTSTRAP_SERVERS"}
    command = [sys.executable, "-c", program, *arguments]
    environ = {**kept, "PYTHONPATH": str(Path(__file__).parents[2]), **environment}
    return subprocess.run(command, cwd=cwd, env=environ, capture_output=True, text=True, timeout=60, check=False)


def test_wrong_usage_is_2(tmp_path: Path) -> None:
    """An unknown command and a missing Kafka are the caller's to mend: code 2, one line, the remedy in it."""
    assert a3cp("no-such-command").returncode == 2
    result = a3cp("topics", "plan", A3CP_BROKER_DIR=str(tmp_path))
    assert result.returncode == 2
    (line,) = result.stderr.splitlines()
    assert line.startswith("error: no Kafka is named and the embedded one does not run; start it with a3cp broker up")


def test_failed_is_1(tmp_path: Path) -> None:
    """A Kafka that does not answer is a failure: code 1, one line, no traceback."""
    result = a3cp("topics", "plan", KAFKA_BOOTSTRAP_SERVERS="127.0.0.1:1")
    assert result.returncode == 1
    assert result.stderr.startswith("error: no Kafka broker answers at 127.0.0.1:1; ")
    assert "Traceback" not in result.stderr


def test_topics_heed_the_settings(tmp_path: Path) -> None:
    """How to get into a Kafka stands in a3cp.toml, for this command as for the others."""
    (tmp_path / "a3cp.toml").write_text('[kafka]\n"bootstrap.servers" = "127.0.0.1:1"\n"security.protocol" = "none"\n')
    result = a3cp("topics", "plan", cwd=tmp_path)
    assert result.returncode == 2
    note, line = result.stderr.splitlines()
    assert note == f"note: settings from {tmp_path / 'a3cp.toml'}: kafka.bootstrap.servers, kafka.security.protocol"
    assert line.startswith(
        'error: the Kafka client refuses a property: Invalid value "none" for configuration property'
    )


@pytest.mark.parametrize(
    "address",
    [
        "ftp://u:{}@127.0.0.1:1/x", "s3://key:{}@bucket/x", "nosuch://u:{}@h/x", "dask::ftp://u:{}@127.0.0.1:1/x",
        "abfs://c@acct/x?sas={}", "ftp://u:pa/{}@127.0.0.1:1/x",
    ],
)  # fmt: skip
def test_no_password_of_a_target_is_printed(tmp_path: Path, address: str) -> None:
    """Whatever cannot be reached is named without what lets one in."""
    for command in (["verify"], ["sessions", "timeline"], ["retention", "--older-than", "30d", "--to"]):
        result = a3cp(*command, address.format(CANARY), cwd=tmp_path)
        assert result.returncode in (1, 2)
        assert CANARY not in result.stdout + result.stderr


@pytest.mark.parametrize(
    "address",
    [
        "postgresql://u:{}@127.0.0.1:1/db", "postgresql://127.0.0.1:1/db?password={}&user=u", "mysql://u:{}@h/db",
        "postgresql://127.0.0.1:1/db?passwrd={}&user=u", "postgresql://u:{}@[::1/db", "postgresql://u:{}/x@h/db",
    ],
)  # fmt: skip
def test_no_password_of_a_store_is_printed(tmp_path: Path, address: str) -> None:
    """In a query as in the login, and in an address that is wrong."""
    result = a3cp("sessions", "list", cwd=tmp_path, A3CP_STORE_URL=address.format(CANARY))
    assert result.returncode in (1, 2)
    assert CANARY not in result.stdout + result.stderr
    assert result.stderr.startswith("error: ")


def test_fine_is_0_and_the_clients_are_not_loaded_for_help() -> None:
    """Help and version come without the Kafka client, which would make them slow."""
    assert a3cp("--version").returncode == 0
    program = "import sys, processor.cli.app; sys.exit('confluent_kafka' in sys.modules or 'jgo' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], timeout=60, check=False).returncode == 0


def test_json_says_whether_the_broker_runs(tmp_path: Path) -> None:
    """For scripts: a JSON object and an exit code that agree."""
    result = a3cp("broker", "status", "--json", "--data-dir", str(tmp_path))
    assert (json.loads(result.stdout), result.returncode) == ({"running": False}, 1)


def test_mistakes_in_arguments_are_told(tmp_path: Path) -> None:
    """What is no UTF-8, no port or no page: one line or typer's words, code 2, no traceback."""
    store = f"sqlite:///{tmp_path / 'store.db'}"
    open_store(store).close()
    for arguments in (
        ("--store", store, "--user", "\udcff"),
        ("--store", store, "--page", "9" * 20),
        ("--store", "postgresql://host:port/db"),
    ):
        result = a3cp("sessions", "list", *arguments)
        assert result.returncode == 2, result.stderr
        assert "rror: " in result.stderr
        assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    "words",
    ["sessions timeline {}", "replay {} --to t", "sessions list --store sqlite:///{}", "demo --out {}", "verify {}"],
)
def test_a_name_that_no_file_can_have_is_one_line(words: str, tmp_path: Path) -> None:
    result = a3cp(*words.format("a" * 300).split(), cwd=tmp_path)
    assert result.returncode in (1, 2), result.stderr
    assert len(result.stderr.splitlines()) == 1, result.stderr
    assert result.stderr.startswith("error: ")


def test_a_broker_that_cannot_start_is_one_line(tmp_path: Path) -> None:
    """Without the progress bar, which has nothing to show."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        result = a3cp("broker", "up", "--data-dir", str(tmp_path), "--port", str(port))
    assert result.returncode == 2
    (line,) = result.stderr.splitlines()
    assert line.startswith(f"error: port {port} is taken by another process")


def test_what_is_for_bundles_wants_bundles(tmp_path: Path) -> None:
    """Which bundles, of what: without --to none are written, so that the choice would do nothing."""
    for option in ("--format", "--user", "--session", "--since", "--until"):
        result = a3cp("export", option, "2027-01-15", "--bootstrap", "127.0.0.1:1", cwd=tmp_path)
        assert result.returncode == 2, result.stderr
        assert result.stderr.startswith(f"error: {option} is for bundles; add --to, or leave it out")
