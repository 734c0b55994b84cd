"""What an export did, in words and as JSON."""

import sys
from collections.abc import Mapping
from itertools import islice
from typing import Any, Final

import msgspec

from processor.bundles.bundle import BundleOutcome
from processor.processes.exporter.files import Files
from processor.sessions.aside import NEWS_MAX
from processor.sessions.ports import SessionFilter
from processor.sessions.ports import Store as StorePort
from processor.sessions.projection.progress import ExportProgress
from processor.upstream.words.counting import counted

_PARTIAL_SHOWN: Final = 10
_ASIDE_SHOWN: Final = 10


def export_outcome(store: StorePort, done: ExportProgress, names: Mapping[str, str]) -> dict[str, Any]:
    """Return what an export did, for `--json`; `names`: of the topics, by kind."""
    totals = store.reader.totals()
    partial = store.reader.sessions(SessionFilter(status="partial"), limit=_PARTIAL_SHOWN)
    return {
        "written": {"messages": done.messages, "events": done.events, "unreadable": done.unreadable},
        "read_again": done.again,
        "left": done.left,
        "held": {
            "sessions": dict(totals.sessions),
            "messages": totals.messages,
            "without_session": totals.without_session,
            "events": totals.events,
            "unreadable": totals.unreadable,
        },
        "set_aside": [
            {"position": f"{names[row.topic]}[{row.partition}]@{row.offset}", "reason": row.error}
            for row in islice(store.reader.unreadable(), _ASIDE_SHOWN)
        ],
        "standing": [
            {
                "position": f"{names[topic]}[{partition}]@{offset}",
                "cause": cause.value,
                "reason": why,
                "remedy": remedy,
            }
            for topic, partition, offset, cause, why, remedy in done.standing
        ],
        "partial": [
            {
                "session_id": row.session_id,
                "held": row.held_count,
                "expected": row.expected_count,
                "opened_twice": row.is_opened_twice,
            }
            for row in partial
        ],
    }


def tell_partial(rows: list[dict[str, Any]]) -> None:
    """Print the sessions that are partial, or were opened twice."""
    for row in rows:
        if row["opened_twice"]:
            print(
                f"opened twice: {row['session_id']} holds {counted(row['held'], 'message')}; "
                "records were sent again much later"
            )
        else:
            print(f"partial: {row['session_id']} holds {row['held']:,} of {counted(row['expected'], 'message')}")


def _tell_set_aside(rows: list[dict[str, Any]], count: int) -> None:
    if count:
        print(
            f"{counted(count, 'record is', 'records are')} set aside, since nobody can read them; "
            "each export tries again:"
        )
        for row in rows:
            print(f"set aside: {row['position']}: {row['reason']}")
        if count > len(rows):
            print(f"and {count - len(rows):,} more; the table unreadable has them all")


def tell_export(outcome: dict[str, Any], name: str, *, interrupted: bool) -> None:
    """Print what an export did; `name`: of its store."""
    written, held = outcome["written"], outcome["held"]
    sessions = held["sessions"]
    print(
        f"wrote {counted(written['messages'], 'message')} and {counted(written['events'], 'session event')} into {name}"
    )
    counts = ", ".join(f"{sessions[status]:,} {status}" for status in ("complete", "partial", "open"))
    print(f"it holds {counted(sum(sessions.values()), 'session')}: {counts}")
    without = f", {held['without_session']:,} of them in no session" if held["without_session"] else ""
    print(f"and {counted(held['messages'], 'message')}{without}")
    if outcome["read_again"]:
        print(
            f"of these, {counted(outcome['read_again'], 'record was', 'records were')} set aside "
            "before, and can be read now"
        )
    _tell_set_aside(outcome["set_aside"], held["unreadable"])
    for place in outcome["standing"]:
        print(f"stands still: {place['position']}: {place['reason']}; {place['remedy']}")
    if outcome["standing"]:
        print(f"{counted(outcome['left'], 'offset is', 'offsets are')} left there; the next export goes on from them")
    tell_partial(outcome["partial"])
    if (hidden := sessions["partial"] - len(outcome["partial"])) > 0:
        print(f"and {hidden:,} more; a3cp sessions list --status partial shows them")
    if interrupted and outcome["left"]:
        print(f"stopped before the end: {counted(outcome['left'], 'offset is', 'offsets are')} left", file=sys.stderr)


def files_outcome(files: Files) -> dict[str, Any]:
    """Return what was written, for `--json`."""
    told: dict[str, Any] = {}
    if (bundles := files.bundles) is not None:
        told["bundles"] = {
            "root": bundles.target.root,
            **{outcome.value: bundles.outcomes[outcome] for outcome in BundleOutcome},
            "messages": bundles.messages,
            "bytes": bundles.size_bytes,
        }
    if files.seal is not None:
        told["seal"] = msgspec.to_builtins(files.seal)
    if files.training is not None:
        told["training"] = [date._asdict() for date in files.training.dates.values()]
    return told


def tell_files(files: Files) -> None:
    """Print what was written."""
    if (bundles := files.bundles) is not None:
        counts = ", ".join(f"{count:,} {outcome.replace('_', ' ')}" for outcome, count in bundles.counts().items())
        size = f"{counted(bundles.messages, 'message')}, {bundles.size_bytes / 1_000_000:,.1f} MB"
        print(f"bundles in {bundles.target.root}: {f'{counts} ({size})' if counts else 'nothing new'}")
    if (seal := files.seal) is not None:
        print(f"sealed {seal.day}: {counted(seal.leaves, 'leaf', 'leaves')}, root {seal.root}")
    if files.training is not None:
        for date in files.training.dates.values():
            print(
                f"training data of {date.date}: {counted(date.messages, 'message')}, "
                f"{counted(date.captures, 'capture')}"
            )


def warn_of_set_aside(files: Files) -> None:
    """Say on standard error what is not written, and why."""
    for name, why in files.news():
        print(f"set aside: {name}: {why}", file=sys.stderr)
    for kind, aside in files.asides():
        if (hidden := len(aside) - NEWS_MAX) > 0:
            print(f"set aside: {hidden:,} more, each a {kind}", file=sys.stderr)
