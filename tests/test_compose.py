"""docker-compose.yml and Dockerfile name what is there; tests/broker/test_compose.py runs them."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import CollectorRegistry

from processor.observe.health import Health, HealthServer
from processor.settings.model import Settings
from processor.settings.sources import load
from tests.commands import ALL_COMMANDS
from tests.conftest import KAFKA_IMAGE

ROOT = Path(__file__).parent.parent
PROJECT = yaml.safe_load((ROOT / "docker-compose.yml").read_text("utf-8"))
SERVICES: dict[str, Any] = PROJECT["services"]
PARTITIONS = yaml.safe_load((ROOT / "topics" / "a3cp.raw.yaml").read_text("utf-8"))["spec"]["partitions"]
OURS = [name for name, service in SERVICES.items() if "build" in service]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))


def settings_of(name: str, folder: Path) -> Settings:
    """Read the settings that a service is given, as `a3cp` does in its container."""
    environ = {variable: str(value) for variable, value in SERVICES[name]["environment"].items()}
    loaded = load(environ, folder)
    assert loaded.warnings == ()
    return loaded.settings


def test_the_kafka_is_the_one_that_the_tests_use() -> None:
    """The image is that of the tests with Docker, and clients inside find it where it says that it is."""
    kafka = SERVICES["kafka"]
    assert kafka["image"] == KAFKA_IMAGE
    advertised = dict(re.findall(r"(\w+)://([^,]+)", kafka["environment"]["KAFKA_ADVERTISED_LISTENERS"]))
    assert advertised["INSIDE"] == SERVICES["processor"]["environment"]["KAFKA_BOOTSTRAP_SERVERS"]
    host, port = advertised["HOST"].split(":", 1)
    assert kafka["ports"] == [f"{host}:{port}:9092"]


@pytest.mark.parametrize("name", OURS)
def test_its_command_and_settings_exist(name: str, tmp_path: Path) -> None:
    """`a3cp` knows the command with its options and arguments, and each of the settings takes its value."""
    words = SERVICES[name]["command"]
    known = next(count for count in (2, 1) if " ".join(["a3cp", *words[:count]]) in ALL_COMMANDS)
    ALL_COMMANDS[" ".join(["a3cp", *words[:known]])].make_context(name, list(words[known:]))
    settings_of(name, tmp_path)


def test_store_and_metrics_are_where_others_look_for_them(tmp_path: Path) -> None:
    """What looks into the store opens the one that is written; Prometheus asks the port that is served."""
    exporter, processor = settings_of("exporter", tmp_path), settings_of("processor", tmp_path)
    assert exporter.store_url == option("exporter", "--store")
    assert (processor.metrics_host, exporter.metrics_host) == ("0.0.0.0", "0.0.0.0")
    scraped = yaml.safe_load(PROJECT["configs"]["prometheus"]["content"])["scrape_configs"][0]["static_configs"]
    workers = [f"processor:{processor.metrics_port + number}" for number in range(PARTITIONS)]
    assert scraped == [{"targets": [*workers, f"exporter:{exporter.metrics_port}"]}]


def option(name: str, of: str) -> str:
    """Return the value of an option in a service's command."""
    command: list[str] = SERVICES[name]["command"]
    return command[command.index(of) + 1]


@pytest.mark.parametrize("name", ["processor", "exporter"])
def test_the_health_check_asks_whether_it_is_ready(name: str, tmp_path: Path) -> None:
    """It fails until the worker or exporter has joined, and where nothing listens; then it passes."""
    kind, program, *arguments = SERVICES[name]["healthcheck"]["test"]
    assert (kind, program) == ("CMD", "python")
    served = str(settings_of(name, tmp_path).metrics_port)
    assert any(served in argument for argument in arguments)
    health = Health()

    def passes(port: int) -> bool:
        command = [sys.executable, *(argument.replace(served, str(port)) for argument in arguments)]
        return subprocess.run(command, capture_output=True, timeout=30, check=False).returncode == 0

    with HealthServer("127.0.0.1", 0, health, CollectorRegistry()) as server:
        assert not passes(server.port)
        health.assigned([])
        assert passes(server.port)
    assert not passes(server.port)


def test_the_image() -> None:
    """Its Python is one that is supported, its user is not root, it starts our command, and has what stores need."""
    text = (ROOT / "Dockerfile").read_text("utf-8")
    instructions = re.findall(r"^([A-Z]+) (.+)$", text, re.MULTILINE)
    versions = set(re.findall(r"^FROM python:(\d\.\d+)-slim-\w+", text, re.MULTILINE))
    assert len(versions) == 1
    assert f"Programming Language :: Python :: {versions.pop()}" in PYPROJECT["project"]["classifiers"]
    users = [value for name, value in instructions if name == "USER"]
    assert users == ["a3cp"]
    assert " '.[postgres]'\n" in text
    assert instructions[-1] == ("ENTRYPOINT", f'["{next(iter(PYPROJECT["project"]["scripts"]))}"]')


def test_the_build_gets_what_the_wheel_is_made_of() -> None:
    """.dockerignore lets pass what pyproject.toml names, the lock, and nothing else."""
    passed = re.findall(r"^!/(.+)$", (ROOT / ".dockerignore").read_text("utf-8"), re.MULTILINE)
    wheel = PYPROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]
    project = PYPROJECT["project"]
    needed = {"pyproject.toml", "requirements.lock", project["readme"], *project["license-files"]}
    assert set(passed) == needed | set(wheel["packages"]) | set(wheel["force-include"])
