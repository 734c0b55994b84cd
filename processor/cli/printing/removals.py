"""What was removed from a store and from roots, in words."""

from collections.abc import Iterable
from typing import Final

from processor.cli.printing.text import plain
from processor.removal.clearing import Cleared
from processor.sessions.forms.jsonforms import removal_fields
from processor.sessions.ports import Removed
from processor.upstream.words.counting import counted

OTHERS_SHOWN: Final = 20  # of what nobody can tell, of each root


def tell(store: str, removed: Removed, cleared: Iterable[Cleared], *, dry_run: bool) -> None:
    """Print what was removed from a store and from roots, or would be."""
    told = removal_fields(removed)
    verb = "would be removed" if dry_run else "removed"
    dates = f", started {told['first_start'][:10]} to {told['last_start'][:10]}" if told["sessions"] else ""
    print(f"{verb} from {store}: {counted(told['sessions'], 'session')}{dates}")
    print(
        f"  with {counted(removed.messages, 'message')} ({removed.without_session:,} of them in no session), "
        f"{counted(removed.events, 'session event')}, {counted(removed.texts, 'text')} for the search"
    )
    for one in cleared:
        days = f" on {counted(len(one.dates), 'date')}, {one.dates[0]} to {one.dates[-1]}" if one.dates else ""
        print(
            f"{verb} from {one.root}: {counted(one.bundles, 'bundle')}, "
            f"{counted(one.rows, 'row')} of training data{days}"
        )
        if one.leftovers:
            print(
                f"  and {counted(one.leftovers, 'folder or file', 'folders and files')} that runs "
                "which were killed had left there"
            )
        for path in one.unreadable:
            print(f"  cannot be read, so nobody can tell whose it is: {plain(path)}")
        for other in one.others[:OTHERS_SHOWN]:
            print(f"  not looked into: {plain(other)}")
        if (hidden := len(one.others) - OTHERS_SHOWN) > 0:
            print(f"  and {hidden:,} more; --json has them all")
