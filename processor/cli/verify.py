"""`a3cp verify`: whether bundles are whole and unaltered."""

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from processor.cli.settings import Json

if TYPE_CHECKING:
    from processor.exporter.verify import Report


def verify(
    target: Annotated[
        str, typer.Argument(metavar="BUNDLE|ROOT", help="A bundle, or a folder of bundles; fsspec URLs too.")
    ],
    *,
    broken: Annotated[bool, typer.Option("--broken", help="Show only those with something wrong.")] = False,
    as_json: Json = False,
) -> None:  # fmt: skip
    """Check bundles: every byte against the manifest, count, order and digest against the session's end.

    Exit codes: 0 nothing is wrong, 1 something is, 2 there is no bundle.
    """
    from processor.exporter.verify import verify as reports_of

    reports = []
    for report in reports_of(target):
        reports.append(report)
        if not as_json and not (broken and report.is_sound):
            _show(report)
    wrong = sum(not report.is_sound for report in reports)
    if as_json:
        shown = [_fields(report) for report in reports if not (broken and report.is_sound)]
        print(json.dumps({"bundles": len(reports), "broken": wrong, "reports": shown}, ensure_ascii=False))
    else:
        partial = sum(report.status == "partial" for report in reports)
        told = f"{len(reports):,} bundles: {len(reports) - wrong:,} sound, {wrong:,} broken"
        print(told + (f"; {partial:,} hold only a part of their session, and say so" if partial else ""))
    if wrong:
        raise typer.Exit(1)


def _show(report: "Report") -> None:
    messages = f"{report.messages:,} message{'' if report.messages == 1 else 's'}"
    print(f"{'sound ' if report.is_sound else 'BROKEN'}  {report.path}  {messages}, {report.status or 'unreadable'}")
    for problem in report.problems:
        print(f"        {problem}")


def _fields(report: "Report") -> dict[str, Any]:
    return {
        "path": report.path,
        "session_id": report.session_id,
        "status": report.status,
        "messages": report.messages,
        "sound": report.is_sound,
        "problems": [problem._asdict() for problem in report.problems],
    }
