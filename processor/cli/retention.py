"""`a3cp retention`: lets sessions go that ended long ago."""

import re
import sys
from contextlib import closing
from typing import Annotated, Final

import typer

from processor.cli.removals import tell
from processor.cli.settings import Json, Roots, Store, stored
from processor.cli.text import counted, print_json
from processor.codec.isotime import format_time, wall_ms
from processor.core.model import DAY_MS, HOUR_MS
from processor.errors import UsageError
from processor.removal.clearing import Cleared, clear
from processor.removal.roots import is_there, targets_of, unnamed_roots
from processor.sessions.jsonforms import removal_fields
from processor.sessions.ports import Gone
from processor.targets.paths import date_part

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
        gone = Gone(ended_before_ms=before_ms)
        removed = opened.removal.removable(gone)
        unnamed = [root for root in unnamed_roots(opened.ledger.targets(gone), targets) if is_there(root)]
        kept = sum(opened.reader.totals().sessions.values()) - len(removed.sessions)
        if not (dry_run or yes):
            _ask(older_than, len(removed.sessions), kept, is_short=age < DAY_MS)
        if not dry_run:
            removed = opened.removal.remove(gone)
        known = {session_id: start_ms for session_id, start_ms, _ in removed.sessions}

        def is_gone(_: str, session_id: str) -> bool:
            return session_id in known or bool(opened.reader.removed_of([session_id]))

        until = date_part(before_ms)
        cleared: list[Cleared] = []
        try:
            for target in targets:
                cleared += [clear(target, is_gone, known=known.items(), until=until, dry_run=dry_run)]
            if not dry_run:
                opened.removal.scrub()
        finally:  # What is removed is told, also when something did not answer then.
            if as_json:
                told = {"dry_run": dry_run, "ended_before": format_time(before_ms), "store": removal_fields(removed)}
                rest = {"kept": kept, "not_named": unnamed, "targets": [one._asdict() for one in cleared]}
                print_json({**told, **rest})
            else:
                print(f"sessions that ended before {format_time(before_ms)[:19]}Z:")
                tell(opened.name, removed, cleared, dry_run=dry_run)
                print(f"kept in {opened.name}: {counted(kept, 'session')}")
                for root in unnamed:
                    print(f"kept below {root}: what was exported there, since no --to names it")


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
