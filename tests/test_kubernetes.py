"""ops/kubernetes is built by kustomize, is what Kubernetes takes, and names what is there."""

import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from prometheus_client import CollectorRegistry

from processor.observe.metrics import Metrics
from processor.settings.model import PREFIX, Settings
from processor.settings.sources import load
from tests.commands import ALL_COMMANDS

# Go fetches and builds kustomize the first time; then it has it.
pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(shutil.which("go") is None, reason="kustomize is built by Go, and there is none"),
]

ROOT = Path(__file__).parent.parent
KUSTOMIZE = "sigs.k8s.io/kustomize/kustomize/v5@v5.7.1"
BUILD_TIMEOUT_S = 500
OLDEST = "1.28"  # The first that labels the pods of a StatefulSet with their numbers.
OVERLAYS = ("base", "overlays/keda", "overlays/small")
PARTS = ("a3cp-processor", "a3cp-exporter", "a3cp-serve", "a3cp-canary")
PARTITIONS = yaml.safe_load((ROOT / "topics" / "a3cp.raw.yaml").read_text("utf-8"))["spec"]["partitions"]

Resource = Mapping[str, Any]
Built = Mapping[tuple[str, str], Resource]


def built(overlay: str) -> Built:
    """Return the resources that kustomize makes, by kind and name."""
    command = ["go", "run", KUSTOMIZE, "build", str(ROOT / "ops/kubernetes" / overlay)]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=BUILD_TIMEOUT_S, check=False)
    assert ran.returncode == 0, ran.stderr
    return {(each["kind"], each["metadata"]["name"]): each for each in yaml.safe_load_all(ran.stdout)}


@pytest.fixture(scope="module")
def all_built() -> Mapping[str, Built]:
    return {overlay: built(overlay) for overlay in OVERLAYS}


@pytest.fixture(scope="module", params=OVERLAYS)
def overlay(request: pytest.FixtureRequest, all_built: Mapping[str, Built]) -> Built:
    return all_built[request.param]


@pytest.fixture(scope="module")
def base(all_built: Mapping[str, Built]) -> Built:
    return all_built["base"]


def pods(resources: Built) -> Iterator[tuple[str, Resource]]:
    """Yield the name and the template of the pods of each part, the Job included."""
    for (_, name), resource in resources.items():
        if "template" in resource.get("spec", {}):
            yield name, resource["spec"]["template"]


def container(resources: Built, name: str) -> Resource:
    (found,) = (template["spec"]["containers"] for part, template in pods(resources) if part == name)
    only: Resource = found[0]
    return only


def environ(resources: Built, of: Resource) -> dict[str, str]:
    """Return the variables of a container; one that Kubernetes fills in is the number of the second pod."""
    variables: dict[str, str] = {}
    for source in of["envFrom"]:
        variables |= resources["ConfigMap", source["configMapRef"]["name"]]["data"]
    return variables | {each["name"]: each.get("value", "1") for each in of.get("env", [])}


def settings(resources: Built, name: str, folder: Path) -> Settings:
    secrets = {"A3CP_SECRETS_DIR": str(folder)}
    loaded = load(environ(resources, container(resources, name)) | secrets, folder)
    assert loaded.warnings == ()
    return loaded.settings


@pytest.mark.parametrize("version", [OLDEST, kubernetes_validate.latest_version()])
def test_kubernetes_takes_it(overlay: Built, version: str) -> None:
    """Each resource has the members of its kind and no other; KEDA's kind is not one of Kubernetes."""
    for (kind, _), resource in overlay.items():
        if kind != "ScaledObject":
            kubernetes_validate.validate(dict(resource), version, strict=True)


def test_commands_and_settings_exist(overlay: Built, tmp_path: Path) -> None:
    """`a3cp` knows each command with its options, and takes each setting."""
    for name, template in pods(overlay):
        for each in (*template["spec"].get("initContainers", []), *template["spec"]["containers"]):
            words = each["args"]
            known = next(count for count in (2, 1) if " ".join(["a3cp", *words[:count]]) in ALL_COMMANDS)
            ALL_COMMANDS[" ".join(["a3cp", *words[:known]])].make_context(name, list(words[known:]))
            assert all(variable.startswith((PREFIX, "KAFKA_")) for variable in environ(overlay, each))
        settings(overlay, name, tmp_path)


def test_a_pod_has_no_more_than_it_needs(overlay: Built) -> None:
    """What Kubernetes calls restricted, by the user of the image; nothing is written but volumes; all is bounded."""
    uid = re.search(r"useradd --uid (\d+)", (ROOT / "Dockerfile").read_text("utf-8"))
    assert uid is not None
    for _, template in pods(overlay):
        spec = template["spec"]
        assert overlay["ServiceAccount", spec["serviceAccountName"]]["automountServiceAccountToken"] is False
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["runAsUser"] == spec["securityContext"]["fsGroup"] == int(uid[1])
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for each in (*spec.get("initContainers", []), *spec["containers"]):
            assert each["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "capabilities": {"drop": ["ALL"]},
                "readOnlyRootFilesystem": True,
            }
            assert {"cpu", "memory"} == each["resources"]["limits"].keys() == each["resources"]["requests"].keys()
            mounted = {mount["name"] for mount in each["volumeMounts"]}
            assert mounted <= {volume["name"] for volume in spec["volumes"]}


