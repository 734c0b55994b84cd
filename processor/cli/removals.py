"""What was removed from a store and from roots, in words."""

from collections.abc import Iterable
from typing import Final

from processor.cli.text import plain
from processor.removal.clearing import Cleared
from processor.sessions.jsonforms import removal_fields
from processor.sessions.ports import Removed

OTHERS_SHOWN: Final = 20  # of what nobody can tell, of each root


def tell(store: str, removed: Removed, cleared: Iterable[Cleared], *, dry_run: bool) -> None:
    """Print what was removed from a store and from roots, or would be."""
    told = removal_fields(removed)
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
