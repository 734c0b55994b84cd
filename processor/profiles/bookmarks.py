"""Moments of sessions that somebody has marked. They are only ever added, and go with their person."""

from collections.abc import Callable, Collection, Sequence
from secrets import token_hex
from typing import Any, Final, NamedTuple

from sqlalchemy import ColumnElement, func, insert, select

from processor.profiles.tables import BOOKMARKS
from processor.store.database import Database


class Bookmark(NamedTuple):
    """A moment that was marked."""

    session_id: str
    user_id: str  # the person whose session it is
    place: str  # `seq` of a message or `event` and its number: "seq=12", "event=3"
    text: str  # what whoever marked it says of it; "" for nothing
    performer_id: str | None  # who that was
    created_ms: int


class Sealing(NamedTuple):
    """How texts are kept: as they are, or encrypted."""

    close: Callable[[Any], bytes]
    open: Callable[[bytes], Any]


_COLUMNS: Final = tuple(BOOKMARKS.c[name] for name in Bookmark._fields)


class Bookmarks:
    """The bookmarks of all sessions; may be used by several threads. Each method raises as `Profiles.profile`."""

    def __init__(self, database: Database, make: Callable[[], None], sealing: Sealing) -> None:
        """Keep them in `database`; `make` makes its tables, `sealing` is how their texts are kept."""
        self._database = database
        self._make: Final = make
        self._sealing = sealing

    def add(self, bookmark: Bookmark) -> None:
        """Keep a new one; if the same person has said the same of the same place before, nothing changes."""
        if any(
            each._replace(created_ms=bookmark.created_ms) == bookmark for each in self.of_session(bookmark.session_id)
        ):
            return
        row = {**bookmark._asdict(), "bookmark_id": token_hex(8), "text": self._sealing.close(bookmark.text)}
        with self._database.writing() as connection:
            connection.execute(insert(BOOKMARKS).values(row))

    def of_session(self, session_id: str) -> Sequence[Bookmark]:
        """Return all bookmarks of a session, the oldest first."""
        return self._read(BOOKMARKS.c.session_id == session_id)

    def of_person(self, user_id: str) -> Sequence[Bookmark]:
        """Return all bookmarks of a person's sessions, the oldest first."""
        return self._read(BOOKMARKS.c.user_id == user_id)

    def sessions(self, owners: Collection[str] | None, limit: int) -> frozenset[str]:
        """Return the sessions with bookmarks, of these persons or of all: those that were marked last."""
        self._make()
        query = select(BOOKMARKS.c.session_id).group_by(BOOKMARKS.c.session_id)
        if owners is not None:
            query = query.where(BOOKMARKS.c.user_id.in_(owners))
        latest = query.order_by(func.max(BOOKMARKS.c.created_ms).desc()).limit(limit)
        return frozenset(row.session_id for row in self._database.page(latest))

    def _read(self, condition: ColumnElement[bool]) -> Sequence[Bookmark]:
        self._make()
        order = (BOOKMARKS.c.created_ms, BOOKMARKS.c.bookmark_id)
        found = self._database.page(select(*_COLUMNS).where(condition).order_by(*order))
        return [Bookmark(*row)._replace(text=self._sealing.open(row.text)) for row in found]
