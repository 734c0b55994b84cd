"""Output records in, rows out: one batch of the two topics becomes one transaction of the store.

What a batch makes of a session depends on the session's own messages and its own events, each in the order of the log,
and on nothing else: not on where batches begin, nor on which of the two topics was read first.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple, TypeAlias

from processor.codec.events import from_json
from processor.sessions.model import SessionRow, UnreadableRow
from processor.sessions.ports import SESSIONS, TAGGED, Rows, SessionWriter, Source, Transaction
from processor.sessions.projection.decoding import DecodedEvent, DecodedMessage, Part
from processor.sessions.projection.feed import OutputRecord
from processor.sessions.summary import SessionFold, in_order, new_session

FOLDS_MAX: Final = 32_768  # sessions whose sums stay in memory between batches, 2 to 4 KiB each

Decode: TypeAlias = Callable[[Sequence[OutputRecord]], Iterable[Part]]
"""Returns what records say, some at a time; see `decoding.py`."""


class Applied(NamedTuple):
    """What one batch held."""

    messages: int
    events: int
    unreadable: int
    sessions: int
    aside: Sequence[UnreadableRow] = ()  # the unreadable ones
    told: Sequence[str] = ()  # ids of sessions that are new, or that an event tells of


class Materializer:
    """Writes to the store; used by one thread, for partitions that nobody else writes meanwhile."""

    def __init__(self, store: SessionWriter, decode: Decode) -> None:
        """Write to `store` what `decode` returns."""
        self._store = store
        self._decode = decode
        self._folds: OrderedDict[str, SessionFold] = OrderedDict()
        self._last_removal: str | None = None  # when the folds were made

    def forget(self) -> None:
        """Forget what is known of the store: another exporter may have written, or a batch was not written."""
        self._folds.clear()

    def read(self, record: OutputRecord) -> None:
        """Read `record` and write nothing. Raises `RecordWaits` as `apply` does."""
        for _ in self._decode([record]):
            pass

    def apply(self, records: Sequence[OutputRecord], offsets: Mapping[Source, tuple[int | None, int]]) -> Applied:
        """Write what `records` tell, and `offsets` as in `SessionWriter.transaction`, in one transaction.

        Raises:
            StoreMoved, StoreUnavailable: nothing was written, or it is not known; `forget` is done already.
            RecordWaits: the schema registry does not answer for one of `records`; nothing was written.
        """
        try:
            with self._store.transaction(offsets) as transaction:
                applied = self._write(transaction, records)
        except BaseException:
            self.forget()
            raise
        while len(self._folds) > FOLDS_MAX:
            self._folds.popitem(last=False)
        return applied

    def apply_again(self, records: Sequence[OutputRecord]) -> Applied:
        """Write those of `records`, which are set aside, that can be read now, and add up their sessions anew.

        Raises:
            StoreMoved, StoreUnavailable: nothing was written, or it is not known.
            RegistryUnavailable: as `Codec.decode` raises it; nothing was written.
        """
        rows = [(part, _rows_of(part)) for part in self._decode(records)]
        aside = [row for _, each in rows for row in each.unreadable]
        messages = [(TAGGED, row.partition, row.offset) for _, each in rows for row in each.messages]
        events = [(SESSIONS, row.partition, row.offset) for _, each in rows for row in each.events]
        if not messages and not events:
            return Applied(0, 0, len(aside), 0, aside)
        self.forget()
        changed: dict[str, bool] = {}
        with self._store.correction([*messages, *events]) as transaction:
            for part, each in rows:
                transaction.add(each._replace(unreadable=[]))  # Those are set aside already.
                self._fold(transaction, part, changed, set())
            sessions = [self._in_order(transaction, name) for name in changed]
            transaction.put(sessions, [], self._known(changed))
        self.forget()
        return Applied(len(messages), len(events), len(aside), len(changed), aside, _told_of(changed))

    def _known(self, names: Iterable[str]) -> Mapping[str, int]:
        """Return how many changes of sessions the store holds, as far as this exporter knows."""
        return {name: self._folds[name].stored_changes for name in names}

    def _in_order(self, transaction: Transaction, name: str) -> SessionRow:
        events = map(from_json, transaction.event_values(name))
        return in_order(self._folds[name].row(), transaction.hashes(name), events)

    def _write(self, transaction: Transaction, records: Sequence[OutputRecord]) -> Applied:
        if transaction.last_removal != self._last_removal:  # Else what an erased person said would be written again.
            self.forget()
            self._last_removal = transaction.last_removal
        changed: dict[str, bool] = {}  # sessions, and whether they are new, have moved, or an event tells of them
        behind: set[str] = set()
        messages = events = 0
        aside: list[UnreadableRow] = []
        for part in self._decode(records):
            rows = _rows_of(part)
            transaction.add(rows)
            self._fold(transaction, part, changed, behind)
            messages += len(rows.messages)
            events += len(rows.events)
            aside += rows.unreadable
        folds = self._folds
        known = self._known(changed)
        for name in behind:
            folds[name] = SessionFold(self._in_order(transaction, name))
        transaction.put(
            [folds[name].row() for name, is_told in changed.items() if is_told],
            [folds[name].row() for name, is_told in changed.items() if not is_told],
            known,
        )
        for name in changed:
            folds[name].note_stored()
            folds.move_to_end(name)
        return Applied(messages, events, len(aside), len(changed), aside, _told_of(changed))

    def _fold(self, transaction: Transaction, part: Part, changed: dict[str, bool], behind: set[str]) -> None:
        """Add messages and events to their sessions, and note in `changed` which those are.

        `behind` takes those that a record was added to whose user had left its partition: these have to be put in
        order. So it is in a new store, which may come to the user's next partition before the first one.
        """
        folds = self._folds
        unknown = {name for each in _told(part) if (name := each.row.session_id) is not None and name not in folds}
        for name, held in transaction.sessions_of(list(unknown)).items():
            folds[name] = SessionFold(held)

        def fold_of(each: DecodedMessage | DecodedEvent, name: str) -> SessionFold:
            fold = folds.get(name)
            if fold is None:
                new = new_session(name, each.row.user_id, each.row.partition, each.start_ms)
                fold = folds[name] = SessionFold(new)
                changed[name] = True
            if each.row.partition != fold.partition:
                changed[name] = True
                if fold.follow(each.row.partition):
                    behind.add(name)
            return fold

        for message in part.messages:
            name = message.row.session_id
            if name is not None:
                fold_of(message, name).add_message(message.row, message.facts)
                changed.setdefault(name, False)
        for event in part.events:
            name = event.row.session_id
            if name is not None:
                fold_of(event, name).add_event(event.view)
                changed[name] = True


def _told_of(changed: Mapping[str, bool]) -> list[str]:
    return [name for name, is_told in changed.items() if is_told]


def _told(part: Part) -> Iterator[DecodedMessage | DecodedEvent]:
    yield from part.messages
    yield from part.events


def _rows_of(part: Part) -> Rows:
    return Rows(
        [message.row for message in part.messages],
        [event.row for event in part.events],
        [text for each in _told(part) for text in each.texts],
        part.unreadable,
    )
