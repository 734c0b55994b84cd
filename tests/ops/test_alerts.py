"""The alerts of ops/prometheus: promtool says of each when it fires, and when it does not; each has a runbook."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from tests.metrics import metrics

OPS = Path(__file__).parents[2] / "ops"
FILE = OPS / "prometheus" / "alerts.yml"
RULES: dict[str, dict[str, Any]] = {
    rule["alert"]: rule for group in yaml.safe_load(FILE.read_text("utf-8"))["groups"] for rule in group["rules"]
}
PROMTOOL = shutil.which("promtool")
needs_promtool = pytest.mark.skipif(PROMTOOL is None, reason="promtool is not there")
TURNS = 240  # of 15 s: an hour


class Case(NamedTuple):
    """What happens for an hour, and the labels of the alert that fires at its end; None: none does."""

    alert: str
    series: dict[str, str]
    labels: dict[str, str] | None = None


PARTITION = {"partition": "2"}
IDLE = {'a3cp_lag_offsets{partition="2"}': "0x240", 'a3cp_last_processed_timestamp_seconds{partition="2"}': "0x240"}
EXPORTER = "a3cp_export_lag_offsets"
SEALED = 'a3cp_export_sealed_timestamp_seconds{instance="a"}'
STORED = 'a3cp_export_records_total{kind="messages"}'
CASES = {
    "messages come back": Case("A3CPCanaryLate", {'a3cp_canary_waiting_seconds{partition="2"}': "0 0.2x240"}),
    "one waits": Case("A3CPCanaryLate", {'a3cp_canary_waiting_seconds{partition="2"}': "0+15x240"}, {}),
    "no canary": Case("A3CPCanaryLate", {"up": "1x240"}, {}),
    "nobody speaks": Case("A3CPNoProgress", IDLE),
    "a backlog is worked off": Case("A3CPNoProgress", {**IDLE, 'a3cp_lag_offsets{partition="2"}': "240000-1000x240"}),
    "nothing is processed": Case("A3CPNoProgress", {**IDLE, 'a3cp_lag_offsets{partition="2"}': "7x240"}, PARTITION),
    "it goes on": Case("A3CPPartitionWaiting", {'a3cp_partition_waiting{partition="2",cause="registry"}': "0x240"}),
    "it stands still": Case(
        "A3CPPartitionWaiting",
        {'a3cp_partition_waiting{partition="2",cause="registry"}': "1x240"},
        {**PARTITION, "cause": "registry"},
    ),
    "an open transaction is another alert": Case(
        "A3CPPartitionWaiting", {'a3cp_partition_waiting{partition="2",cause="open_transaction"}': "1x240"}
    ),
    "a short transaction": Case(
        "A3CPOpenTransaction", {'a3cp_partition_waiting{partition="2",cause="open_transaction"}': "0x238 1 1"}
    ),
    "a long transaction": Case(
        "A3CPOpenTransaction",
        {'a3cp_partition_waiting{partition="2",cause="open_transaction"}': "1x240"},
        PARTITION,
    ),
    "all was read": Case("A3CPInputLost", {'a3cp_partition_alarm{partition="2",alarm="lost_input"}': "0x240"}),
    "something was removed": Case(
        "A3CPInputLost",
        {'a3cp_partition_alarm{partition="2",alarm="lost_input"}': "1x240"},
        {**PARTITION, "alarm": "lost_input"},
    ),
    "it stores": Case("A3CPExporterBehind", {EXPORTER: "100x240", STORED: "0+50x240"}),
    "there is nothing to store": Case("A3CPExporterBehind", {EXPORTER: "0x240", STORED: "50x240"}),
    "it stores nothing": Case("A3CPExporterBehind", {EXPORTER: "100+10x240", STORED: "50x240"}, {}),
    "its partition stands still": Case(
        "A3CPExporterBehind",
        {EXPORTER: "9x240", STORED: "0+50x240", 'a3cp_export_partition_waiting{partition="2"}': "1x240"},
        {},
    ),
    "no exporter": Case("A3CPExporterBehind", {"up": "1x240"}, {}),
    "it is empty": Case("A3CPOutboxNotEmpty", {'a3cp_outbox_oldest_seconds{instance="a"}': "0x240"}),
    "it fills": Case("A3CPOutboxNotEmpty", {'a3cp_outbox_oldest_seconds{instance="a"}': "0+15x240"}, {"instance": "a"}),
    "there is room": Case(
        "A3CPDiskFull",
        {
            'a3cp_disk_free_bytes{instance="a",place="store"}': "20x240",
            'a3cp_disk_size_bytes{instance="a",place="store"}': "100x240",
        },
    ),
    "there is none": Case(
        "A3CPDiskFull",
        {
            'a3cp_disk_free_bytes{instance="a",place="store"}': "9x240",
            'a3cp_disk_size_bytes{instance="a",place="store"}': "100x240",
        },
        {"instance": "a", "place": "store"},
    ),
    "it was restored": Case(
        "A3CPRestoreSlow",
        {'a3cp_restore_done{partition="2"}': "0x238 1 1"},
    ),
    "it is being restored": Case(
        "A3CPRestoreSlow",
        {'a3cp_restore_done{partition="2"}': "0x240"},
        PARTITION,
    ),
    "some long ago": Case("A3CPDeadLetters", {'a3cp_dead_letters_total{stage="decode"}': "0 3x240"}),
    "one just now": Case(
        "A3CPDeadLetters", {'a3cp_dead_letters_total{stage="decode"}': "3x235 4x5"}, {"stage": "decode"}
    ),
    "it seals each day": Case("A3CPNotSealed", {SEALED: f"{-86_400 - 2_100}x240"}),
    "it is not asked to seal": Case("A3CPNotSealed", {SEALED: "NaN " * TURNS}),
    "it seals no more": Case("A3CPNotSealed", {SEALED: f"{-3 * 86_400}x240"}, {"instance": "a"}),
    "they are taken": Case(
        "A3CPHooksRefused",
        {'a3cp_hooks_deliveries_total{template="t",hook="h",outcome="delivered"}': "0+1x240"},
    ),
    "one is refused": Case(
        "A3CPHooksRefused",
        {'a3cp_hooks_deliveries_total{template="t",hook="h",outcome="dead"}': "0x235 1x5"},
        {"template": "t", "hook": "h"},
    ),
    "a clock was ahead once": Case(
        "A3CPClockSkew",
        {"a3cp_messages_tagged_total": "0+100x240", 'a3cp_messages_flagged_total{flag="clock_skew"}': "0x100 1x140"},
    ),
    "a clock is ahead": Case(
        "A3CPClockSkew",
        {"a3cp_messages_tagged_total": "0+100x240", 'a3cp_messages_flagged_total{flag="clock_skew"}': "0+2x240"},
        {},
    ),
}


@needs_promtool
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_it_fires_when_it_should(case: Case, tmp_path: Path) -> None:
    """And not otherwise."""
    rule = RULES[case.alert]
    expected = []
    if case.labels is not None:
        annotations = {name: filled(text, case.labels) for name, text in rule["annotations"].items()}
        expected = [{"exp_labels": {**rule["labels"], **case.labels}, "exp_annotations": annotations}]
    test = {
        "interval": "15s",
        "input_series": [{"series": name, "values": values} for name, values in case.series.items()],
        "alert_rule_test": [{"eval_time": "1h", "alertname": case.alert, "exp_alerts": expected}],
    }
    told = tmp_path / "test.yml"
    # Each minute, since no alert waits for less; to do it four times as often takes four times as long.
    told.write_text(yaml.safe_dump({"rule_files": [str(FILE)], "evaluation_interval": "1m", "tests": [test]}), "utf-8")
    assert PROMTOOL is not None
    done = subprocess.run([PROMTOOL, "test", "rules", str(told)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def filled(text: str, labels: dict[str, str]) -> str:
    """Return an annotation as it is told."""
    return re.sub(r"\{\{ \$labels\.(\w+) \}\}", lambda match: labels[match[1]], text)


def test_each_alert_is_tried_both_ways() -> None:
    """One case at least in which it fires, and one in which it does not."""
    fires = {case.alert for case in CASES.values() if case.labels is not None}
    rests = {case.alert for case in CASES.values() if case.labels is None}
    assert fires == rests == RULES.keys()


@pytest.mark.parametrize("name", RULES)
def test_it_has_a_runbook(name: str) -> None:
    """It stands where the alert says, and says what is wrong, what to look at and what to do."""
    runbook = RULES[name]["annotations"]["runbook"]
    assert runbook == f"ops/runbooks/{name}.md"
    text = (OPS.parent / runbook).read_text("utf-8")
    assert text.startswith(f"# {name}\n")
    assert re.findall(r"^## (.+)$", text, re.MULTILINE) == ["What it means", "Look", "Do"]
    assert "a3cp " in text.split("## Look")[1], "tests/test_repository.py checks its commands"


def test_each_is_seen_with_its_fault_there() -> None:
    """In a real Prometheus, where the runbook is typed too."""
    text = (OPS.parent / "tests" / "broker" / "test_alerts_on_kafka.py").read_text("utf-8")
    assert set(re.findall(r'scene\.sees\("(\w+)"', text)) == RULES.keys()


def test_what_it_asks_for_is_there() -> None:
    """Each metric in an expression exists in the code."""
    known = {name for name, _ in metrics()}
    asked = set(re.findall(r"\ba3cp_\w+", " ".join(rule["expr"] for rule in RULES.values())))
    assert asked <= known
