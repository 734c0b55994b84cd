"""Takes a person out of an outbox that no process uses; for one that is used, says what stands in the way."""

import sqlite3
from contextlib import closing
from pathlib import Path

from processor.core.ids import owner_of
from processor.errors import UsageError
from processor.outbox.file import Lock
from processor.outbox.queue import Queue
from processor.upstream.words.counting import counted


def kept_of(path: Path, owner: str) -> int:
    """Return how many records of a person are in the outbox at `path`; another process may use it meanwhile.

    Raises:
        UsageError: it cannot be read.
    """
    if not path.exists():
        return 0
    users = "SELECT user, count(*) FROM (SELECT user FROM waiting UNION ALL SELECT user FROM refused) GROUP BY user"
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as database:
            return sum(count for user, count in database.execute(users) if owner_of(user.decode()) == owner)
    except (sqlite3.Error, UnicodeDecodeError) as error:
        remedy = "see what it is; if it is damaged, it is yours to remove"
        raise UsageError(f"the outbox at {path} cannot be read ({error})", remedy=remedy) from error


def in_the_way(path: Path, kept: int) -> list[UsageError]:
    """Return why the `kept` records of a person cannot be taken out of the outbox at `path` now; empty if they can."""
    if not kept:
        return []
    try:
        Lock(path).close()
    except UsageError:
        what = f"the outbox at {path}, which another process uses, holds {counted(kept, 'record')} of the person"
        return [UsageError(what, remedy="let it send them, or stop it; then erase again")]
    return []


def erase_from(path: Path, owner: str) -> int:
    """Take a person's records, refused ones too, out of the outbox at `path`, which is there; return how many.

    Raises:
        UsageError: another process uses it.
    """
    with closing(Queue(path)) as queue:
        return queue.erase(owner)
