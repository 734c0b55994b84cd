"""Tables and the result file."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Any, Final

_BEGIN: Final = "<!-- measured: begin -->"
_END: Final = "<!-- measured: end -->"


@dataclass(slots=True)
class Target:
    """A target of the project and what was measured for it; `met` is None where this machine cannot tell."""

    wanted: str
    measured: str
    met: bool | None


@dataclass(slots=True)
class Section:
    """One line of the benchmark: its table, its targets, and every single run."""

    name: str
    title: str
    how: str
    columns: Sequence[str] = ()
    rows: list[Sequence[str]] = field(default_factory=list)
    targets: list[Target] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    runs: list[dict[str, Any]] = field(default_factory=list)


def text_of(section: Section) -> str:
    """Return the section for a terminal, in Markdown."""
    parts = [f"### {section.title}", "", section.how, ""]
    if section.rows:
        table = [list(section.columns), *([str(cell) for cell in row] for row in section.rows)]
        widths = [max(len(row[index]) for row in table) for index in range(len(table[0]))]
        lines = [
            "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |"
            for row in table
        ]
        lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
        parts += [*lines, ""]
    words = {True: "met", False: "MISSED", None: "cannot be told here"}
    parts += [f"- target {target.wanted}: {target.measured} ({words[target.met]})" for target in section.targets]
    parts += [f"- {note}" for note in section.notes]
    busy = [run["others_cores"] for run in section.runs if "others_cores" in run]
    if busy:
        parts.append(f"- cores that others used meanwhile: {min(busy):.2f} to {max(busy):.2f}")
    return "\n".join(parts).rstrip() + "\n"


def write(path: Path, machine: dict[str, Any], sections: Iterable[Section]) -> None:
    """Write all that was measured as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    document = {"machine": machine, "sections": [asdict(section) for section in sections]}
    path.write_text(json.dumps(document, indent=1) + "\n", "utf-8")


def replace_measured(path: Path, text: str) -> None:
    """Put `text` between the marks in a Markdown file, in place of the last run's."""
    before, _, rest = path.read_text("utf-8").partition(_BEGIN)
    _, found, after = rest.partition(_END)
    if not found:
        raise ValueError(f"{path} has no {_BEGIN} and {_END}")
    path.write_text(f"{before}{_BEGIN}\n{text.rstrip()}\n{_END}{after}", "utf-8")


def middle(runs: Iterable[dict[str, Any]], key: str) -> float | None:
    """Return the median of a figure over those runs that have it."""
    values = [run[key] for run in runs if run.get(key) is not None]
    return float(median(values)) if values else None


def number(value: float | None, digits: int = 0) -> str:
    """Return a figure for a table."""
    return "-" if value is None else f"{value:,.{digits}f}"


def ratio(ours: float | None, peers: float | None) -> float | None:
    """Return ours / peer's where both are there."""
    return ours / peers if ours is not None and peers else None


def spread(runs: Iterable[dict[str, Any]], key: str, digits: int = 0) -> str:
    """Return the least and the greatest of a figure."""
    values = [run[key] for run in runs if run.get(key) is not None]
    return f"{number(min(values), digits)} – {number(max(values), digits)}" if values else "-"
