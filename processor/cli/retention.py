"""`a3cp retention`: lets sessions go that ended long ago."""

import re
import sys
from contextlib import closing
from typing import Annotated, Any, Final

import typer

from processor.cli.arguments.settings import Json, Roots, Store, stored
from processor.cli.printing.removals import tell
from processor.cli.printing.text import print_json
from processor.codec.isotime import format_time, wall_ms
from processor.core.model import DAY_MS, HOUR_MS
from processor.errors import UsageError
from processor.removal.retention import Retention
from processor.removal.roots import targets_of
from processor.sessions.forms.jsonforms import removal_fields
from processor.upstream.words.counting import counted

_UNITS_MS: Final = {"min": 60_000, "h": HOUR_MS, "d": DAY_MS, "w": 7 * DAY_MS}
_AGE: Final = re.compile(r"([1-9]\d{0,6})([a-z]+)", re.ASCII).fullmatch
_AGES: Final = "give a number and min, h, d or w, such as 90d"
_MONTHS: Final = "write min for minutes, or count months in days: 6 months are 180d"


def retention(
    *,
    older_than: Annotated[
        str, typer.Option("--older-than", metavar="AGE", help="How long ago they ended: 90d, 8w, 12h, 30min.")
    ],
    to: Roots = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be removed.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask, also when little or nothing would be kept.")] = False,
    store: Store = None,
    as_json: Json = False,
) -> None:
    """Remove sessions that ended long ago.

    They go from the store, and from where they were exported to.
    """
    age = age_ms(older_than)
    before_ms = wall_ms() - age
    targets = targets_of(to)
    with closing(stored(store)) as opened:
        sessions = Retention(opened, targets, before_ms)
        if not (dry_run or yes):
            _ask(older_than, len(sessions.removed.sessions), sessions.kept, is_short=age < DAY_MS)
        if not dry_run:
            sessions.remove()
        try:
            sessions.clear(dry_run=dry_run)
        finally:  # What is removed is told, also when something did not answer then.
            if as_json:
                print_json(_fields(sessions, before_ms, dry_run=dry_run))
            else:
                print(f"sessions that ended before {format_time(before_ms)[:19]}Z:")
                tell(opened.name, sessions.removed, sessions.cleared, dry_run=dry_run)
                print(f"kept in {opened.name}: {counted(sessions.kept, 'session')}")
                for root in sessions.not_named:
                    print(f"kept below {root}: what was exported there, since no --to names it")


def _fields(sessions: Retention, before_ms: int, *, dry_run: bool) -> dict[str, Any]:
    return {
        "dry_run": dry_run,
        "ended_before": format_time(before_ms),
        "store": removal_fields(sessions.removed),
        "kept": sessions.kept,
        "not_named": sessions.not_named,
        "targets": [one._asdict() for one in sessions.cleared],
    }


def _ask(age: str, going: int, kept: int, *, is_short: bool) -> None:
    """Ask for a yes if the age is short, or all sessions would go.

    Raises:
        UsageError: nobody can be asked.
        Exit: the answer is no.
    """
    if not is_short and (kept or not going):
        return
    why = " and ".join([f"{age} is less than a day"] * is_short + [f"all {going:,} sessions would go"] * (not kept))
    if not sys.stdin.isatty():
        raise UsageError(f"nothing is removed: {why}", remedy="add --yes if that is meant")
    if not typer.confirm(f"{why}; {kept:,} are kept. Remove {going:,}?", err=True):
        print("nothing is removed", file=sys.stderr)
        raise typer.Exit(1)


def age_ms(text: str) -> int:
    """Return the length of `text`, such as 90d, in ms.

    Raises:
        UsageError: it is no age.
    """
    match = _AGE(text)
    if match is not None and match[2] in ("m", "mo"):
        raise UsageError(f"--older-than {text} may be minutes or months", remedy=_MONTHS)
    length_ms = 0 if match is None else int(match[1]) * _UNITS_MS.get(match[2], 0)
    if not 0 < length_ms <= wall_ms():
        raise UsageError(f"--older-than {text!r} is no age", remedy=_AGES)
    return length_ms
