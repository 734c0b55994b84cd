"""Output records in, rows out: one batch of the two topics becomes one transaction of the store.

What a batch makes of a session depends on the session's own messages and its own events, each in the order of the log,
and on nothing else: not on where batches begin, nor on which of the two topics was read first.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from processor.exporter.decoding import Decoded, DecodedEvent, DecodedMessage
from processor.exporter.model import EventRow, MessageRow, TextRow, UnreadableRow
from processor.exporter.ports import Batch, OutputRecord, Source, Store
from processor.exporter.summary import SessionFold, new_session

FOLDS_MAX: Final = 32_768  # sessions whose sums stay in memory between batches, 2 to 4 KiB each


class Applied(NamedTuple):
    """What one batch held."""

    messages: int
    events: int
    unreadable: int
    sessions: int


class Materializer:
    """Writes to the store; used by one thread, for partitions that nobody else writes meanwhile."""

    def __init__(self, store: Store, decode: Callable[[Sequence[OutputRecord]], Iterable[Decoded]]) -> None:
        """`decode` returns what each record says, in their order; see `exporter.decoding`."""
        self._store = store
        self._decode = decode
        self._folds: OrderedDict[str, SessionFold] = OrderedDict()

    def forget(self) -> None:
        """Forget what is known of the store: another exporter may have written, or a batch was not written."""
        self._folds.clear()

    def apply(self, records: Sequence[OutputRecord], offsets: Mapping[Source, tuple[int | None, int]]) -> Applied:
        """Write what `records` tell, and `offsets` as in `Batch`, in one transaction.

        Raises:
            StoreMoved, StoreUnavailable: nothing was written, or it is not known; `forget` is done already.
            RegistryUnavailable: as `Codec.decode` raises it.
        """
        try:
            return self._apply(records, offsets)
        except BaseException:
            self.forget()
            raise

    def _apply(self, records: Sequence[OutputRecord], offsets: Mapping[Source, tuple[int | None, int]]) -> Applied:
        messages: list[MessageRow] = []
        events: list[EventRow] = []
        texts: list[TextRow] = []
        unreadable: list[UnreadableRow] = []
        taken: list[DecodedMessage] = []
        boundaries: list[DecodedEvent] = []
        for decoded in self._decode(records):
            match decoded:
                case DecodedMessage():
                    messages.append(decoded.row)
                    texts += decoded.texts
                    if decoded.row.session_id is not None:
                        taken.append(decoded)
                case DecodedEvent():
                    events.append(decoded.row)
                    texts += decoded.texts
                    if decoded.row.session_id is not None:
                        boundaries.append(decoded)
                case UnreadableRow():
                    unreadable.append(decoded)
        told, counted = self._fold(taken, boundaries)
        folds = self._folds
        self._store.write(
            Batch(
                messages,
                events,
                texts,
                unreadable,
                [folds[name].row() for name in told],
                [folds[name].row() for name in counted],
                offsets,
            )
        )
        while len(folds) > FOLDS_MAX:
            folds.popitem(last=False)
        return Applied(len(messages), len(events), len(unreadable), len(told) + len(counted))

    def _fold(
        self, taken: Sequence[DecodedMessage], boundaries: Sequence[DecodedEvent]
    ) -> tuple[Sequence[str], Sequence[str]]:
        """Add messages and events to their sessions; return the ids of those that changed.

        First those that are new or of which an event tells, then those that only gained messages.
        """
        told: dict[str, None] = {}
        changed: dict[str, None] = {}
        for message in taken:
            assert message.row.session_id is not None
            changed[message.row.session_id] = None
        for event in boundaries:
            assert event.row.session_id is not None
            changed[event.row.session_id] = told[event.row.session_id] = None
        folds = self._folds
        for name, held in self._store.sessions_of([name for name in changed if name not in folds]).items():
            folds[name] = SessionFold(held)
        for message in taken:
            row = message.row
            assert row.session_id is not None
            fold = folds.get(row.session_id)
            if fold is None:
                new = new_session(row.session_id, row.user_id, row.partition, message.start_ms)
                fold = folds[row.session_id] = SessionFold(new)
                told[row.session_id] = None
            fold.add_message(row, message.facts)
        for view, event_row, _ in boundaries:
            assert event_row.session_id is not None
            fold = folds.get(event_row.session_id)
            if fold is None:
                start_ms = view.timestamp if view.start_time is None else view.start_time
                new = new_session(event_row.session_id, event_row.user_id, event_row.partition, start_ms)
                fold = folds[event_row.session_id] = SessionFold(new)
            fold.add_event(view)
        for name in changed:
            folds.move_to_end(name)
        return list(told), [name for name in changed if name not in told]
