"""The dashboards are those that dashboards.yml tells, Prometheus reads each expression, and no metric is left out."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from scripts.dashboards import FOLDER, dashboards
from tests.metrics import metrics

PROMTOOL = shutil.which("promtool")
PANELS = [
    panel for one in yaml.safe_load((FOLDER / "dashboards.yml").read_text("utf-8")).values() for panel in one["panels"]
]
EXPRESSIONS = [expr for panel in PANELS for expr in panel["shows"].values()]


def test_the_files_are_those_that_are_told() -> None:
    """`make dashboards` writes them."""
    assert {path.name: path.read_text("utf-8") for path in (FOLDER / "dashboards").glob("*.json")} == dashboards()


@pytest.mark.skipif(PROMTOOL is None, reason="promtool is not there")
def test_prometheus_reads_each_expression(tmp_path: Path) -> None:
    """As the expression of a rule."""
    rules = [{"record": f"panel:{number}", "expr": expr} for number, expr in enumerate(EXPRESSIONS)]
    told = tmp_path / "rules.yml"
    told.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}), "utf-8")
    assert PROMTOOL is not None
    done = subprocess.run([PROMTOOL, "check", "rules", str(told)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_metric_is_shown() -> None:
    """On a dashboard, or by an alert; and what is shown exists."""
    alerts = (FOLDER.parent / "prometheus" / "alerts.yml").read_text("utf-8")
    shown = {re.sub("_bucket$", "", name) for name in re.findall(r"\ba3cp_\w+", " ".join([*EXPRESSIONS, alerts]))}
    assert shown == {name for name, _ in metrics()}


def test_legends_name_labels_that_there_are() -> None:
    """A legend's label is one by which its expression is split, or one of its metric."""
    labels = {label: set(names) for label, names in metrics()}
    for panel in PANELS:
        for legend, expr in panel["shows"].items():
            named = set(re.findall(r"\{\{(\w+)\}\}", legend))
            split = re.search(r"by \(([\w, ]+)\)", expr)
            metric = re.sub("_bucket$", "", re.findall(r"\ba3cp_\w+", expr)[0])
            assert named <= (set(split[1].split(", ")) if split else {*labels[metric], "instance"}), panel["title"]