def test_a_part_begins_with_the_doctor_and_is_watched(overlay: Built) -> None:
    """The doctor is asked with the same settings and secrets; what is not ready is not restarted for that."""
    templates = dict(pods(overlay))
    for name in PARTS:
        spec = templates[name]["spec"]
        (doctor,), (only,) = spec["initContainers"], spec["containers"]
        assert doctor["args"][0] == "doctor"
        assert (doctor["image"], doctor["envFrom"]) == (only["image"], only["envFrom"])
        assert doctor["volumeMounts"][0] == {"name": "secrets", "mountPath": "/secrets", "readOnly": True}
        paths = {probe: only[probe]["httpGet"]["path"] for probe in ("readinessProbe", "livenessProbe")}
        assert paths == {"readinessProbe": "/readyz", "livenessProbe": "/livez"}
        ports = {port["name"] for port in only["ports"]}
        assert {only[probe]["httpGet"]["port"] for probe in only if probe.endswith("Probe")} <= ports


def test_ports_are_those_that_are_served(base: Built, tmp_path: Path) -> None:
    """Prometheus, probes, services and the network's rules lead to where a part listens."""
    for name in PARTS:
        of = settings(base, name, tmp_path)
        served = of.serve_port if name == "a3cp-serve" else of.metrics_port
        assert container(base, name)["ports"] == [{"name": "http", "containerPort": served}]
    for name, template in pods(base):
        if port := template["metadata"].get("annotations", {}).get("prometheus.io/port"):
            assert port == str(settings(base, name, tmp_path).metrics_port)
    (ingress,) = base["NetworkPolicy", "a3cp"]["spec"]["ingress"]
    assert ingress == {"ports": [{"port": settings(base, "a3cp-processor", tmp_path).metrics_port}]}
    assert settings(base, "a3cp-processor", tmp_path).metrics_host == "0.0.0.0"


def test_a_worker_has_its_pods_number_and_time_to_stop(base: Built, tmp_path: Path) -> None:
    """The ordinal is the slot; it has longer to stop than a transaction, and minutes to restore."""
    spec = base["StatefulSet", "a3cp-processor"]["spec"]["template"]["spec"]
    (slot,) = spec["containers"][0]["env"]
    assert slot["valueFrom"] == {"fieldRef": {"fieldPath": "metadata.labels['apps.kubernetes.io/pod-index']"}}
    of = settings(base, "a3cp-processor", tmp_path)
    assert (of.slot, of.workers) == (1, 1)
    assert spec["terminationGracePeriodSeconds"] * 1000 > 2 * of.transaction_timeout_ms
    startup = spec["containers"][0]["startupProbe"]
    assert startup["httpGet"]["path"] == "/readyz"
    assert startup["periodSeconds"] * startup["failureThreshold"] >= 600


def selectors(node: Any) -> Iterator[Mapping[str, str]]:
    """Yield the labels that anything below `node` selects by."""
    if isinstance(node, list):
        for each in node:
            yield from selectors(each)
    elif isinstance(node, dict):
        for name, each in node.items():
            if name in {"matchLabels", "selector"} and all(isinstance(value, str) for value in each.values()):
                yield each
            elif name == "matchExpressions":
                yield from ({one["key"]: value} for one in each for value in one["values"])
            else:
                yield from selectors(each)


def test_selectors_find_pods(overlay: Built) -> None:
    """Services, budgets, the network's rules and what spreads pods name labels that pods have."""
    labels = [template["metadata"]["labels"] for _, template in pods(overlay)]
    wanted = list(selectors(list(overlay.values())))
    assert len(wanted) >= 12
    assert [each for each in wanted if not any(each.items() <= of.items() for of in labels)] == []
    assert {("PodDisruptionBudget", name) for name in ("a3cp-processor", "a3cp-serve")} <= overlay.keys()


def test_keda_scales_by_our_own_lag(all_built: Mapping[str, Built]) -> None:
    """From one worker to one a partition, by a metric that exists; nothing else says how many there are."""
    resources = all_built["overlays/keda"]
    spec = resources["ScaledObject", "a3cp-processor"]["spec"]
    assert (spec["minReplicaCount"], spec["maxReplicaCount"]) == (1, PARTITIONS)
    target = resources[spec["scaleTargetRef"]["kind"], spec["scaleTargetRef"]["name"]]
    assert "replicas" not in target["spec"]
    (trigger,) = spec["triggers"]
    assert trigger["type"] == "prometheus"
    query = trigger["metadata"]["query"]
    registry = CollectorRegistry()
    Metrics(registry)
    lag = {family.name for family in registry.collect() if family.name in query}
    assert lag == {"a3cp_lag_offsets"}
    behavior = spec["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]
    assert behavior["scaleDown"]["stabilizationWindowSeconds"] > behavior["scaleUp"]["stabilizationWindowSeconds"]


def test_the_small_one_fits_one_node(all_built: Mapping[str, Built], tmp_path: Path) -> None:
    """One of each part, topics with one copy, and a store beside the bundles."""
    resources = all_built["overlays/small"]
    replicas = {
        name: resource["spec"]["replicas"]
        for (_, name), resource in resources.items()
        if "replicas" in resource.get("spec", {})
    }
    assert replicas == dict.fromkeys(PARTS, 1)
    assert container(resources, "a3cp-topics")["args"] == ["topics", "apply"]
    assert settings(resources, "a3cp-exporter", tmp_path).store_url == "sqlite:////data/a3cp.db"
