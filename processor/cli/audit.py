"""`a3cp audit`: whether the processor kept its promises, from the topics alone."""

from typing import Annotated, Any, Final

import typer

from processor.audit.report import TWICE_SHOWN, AuditReport
from processor.cli.arguments.settings import Bootstrap, Json, Prefix, chosen
from processor.cli.printing.terminal import progress_bar
from processor.cli.printing.text import print_json
from processor.settings.model import TopicNames
from processor.upstream.words.counting import counted
from processor.wiring import audited

SHOWN: Final = 50


def audit(
    *,
    rules_changed: Annotated[
        bool,
        typer.Option(
            "--rules-changed",
            help="Settings of the rules were changed since the raw log begins: do not compare with what they give.",
        ),
    ] = False,
    bootstrap: Bootstrap = None,
    prefix: Prefix = None,
    as_json: Json = False,
) -> None:
    """Prove that each raw record has exactly one outcome.

    Messages, sessions and states must agree, too.

    The processor may be running: what it has not come to is counted, not called missing. Nothing is written.
    Exit codes: 0 nothing is wrong, 1 something is, 2 there are no such topics, or they were made anew.
    """
    settings = chosen(bootstrap, prefix)
    with progress_bar("reading", quiet=as_json) as show:
        report = audited(settings, rules_changed=rules_changed, on_read=show)
    if as_json:
        print_json(_fields(report, settings.group_id))
    else:
        _tell(report, settings.topics(), settings.group_id)
    if report.problem_count:
        raise typer.Exit(1)


def _tell(report: AuditReport, names: TopicNames, group_id: str) -> None:
    processed = report.raw - report.waiting
    print(f"{names.raw}: {counted(processed, 'record')} processed by the group {group_id}, {report.waiting:,} not yet")
    print(
        f"  {report.tagged:,} tagged, {counted(report.dead, 'dead letter')}, "
        f"{counted(report.answered, 'command')} answered, "
        f"{report.rerouted:,} sent to their user's partition"
    )
    if report.alone:
        print(f"  {report.alone:,} not compared: their tagged messages are gone from {names.tagged}")
    print(
        f"{names.sessions}: {counted(report.sessions, 'session')}, {counted(report.ends, 'end')}, "
        "their count, order and digest compared"
    )
    compared = f"{report.states_compared:,} compared with what the rules make of the raw records"
    print(f"{names.state}: {counted(report.states, 'state')}, {compared}")
    for note in report.notes:
        print(f"note: {note}")
    if (more := report.opened_twice - TWICE_SHOWN) > 0:
        print(f"note: {counted(more, 'more session is', 'more sessions are')} opened again")
    for problem in report.problems[:SHOWN]:
        print(f"WRONG  {problem.where}: {problem.what}")
    if (hidden := report.problem_count - SHOWN) > 0:
        print(f"and {hidden:,} more; --json has the first {len(report.problems):,}")
    if report.problem_count:
        print(f"BROKEN: {counted(report.problem_count, 'thing is', 'things are')} wrong")
    elif report.never_read:
        told = "gone before the processor first read their partitions"
        print(
            f"not all was read: {counted(report.never_read, 'offset was', 'offsets were')} "
            f"{told}; nothing else is wrong"
        )
    else:
        print("sound: every record that was looked at has exactly one outcome, and nothing is wrong")


def _fields(report: AuditReport, group_id: str) -> dict[str, Any]:
    return {
        "sound": not report.problem_count and not report.never_read,
        "group_id": group_id,
        "raw": report.raw,
        "waiting": report.waiting,
        "tagged": report.tagged,
        "dead": report.dead,
        "answered": report.answered,
        "rerouted": report.rerouted,
        "never_read": report.never_read,
        "not_compared": report.alone,
        "sessions": report.sessions,
        "ends": report.ends,
        "states": report.states,
        "states_compared": report.states_compared,
        "opened_twice": report.opened_twice,
        "notes": report.notes,
        "problem_count": report.problem_count,
        "problems": [problem._asdict() for problem in report.problems],
    }
