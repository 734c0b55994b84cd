"""Which sessions were shared by a link: kept here, so that every replica sees at once when one is taken back."""

from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

import msgspec
from sqlalchemy import Select, delete, insert, or_, select, update

from processor.core.model import DAY_MS
from processor.profiles.tables import SHARES
from processor.store.database import Database

KEPT_MS: Final = 30 * DAY_MS
"""For how long a link that expired or was taken back stays in lists. Then nothing of it is kept."""


class Share(NamedTuple):
    """A link to a session as it was known at one moment."""

    share_id: str
    session_id: str
    user_id: str  # the person whose session it is
    position: str  # what came later is not shown
    at_ms: int | None  # nor what arrived after this time
    digest: str | None  # over the messages at that moment; None if the first ones were missing
    redact: Sequence[str]  # names of fields that are not shown
    created_ms: int
    expires_ms: int
    revoked_ms: int | None = None  # when it was taken back

    def is_valid(self, now_ms: int) -> bool:
        """Whether the link can be read."""
        return self.revoked_ms is None and now_ms < self.expires_ms


_COLUMNS: Final = tuple(SHARES.c[name] for name in Share._fields)


class Shares:
    """The shares of all sessions; may be used by several threads. Each method raises as `Profiles.profile`."""

    def __init__(self, database: Database, make: Callable[[], None]) -> None:
        """Keep them in `database`; `make` makes its tables."""
        self._database = database
        self._make: Final = make

    def add(self, share: Share) -> None:
        """Keep a new share."""
        self._make()
        row = {**share._asdict(), "redact": msgspec.json.encode(share.redact).decode()}
        with self._database.writing() as connection:
            connection.execute(insert(SHARES).values(row))

    def get(self, share_id: str) -> Share | None:
        """Return a share; None if there is none, or its person was erased."""
        return next(iter(self._read(select(*_COLUMNS).where(SHARES.c.share_id == share_id))), None)

    def of_session(self, session_id: str) -> Sequence[Share]:
        """Return all shares of a session, the newest first."""
        order = (SHARES.c.created_ms.desc(), SHARES.c.share_id)
        return self._read(select(*_COLUMNS).where(SHARES.c.session_id == session_id).order_by(*order))

    def of_person(self, user_id: str) -> Sequence[Share]:
        """Return all shares of a person's sessions, the newest first."""
        order = (SHARES.c.created_ms.desc(), SHARES.c.share_id)
        return self._read(select(*_COLUMNS).where(SHARES.c.user_id == user_id).order_by(*order))

    def revoke(self, share_id: str, now_ms: int) -> None:
        """Take a share back; one that was taken back before stays as it is."""
        self._make()
        one = update(SHARES).where(SHARES.c.share_id == share_id, SHARES.c.revoked_ms.is_(None))
        with self._database.writing() as connection:
            connection.execute(one.values(revoked_ms=now_ms))

    def forget(self, now_ms: int) -> int:
        """Remove what ended longer ago than `KEPT_MS`; return how many."""
        self._make()
        before_ms = now_ms - KEPT_MS
        ended = or_(SHARES.c.expires_ms < before_ms, SHARES.c.revoked_ms < before_ms)
        with self._database.writing() as connection:
            return connection.execute(delete(SHARES).where(ended)).rowcount

    def _read(self, query: Select[Any]) -> list[Share]:
        self._make()
        found = map(Share._make, self._database.page(query))
        return [share._replace(redact=msgspec.json.decode(str(share.redact))) for share in found]
