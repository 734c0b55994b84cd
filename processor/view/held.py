"""One session as it is known now, or as it was known before."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from processor.codec.codec import Codec
from processor.codec.events import from_json
from processor.sessions.model import EventRow, MessageRow, SessionRow, SessionView
from processor.sessions.ports import SESSIONS, TAGGED
from processor.sessions.summary import SessionFold, new_session
from processor.upstream.facts import Facts, facts_of
from processor.view.position import AsOf, Position


@dataclass(frozen=True, slots=True)
class Held:
    """One session as it is known at `position`."""

    row: SessionRow
    position: Position
    is_whole: bool  # False when records between the store and the tail are missing, so that numbers may be too small
    messages_after: Callable[[int], Iterator[MessageRow]]  # those behind a `seq`, in order of `seq`
    events: Callable[[], Iterator[EventRow]]  # in the order of the log
    backend: Literal["kafka", "fallback"] = "kafka"  # fallback: it waits in an outbox, and this is foreseen

    def messages(self) -> Iterator[MessageRow]:
        """Yield all its messages in order of `seq`."""
        return self.messages_after(0)

    @property
    def view(self) -> SessionView:
        """The session as the writers of bundles take it."""
        return SessionView(self.row, self.messages, self.events)

    def as_of(self, moment: AsOf, codec: Codec) -> "Held | None":
        """Return the session as it was known at `moment`; None if nothing of it was.

        It is added up anew from its records, so it takes the longer the more it has. What the content of a withheld
        message showed is not known any more, and is left out of its sums.
        """

        def messages(after_seq: int) -> Iterator[MessageRow]:
            return (
                row
                for row in self.messages_after(after_seq)
                if moment.holds(TAGGED, row.partition, row.offset, row.append_ms)
            )

        def events() -> Iterator[EventRow]:
            return (row for row in self.events() if moment.holds(SESSIONS, row.partition, row.offset, row.append_ms))

        row = self.row
        fold = SessionFold(new_session(row.session_id, row.user_id, row.partition, row.start_ms))
        for message in messages(0):
            fold.add_message(message, facts_in(message, codec))
        for event in events():
            fold.add_event(from_json(event.value))
        then = fold.row()
        if not then.changes:
            return None
        return Held(then, moment.position or self.position, self.is_whole, messages, events)


def facts_in(row: MessageRow, codec: Codec) -> Facts:
    """Return what a message shows; nothing of one that is withheld."""
    if row.value is None:
        return Facts(row.expressed_by, 0, None, None, None, False, False, False, None, ())
    return facts_of(codec.decode_tagged(row.value).fields)
