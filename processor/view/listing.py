"""Reads many sessions: those of the store that the tails leave as they are, and those that they change."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from heapq import merge
from itertools import islice
from typing import Final, NamedTuple

from processor.core.ids import owner_of, started_ms
from processor.errors import StoreUnavailable
from processor.sessions.filtering import passes
from processor.sessions.model import SessionRow
from processor.sessions.ports import SESSIONS, TAGGED, Cursor, Found, SessionFilter, Source
from processor.view.position import Position
from processor.view.reading import AGAIN_MAX, Named, Reading

_STORED: Final = 1_000  # sessions that are asked of the store at a time, at most
_FOLDED: Final = 100  # sessions to which the tails are added at a time
_CHANGED_MAX: Final = 1_000  # sessions; more than these are not told one by one
_END: Final = 1 << 62  # an offset behind all
_SEARCHED: Final = 2_000  # records of a partition's tail whose texts are searched, the latest ones


class Page(NamedTuple):
    """Some of the sessions that pass a filter, newest start first."""

    rows: Sequence[SessionRow]
    next: Cursor | None  # where the next page begins; None on the last one
    positions: Sequence[Position]  # one of each partition
    complete_since_ms: int | None  # sessions that started before then may be missing or incomplete; None: none is


class Listing:
    """Lists, counts and searches sessions; any thread may use it."""

    def __init__(self, reading: Reading) -> None:
        """Read by `reading`."""
        self._reading = reading

    def page(
        self, wanted: SessionFilter, *, limit: int, after: Cursor | None, skip: int
    ) -> tuple[Sequence[SessionRow], Cursor | None, int | None]:
        """Return the rows of a page, its `next` and its `complete_since_ms`.

        Without an answer of the store they are what the tails know.
        """
        try:
            return self._page(wanted, limit=limit, after=after, skip=skip)
        except StoreUnavailable:
            alone = Listing(self._reading.without_store())
            return alone._page(wanted, limit=limit, after=after, skip=skip)

    def _page(
        self, wanted: SessionFilter, *, limit: int, after: Cursor | None, skip: int
    ) -> tuple[Sequence[SessionRow], Cursor | None, int | None]:
        end = skip + limit
        for _ in range(AGAIN_MAX):
            offsets = self._reading.offsets()
            newest = self._newest(self._concerned(wanted, offsets), wanted, after, stored=min(end + 1, _STORED))
            rows = list(islice(newest, end + 1))
            lacking = self._reading.lacking(offsets)
            if not lacking:
                break
        last = cursor_of(rows[end - 1]) if len(rows) > end else None
        return rows[skip:end], last, self._reading.complete_since_ms(lacking)

    def is_whole(self) -> bool:
        """Whether no record between store and tails is missing."""
        return not self._reading.lacking(self._reading.offsets())

    def count(self, wanted: SessionFilter) -> int:
        """Return how many sessions pass."""
        for _ in range(AGAIN_MAX):
            offsets = self._reading.offsets()
            named = self._concerned(wanted, offsets)
            count, snapshot = self._reading.counted(wanted, list(named))
            count -= sum(passes(row, wanted) for row in snapshot.rows)
            count += sum(passes(each.row, wanted) for each in self._reading.folded(named, snapshot))
            if not self._reading.lacking(offsets):
                break
        return count

    def all(self, wanted: SessionFilter) -> Iterator[SessionRow]:
        """Yield all sessions that pass, newest start first."""
        return self._newest(self._concerned(wanted, self._reading.offsets()), wanted, None, stored=_STORED)

    def changed(self, wanted: SessionFilter, ends: Mapping[int, int]) -> Sequence[SessionRow] | None:
        """Return the sessions that pass and of which events at `ends` or later tell; see `View.changed`."""
        offsets = {
            (topic, number): end for number, end in ends.items() for topic, end in ((SESSIONS, end), (TAGGED, _END))
        }
        if any(topic == SESSIONS for topic, _ in self._reading.lacking(offsets)):
            return None
        named = self._concerned(wanted, offsets)
        if len(named) > _CHANGED_MAX:
            return None
        folded = self._reading.folded(named, self._reading.held(list(named)))
        return [each.row for each in folded if passes(each.row, wanted)]

    def search(
        self, words: str, wanted: SessionFilter, *, limit: int, expressed_by: str | None = None
    ) -> Sequence[Found]:
        """Return texts that hold all of `words`, of sessions that pass, latest first."""
        offsets = self._reading.offsets()
        whose = SessionFilter(owner=wanted.owner, owners=wanted.owners)
        named = {} if wanted == whose else self._concerned(wanted, offsets)
        stored = self._reading.searched(words, wanted, limit, expressed_by)
        found = dict.fromkeys(text for text in stored if text.session_id not in named)
        tails = self._reading.texts(words, offsets, lambda key: concerns(key, wanted), _SEARCHED)
        some = [text for text in tails if expressed_by in (None, text.expressed_by)]
        if named:  # Whether these pass, the store does not know.
            stored = self._reading.searched(words, whose, _SEARCHED, expressed_by)
            some += [text for text in stored if text.session_id in named]
        passing = self._passing({text.session_id: text.user_id for text in some if text.session_id}, wanted)
        for text in some:
            if text.session_id in passing or (text.session_id is None and wanted == whose):
                found[text] = None
        return sorted(found, key=lambda text: text.at_ms, reverse=True)[:limit]

    def _passing(self, users: Mapping[str, str], wanted: SessionFilter) -> Collection[str]:
        """Return which of some sessions pass; `users` has whose they are."""
        named = {session_id: [user_id.encode()] for session_id, user_id in users.items()}
        folded = self._reading.folded(named, self._reading.held(list(named)))
        return {each.row.session_id for each in folded if passes(each.row, wanted)}

    def _concerned(self, wanted: SessionFilter, offsets: Mapping[Source, int]) -> Named:
        """Return the sessions that the tails may have changed, as far as whose they are tells that they may pass."""
        concerned = {
            session_id: [key for key in keys if concerns(key, wanted)]
            for session_id, keys in self._reading.named(offsets).items()
            if wanted.session_id in (None, session_id)
        }
        return {session_id: keys for session_id, keys in concerned.items() if keys}

    def _newest(
        self, named: Named, wanted: SessionFilter, after: Cursor | None, *, stored: int
    ) -> Iterator[SessionRow]:
        """Yield the sessions that pass, newest start first; `stored` at a time are asked of the store."""
        unchanged = self._unchanged(named, wanted, after, stored)
        return merge(unchanged, self._changed(named, wanted, after), key=cursor_of, reverse=True)

    def _unchanged(self, named: Named, wanted: SessionFilter, after: Cursor | None, count: int) -> Iterator[SessionRow]:
        """Yield those of the store that pass and are not `named`."""
        while True:
            rows = self._reading.stored(wanted, limit=count, after=after)
            yield from (row for row in rows if row.session_id not in named)
            if len(rows) < count:
                return
            after = cursor_of(rows[-1])

    def _changed(self, named: Named, wanted: SessionFilter, after: Cursor | None) -> Iterator[SessionRow]:
        """Yield those of `named` that pass; no more are read than are asked for, as the ids tell when they began."""
        since_ms = wanted.since_ms or 0
        ids = [name for name in named if _bound_ms(name) >= since_ms]
        ids.sort(key=_bound_ms, reverse=True)
        rows: list[SessionRow] = []
        for start in range(0, len(ids), _FOLDED):
            some = ids[start : start + _FOLDED]
            bound_ms = _bound_ms(some[0])  # None of these, or of those behind them, began later.
            yield from (row for row in rows if row.start_ms > bound_ms)
            rows = [row for row in rows if row.start_ms <= bound_ms]
            snapshot = self._reading.held(some)
            for each in self._reading.folded({name: named[name] for name in some}, snapshot):
                if passes(each.row, wanted) and (after is None or cursor_of(each.row) < after):
                    rows.append(each.row)
            rows.sort(key=cursor_of, reverse=True)
        yield from rows


def cursor_of(row: SessionRow) -> Cursor:
    """Return the place of a session in a list that has the newest start first."""
    return row.start_ms, row.session_id


def concerns(key: bytes, wanted: SessionFilter) -> bool:
    """Whether records of a user may be of sessions that pass, as far as the user's id tells."""
    owner = owner_of(key.decode(errors="replace"))
    return wanted.owner in (None, owner) and (wanted.owners is None or owner in wanted.owners)


def _bound_ms(session_id: str) -> float:
    """Return the latest time at which a session of this id can have begun; an id of the short format does not tell."""
    started = started_ms(session_id)
    return float("inf") if started is None else started + 999
