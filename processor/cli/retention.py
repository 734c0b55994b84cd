"""`a3cp retention`: lets sessions go that ended long ago."""

import re
import sys
import time
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from processor.cli.settings import Json, Store, stored
from processor.cli.terminal import plain, print_json

if TYPE_CHECKING:
    from processor.removal.clearing import Cleared
    from processor.sessions.ports import Removed
    from processor.targets.target import Target

_DAY_MS: Final = 86_400_000
_UNITS_MS: Final = {"min": 60_000, "h": 3_600_000, "d": _DAY_MS, "w": 7 * _DAY_MS}
_AGE: Final = re.compile(r"([1-9]\d{0,6})([a-z]+)", re.ASCII).fullmatch
_AGES: Final = "give a number and min, h, d or w, such as 90d"
_MONTHS: Final = "write min for minutes, or count months in days: 6 months are 180d"
OTHERS_SHOWN: Final = 20  # of what nobody can tell, of each root

Roots = Annotated[
    list[str] | None,
    typer.Option("--to", metavar="ROOT", help="Also below this root of bundles or training data; may be repeated."),
]


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
    """Remove sessions that ended longer ago than this from the store, and from where they were exported to."""
    from processor.codec.isotime import format_time
    from processor.removal.clearing import clear
    from processor.sessions.ports import Gone
    from processor.targets.paths import date_part

    age = age_ms(older_than)
    before_ms = time.time_ns() // 1_000_000 - age
    targets = targets_of(to)
    with closing(stored(store)) as opened:
        gone = Gone(ended_before_ms=before_ms)
        removed = opened.removable(gone)
        unnamed = [root for root in unnamed_roots(opened.targets(gone), targets) if is_there(root)]
        kept = sum(opened.totals().sessions.values()) - len(removed.sessions)
        if not (dry_run or yes):
            _ask(older_than, len(removed.sessions), kept, is_short=age < _DAY_MS)
        if not dry_run:
            removed = opened.remove(gone)
        known = {session_id: start_ms for session_id, start_ms, _ in removed.sessions}

        def is_gone(_: str, session_id: str) -> bool:
            return session_id in known or bool(opened.removed_of([session_id]))

        until = date_part(before_ms)
        cleared: list[Cleared] = []
        try:
            for target in targets:
                cleared += [clear(target, is_gone, known=known.items(), until=until, dry_run=dry_run)]
            if not dry_run:
                opened.scrub()
        finally:  # What is removed is told, also when something did not answer then.
            if as_json:
                told = {"dry_run": dry_run, "ended_before": format_time(before_ms), "store": fields_of(removed)}
                rest = {"kept": kept, "not_named": unnamed, "targets": [one._asdict() for one in cleared]}
                print_json({**told, **rest})
            else:
                print(f"sessions that ended before {format_time(before_ms)[:19]}Z:")
                tell(opened.name, removed, cleared, dry_run=dry_run)
                print(f"kept in {opened.name}: {kept:,} session{'' if kept == 1 else 's'}")
                for root in unnamed:
                    print(f"kept below {root}: what was exported there, since no --to names it")


def _ask(age: str, going: int, kept: int, *, is_short: bool) -> None:
    """Ask whether so much is to go, where it is little time, or all.

    Raises:
        UsageError: nobody can be asked.
        Exit: the answer is no.
    """
    from processor.errors import UsageError

    if not is_short and (kept or not going):
        return
    why = " and ".join([f"{age} is less than a day"] * is_short + [f"all {going:,} sessions would go"] * (not kept))
    if not sys.stdin.isatty():
        raise UsageError(f"nothing is removed: {why}", remedy="add --yes if that is meant")
    if not typer.confirm(f"{why}; {kept:,} are kept. Remove {going:,}?", err=True):
        print("nothing is removed", file=sys.stderr)
        raise typer.Exit(1)


def unnamed_roots(known: Iterable[str], targets: "Iterable[Target]") -> list[str]:
    """Return the roots among the targets that a store knows (their names without the formats), but for `targets`."""
    named = {name for target in targets for name in (target.name, str(Path(target.root).resolve()))}
    roots = {name.rpartition(" ")[0] for name in known}
    return sorted(root for root in roots if named.isdisjoint((root, str(Path(root).resolve()))))


def is_there(root: str) -> bool:
    """Return whether the root of this name is there; of one that is not on this machine nobody can tell: it may be."""
    return "://" in root or Path(root).exists()


def age_ms(text: str) -> int:
    """Return the length of `text`, such as 90d, in ms.

    Raises:
        UsageError: it is none.
    """
    from processor.errors import UsageError

    match = _AGE(text)
    if match is not None and match[2] in ("m", "mo"):
        raise UsageError(f"--older-than {text} may be minutes or months", remedy=_MONTHS)
    length_ms = 0 if match is None else int(match[1]) * _UNITS_MS.get(match[2], 0)
    if not 0 < length_ms <= time.time_ns() // 1_000_000:
        raise UsageError(f"--older-than {text!r} is no age", remedy=_AGES)
    return length_ms


def targets_of(roots: list[str] | None) -> "list[Target]":
    """Return the places that `--to` names.

    Raises:
        UsageError: one is not there: its name may be misspelt, and what was to go would stay.
        TargetUnavailable: nobody can tell.
    """
    from processor.errors import UsageError
    from processor.targets.target import Target

    targets = [Target(root) for root in roots or []]
    for target in targets:
        with target.told("read", "give the right to, then run it again"):
            is_there = target.files.exists(target.root)
        if not is_there:
            raise UsageError(f"there is no {target.root}", remedy="name a root that a3cp export wrote to")
    return targets


def fields_of(removed: "Removed") -> dict[str, Any]:
    """Return what was removed from a store as `--json` prints it."""
    from processor.codec.isotime import format_time

    starts = [start_ms for _, start_ms, _ in removed.sessions]
    return {
        **removed._asdict(),
        "sessions": len(starts),
        "first_start": format_time(starts[0]) if starts else None,
        "last_start": format_time(starts[-1]) if starts else None,
    }


def tell(store: str, removed: "Removed", cleared: "list[Cleared]", *, dry_run: bool) -> None:
    """Print what was removed from a store and from roots, or would be."""
    told = fields_of(removed)
    verb = "would be removed" if dry_run else "removed"
    dates = f", started {told['first_start'][:10]} to {told['last_start'][:10]}" if told["sessions"] else ""
    print(f"{verb} from {store}: {told['sessions']:,} sessions{dates}")
    print(
        f"  with {removed.messages:,} messages ({removed.without_session:,} of them in no session), "
        f"{removed.events:,} session events, {removed.texts:,} texts for the search"
    )
    for one in cleared:
        days = f" on {len(one.dates)} dates, {one.dates[0]} to {one.dates[-1]}" if one.dates else ""
        print(f"{verb} from {one.root}: {one.bundles:,} bundles, {one.rows:,} rows of training data{days}")
        if one.leftovers:
            print(f"  and {one.leftovers:,} folders and files that runs which were killed had left there")
        for path in one.unreadable:
            print(f"  cannot be read, so nobody can tell whose it is: {plain(path)}")
        for other in one.others[:OTHERS_SHOWN]:
            print(f"  not looked into: {plain(other)}")
        if (hidden := len(one.others) - OTHERS_SHOWN) > 0:
            print(f"  and {hidden:,} more; --json has them all")
