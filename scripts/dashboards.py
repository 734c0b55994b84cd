"""Writes ops/grafana/dashboards/*.json from dashboards.yml beside them: `make dashboards`."""

import json
from pathlib import Path
from typing import Any, Final

import yaml

FOLDER: Final = Path(__file__).parent.parent / "ops" / "grafana"
_SOURCE: Final = {"type": "prometheus", "uid": "${source}"}
_WIDE: Final = 12  # half of Grafana's 24 columns
_HIGH: Final = 8


def dashboards() -> dict[str, str]:
    """Return each dashboard as Grafana reads it, by the name of its file."""
    told: dict[str, Any] = yaml.safe_load((FOLDER / "dashboards.yml").read_text("utf-8"))
    return {f"{name}.json": json.dumps(_dashboard(name, one), indent=2) + "\n" for name, one in told.items()}


def _dashboard(name: str, told: dict[str, Any]) -> dict[str, Any]:
    return {
        "uid": f"a3cp-{name}",
        "title": told["title"],
        "tags": ["a3cp"],
        "schemaVersion": 39,
        "editable": False,
        "refresh": "30s",
        "time": {"from": "now-1h", "to": "now"},
        "templating": {"list": [{"name": "source", "label": "Source", "type": "datasource", "query": "prometheus"}]},
        "panels": [_panel(number, panel) for number, panel in enumerate(told["panels"])],
    }


def _panel(number: int, told: dict[str, Any]) -> dict[str, Any]:
    row, column = divmod(number, 2)
    targets = [
        {"refId": chr(ord("A") + place), "expr": expr, **({"legendFormat": legend} if legend else {})}
        for place, (legend, expr) in enumerate(told["shows"].items())
    ]
    return {
        "id": number + 1,
        "type": "timeseries",
        "title": told["title"],
        "description": told["description"],
        "datasource": _SOURCE,
        "gridPos": {"x": column * _WIDE, "y": row * _HIGH, "w": _WIDE, "h": _HIGH},
        "fieldConfig": {"defaults": {"unit": told["unit"], "min": 0}, "overrides": []},
        "targets": targets,
    }


if __name__ == "__main__":
    for file, text in dashboards().items():
        (FOLDER / "dashboards" / file).write_text(text, "utf-8")
