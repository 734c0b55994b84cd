"""Reads sessions: what the store holds up to its offsets, then what the tails hold beyond them."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Final, TypeAlias

from processor.core.model import Rules
from processor.errors import StoreUnavailable
from processor.sessions.model import EventRow, MessageRow, SessionRow
from processor.sessions.ports import TAGGED, Cursor, Found, SessionFilter, SessionReader, Snapshot, Source
from processor.sessions.projection.decoding import DecodedEvent, DecodedMessage, Part, RecordWaits
from processor.sessions.projection.feed import OutputRecord
from processor.sessions.summary import SessionFold, new_session
from processor.view.memory import Memory
from processor.view.tail import output_of
from processor.view.words import has_all

Named: TypeAlias = Mapping[str, Collection[bytes]]
"""Ids of sessions, with the keys of the users whose records name them."""

AGAIN_MAX: Final = 5  # The store may move on, and the tails be trimmed, while one reads: seldom once.
_SKEW_MS: Final = Rules().skew_ms
_PLACE: Final = attrgetter("partition", "offset")
_NOTHING: Final = Snapshot({}, [])


@dataclass(frozen=True, slots=True)
class Folded:
    """A session: what the store holds of it, and what the tails add."""

    row: SessionRow
    stored: SessionRow | None
    added_messages: Sequence[DecodedMessage]
    added_events: Sequence[DecodedEvent]
    is_read: bool  # False when the schema registry does not answer for a record of it


class Reading:
    """Adds the tails to what the store holds; any thread may use it. What asks the store may raise StoreUnavailable."""

    def __init__(self, memory: Memory, store: SessionReader | None, partitions: int) -> None:
        """Read the tails of `memory`, and the store if there is one; the topics have so many `partitions`."""
        self._memory = memory
        self._store = store
        self._partitions = range(partitions)

    def session(self, session_id: str, keys: Collection[bytes]) -> tuple[Folded | None, bool]:
        """Return a session, and whether nothing of it is missing; `keys` are the users who may have it.

        Without an answer of the store it is what the tails know, if they know anything.
        """
        for _ in range(AGAIN_MAX):
            away, snapshot = None, _NOTHING
            try:
                snapshot = self.held([session_id])
            except StoreUnavailable as error:
                away = error
            users = {*keys, *(row.user_id.encode() for row in snapshot.rows)}
            found = next(self.folded({session_id: users}, snapshot), None)
            if found is None and away is not None:
                raise away
            # What is not found may have left the tail for the store since that was asked.
            if not self.lacking(snapshot.offsets, None if found is None else found.row.partition):
                return found, found is None or found.is_read
        return found, False

    def messages(self, folded: Folded, after_seq: int = 0) -> Iterator[MessageRow]:
        """Yield the session's messages behind `after_seq`, in order of `seq`."""
        if self._store is not None and folded.stored is not None:
            session_id, count = folded.row.session_id, folded.stored.held_count
            yield from self._store.messages(session_id, after_seq=after_seq, count_max=count)
        yield from (each.row for each in folded.added_messages if (each.row.seq or 0) > after_seq)

    def messages_behind(self, last: MessageRow, key: bytes, count_max: int) -> Sequence[MessageRow] | None:
        """Return the messages that came after `last` in its session, from the tail alone; None if it lacks some.

        None also if there are more than `count_max` records of the user, whose key is `key`.
        """
        tail, end = self._memory.tails[TAGGED], last.offset + 1
        with self._memory.lock:
            if tail.lacks(last.partition, end):
                return None
            records = tail.of(key, {last.partition: end})
        if len(records) > count_max:
            return None
        part, is_read = self._decoded(output_of(TAGGED, record) for record in records)
        return [each.row for each in part.messages if each.row.session_id == last.session_id] if is_read else None

    def events(self, folded: Folded) -> Iterator[EventRow]:
        """Yield the session's events in the order of the log."""
        if self._store is not None and folded.stored is not None:
            yield from self._store.events(folded.row.session_id, count_max=folded.stored.event_count)
        yield from (each.row for each in folded.added_events)

    def without_store(self) -> "Reading":
        """Return what reads the tails alone, while the store does not answer."""
        return Reading(self._memory, None, len(self._partitions))

    # --- the store, which may not be there

    def offsets(self) -> Mapping[Source, int]:
        """Return how far the store is."""
        return {} if self._store is None else self._store.offsets()

    def held(self, session_ids: Sequence[str]) -> Snapshot:
        """Return what the store holds of some sessions."""
        return _NOTHING if self._store is None else self._store.held(session_ids)

    def counted(self, wanted: SessionFilter, session_ids: Sequence[str]) -> tuple[int, Snapshot]:
        """Return how many sessions of the store pass, and what it holds of some."""
        return (0, _NOTHING) if self._store is None else self._store.counted(wanted, session_ids)

    def stored(self, wanted: SessionFilter, *, limit: int, after: Cursor | None) -> Sequence[SessionRow]:
        """Return sessions of the store that pass, newest start first."""
        return () if self._store is None else self._store.sessions(wanted, limit=limit, after=after)

    def searched(self, words: str, wanted: SessionFilter, limit: int, expressed_by: str | None) -> Sequence[Found]:
        """Return texts of the store with all of `words`, latest first."""
        return () if self._store is None else self._store.search(words, wanted, limit=limit, expressed_by=expressed_by)

    # --- the tails

    def named(self, offsets: Mapping[Source, int]) -> Named:
        """Return the sessions that records beyond the store's `offsets` name."""
        found: dict[str, set[bytes]] = {}
        with self._memory.lock:
            for topic, tail in self._memory.tails.items():
                for session_id, key in tail.named(_of_topic(offsets, topic)):
                    found.setdefault(session_id, set()).add(key)
        return found

    def naming(self, session_id: str) -> Collection[bytes]:
        """Return the keys of the users whose records in the tails name a session."""
        with self._memory.lock:
            return {key for tail in self._memory.tails.values() for key in tail.naming(session_id)}

    def lacking(self, offsets: Mapping[Source, int], partition: int | None = None) -> Collection[Source]:
        """Return where, in any partition or in one, records between the store's `offsets` and a tail are missing."""
        partitions = self._partitions if partition is None else (partition,)
        with self._memory.lock:
            return [
                (topic, number)
                for topic, tail in self._memory.tails.items()
                for number in partitions
                if tail.lacks(number, offsets.get((topic, number), 0))
            ]

    def complete_since_ms(self, lacking: Collection[Source]) -> int | None:
        """Return a time since which no session began of which records are missing; None if none is missing.

        A session may begin a little after its first record was written, as its sender's clock has it (rule R10).
        """
        with self._memory.lock:
            floors_ms = [self._memory.tails[topic].floor_ms(partition) for topic, partition in lacking]
        return max(floors_ms) + _SKEW_MS if floors_ms else None

    def texts(
        self, words: str, offsets: Mapping[Source, int], is_wanted: Callable[[bytes], bool], count_max: int
    ) -> Iterator[Found]:
        """Yield the texts with all of `words` in records of wanted users beyond the store's `offsets`.

        Args:
            words: at least one, else nothing is found.
            offsets: how far the store is; is_wanted: asked with a user's key.
            count_max: how many records of each partition are looked into, the latest ones.
        """
        for topic, tail in self._memory.tails.items():
            with self._memory.lock:
                records = tail.latest(_of_topic(offsets, topic), count_max)
            part, _ = self._decoded([output_of(topic, record) for record in records if is_wanted(record.key or b"")])
            for texts in (*(each.texts for each in part.messages), *(each.texts for each in part.events)):
                for text in texts:
                    if has_all(text.text, words):
                        yield Found._make(text[: len(Found._fields)])

    # --- both

    def folded(self, named: Named, snapshot: Snapshot) -> Iterator[Folded]:
        """Yield sessions as the tails beyond `snapshot` make them; none that is unknown, or removed for its age."""
        stored = {row.session_id: row for row in snapshot.rows}
        for session_id, keys in named.items():
            if session_id not in snapshot.removed:
                folded = self._folded(session_id, keys, stored.get(session_id), snapshot.offsets)
                if folded is not None:
                    yield folded

    def _folded(
        self, session_id: str, keys: Collection[bytes], stored: SessionRow | None, offsets: Mapping[Source, int]
    ) -> Folded | None:
        name = session_id.encode()
        beyond: list[OutputRecord] = []
        for topic, tail in self._memory.tails.items():
            ends = _of_topic(offsets, topic)
            with self._memory.lock:
                records = [record for key in keys for record in tail.of(key, ends)]
            beyond += [output_of(topic, record) for record in records if name in (record.value or b"")]
        beyond.sort(key=_PLACE)  # Who moved came from a partition with a lower number.
        part, is_read = self._decoded(beyond)
        messages = [each for each in part.messages if each.row.session_id == session_id]
        events = [each for each in part.events if each.row.session_id == session_id]
        if stored is None:
            if not messages and not events:
                return None
            first = messages[0] if messages else events[0]
            stored_or_new = new_session(session_id, first.row.user_id, first.row.partition, first.start_ms)
        else:
            stored_or_new = stored
        fold = SessionFold(stored_or_new)
        for message in messages:
            fold.follow(message.row.partition)
            fold.add_message(message.row, message.facts)
        for event in events:
            fold.follow(event.row.partition)
            fold.add_event(event.view)
        return Folded(fold.row(), stored, messages, events, is_read)

    def _decoded(self, records: Iterable[OutputRecord]) -> tuple[Part, bool]:
        """Return what `records` say, up to one that the schema registry does not answer for; and whether it is all."""
        found = Part([], [], [])
        try:
            for record in records:
                part = self._memory.decoded(record)
                found.messages.extend(part.messages)
                found.events.extend(part.events)
        except RecordWaits:
            return found, False
        return found, True


def by_topic(offsets: Mapping[Source, int]) -> Mapping[str, Mapping[int, int]]:
    """Return `offsets` by topic, then by partition."""
    found: dict[str, dict[int, int]] = {}
    for (topic, partition), offset in offsets.items():
        found.setdefault(topic, {})[partition] = offset
    return found


def _of_topic(offsets: Mapping[Source, int], topic: str) -> Mapping[int, int]:
    return by_topic(offsets).get(topic, {})
