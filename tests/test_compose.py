"""docker-compose.yml, Dockerfile and ops/ name what is there; tests/broker/test_compose.py runs them."""

import json
import re
import shlex
import subprocess
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
STAYING = [name for name, service in SERVICES.items() if "restart" in service]
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


def words_of(name: str) -> list[str]:
    """Return the command and its arguments; that of a shell stands behind `a3cp`, up to where its output goes."""
    given: list[str] = SERVICES[name].get("command") or []
    return given or shlex.split(SERVICES[name]["entrypoint"][-1].partition(" a3cp ")[2].partition(">")[0])


@pytest.mark.parametrize("name", OURS)
def test_its_command_and_settings_exist(name: str, tmp_path: Path) -> None:
    """`a3cp` knows the command with its options and arguments, and each of the settings takes its value."""
    words = words_of(name)
    known = next(count for count in (2, 1) if " ".join(["a3cp", *words[:count]]) in ALL_COMMANDS)
    ALL_COMMANDS[" ".join(["a3cp", *words[:known]])].make_context(name, list(words[known:]))
    settings_of(name, tmp_path)


@pytest.mark.parametrize("name", SERVICES)
def test_it_has_no_more_than_it_needs(name: str) -> None:
    """Nothing can be written but volumes and what is gone at the end; no capability, no new right, and a bound."""
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert {"cpus", "memory"} == service["deploy"]["resources"]["limits"].keys()
    assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))
    named = {volume.split(":")[0] for volume in service.get("volumes", []) if not volume.startswith((".", "/"))}
    assert named <= PROJECT["volumes"].keys()
    assert ("healthcheck" in service) == (name in STAYING)


def test_store_metrics_and_tokens_are_where_others_look_for_them(tmp_path: Path) -> None:
    """Who reads store, bundles and tokens opens what is written; Prometheus asks the ports that are served."""
    exporter, processor, serve = (settings_of(name, tmp_path) for name in ("exporter", "processor", "serve"))
    assert exporter.store_url == serve.store_url == option("exporter", "--store")
    assert option("exporter", "--to") == option("serve", "--bundles")
    doors = SERVICES["doors"]
    assert serve.serve_tokens_file == f"{doors['working_dir']}/{words_of('doors')[-1]}"
    assert (processor.metrics_host, exporter.metrics_host) == ("0.0.0.0", "0.0.0.0")
    assert SERVICES["serve"]["ports"] == [f"127.0.0.1:${{SERVE_PORT:-8080}}:{serve.serve_port}"]
    metrics, service = yaml.safe_load((ROOT / "ops/prometheus/prometheus.yml").read_text("utf-8"))["scrape_configs"]
    workers = [f"processor:{processor.metrics_port + number}" for number in range(PARTITIONS)]
    assert metrics["static_configs"] == [{"targets": [*workers, f"exporter:{exporter.metrics_port}", "canary:9464"]}]
    assert service["static_configs"] == [{"targets": [f"serve:{serve.serve_port}"]}]
    assert service["authorization"] == {"credentials_file": f"{doors['working_dir']}/prometheus"}


def test_grafana_finds_its_source_and_its_dashboards() -> None:
    """The source is our Prometheus, the folder of dashboards is the one that is mounted, and each has its own id."""
    provisioning = ROOT / "ops/grafana/provisioning"
    (source,) = yaml.safe_load((provisioning / "datasources/prometheus.yaml").read_text("utf-8"))["datasources"]
    assert source["url"] == f"http://prometheus:{SERVICES['prometheus']['ports'][0].rpartition(':')[2]}"
    (provider,) = yaml.safe_load((provisioning / "dashboards/a3cp.yaml").read_text("utf-8"))["providers"]
    assert f"./ops/grafana/dashboards:{provider['options']['path']}:ro" in SERVICES["grafana"]["volumes"]
    dashboards = [json.loads(path.read_text("utf-8")) for path in (ROOT / "ops/grafana/dashboards").glob("*.json")]
    assert len({dashboard["uid"] for dashboard in dashboards}) == len(dashboards) > 0


def option(name: str, of: str) -> str:
    """Return the value of an option in a service's command."""
    command: list[str] = SERVICES[name]["command"]
    return command[command.index(of) + 1]


@pytest.mark.parametrize("name", ["processor", "exporter", "serve"])
def test_the_health_check_asks_whether_it_is_ready(name: str, tmp_path: Path) -> None:
    """It fails until the process is ready, and where nothing listens; then it passes."""
    kind, *command = SERVICES[name]["healthcheck"]["test"]
    assert kind == "CMD"
    settings = settings_of(name, tmp_path)
    served = f"/127.0.0.1/{settings.metrics_port or settings.serve_port};"
    assert served in command[-1]
    health = Health()

    def passes(port: int) -> bool:
        script = command[-1].replace(served, f"/127.0.0.1/{port};").replace("$$", "$")
        asked = subprocess.run([*command[:-1], script], capture_output=True, timeout=30, check=False)
        return asked.returncode == 0

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
    assert "'.[serve,postgres,otel]'" in text
    owned = re.search(r"install --directory --owner a3cp --group a3cp (.+)$", text, re.MULTILINE)
    assert owned is not None
    volumes = {volume.split(":")[1] for name in OURS for volume in SERVICES[name].get("volumes", [])}
    assert volumes == set(owned[1].split())
    assert instructions[-1] == ("ENTRYPOINT", f'["{next(iter(PYPROJECT["project"]["scripts"]))}"]')


def test_the_build_gets_what_the_wheel_is_made_of() -> None:
    """.dockerignore lets pass what pyproject.toml names, the lock, and nothing else."""
    passed = re.findall(r"^!/(.+)$", (ROOT / ".dockerignore").read_text("utf-8"), re.MULTILINE)
    wheel = PYPROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]
    project = PYPROJECT["project"]
    needed = {"pyproject.toml", "requirements.lock", project["readme"], *project["license-files"]}
    assert set(passed) == needed | set(wheel["packages"]) | set(wheel["force-include"])
