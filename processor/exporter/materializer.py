"""Output records in, rows out: one batch of the two topics becomes one transaction of the store.

What a batch makes of a session depends on the session's own messages and its own events, each in the order of the log,
and on nothing else: not on where batches begin, nor on which of the two topics was read first.
"""

import json
import re
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256
from typing import Any, Final, NamedTuple

from processor.codec.codec import Codec
from processor.codec.events import EventView, to_json
from processor.codec.wire import CONFLUENT, JSON
from processor.core.errors import DecodeError, RecordError
from processor.exporter.facts import Facts, event_texts, facts_of, tag_notices
from processor.exporter.model import EventRow, MessageRow, Notice, TextRow, UnreadableRow
from processor.exporter.ports import SESSIONS, TAGGED, Batch, OutputRecord, Source, Store
from processor.exporter.summary import SessionFold, new_session
from processor.runtime.withholding import why_withheld

FOLDS_MAX: Final = 32_768  # sessions whose sums stay in memory between batches, 2 to 4 KiB each
_MEDIA_KEYS: Final = frozenset({"frame_data", "audio_payload"})
_MEDIA_TEXT: Final = re.compile(r"data:(?:image|audio|video)/").match
_DEPTH_MAX: Final = 64
_NUMBERS_END: Final = 1 << 53  # Beyond it JSON's readers disagree, and databases have their own limits.


class Applied(NamedTuple):
    """What one batch held."""

    messages: int
    events: int
    unreadable: int
    sessions: int


class _Taken(NamedTuple):
    """A message of a session, on its way into the session's sums."""

    row: MessageRow
    facts: Facts
    start_ms: int


class Materializer:
    """Writes to the store; used by one thread, for partitions that nobody else writes meanwhile."""

    def __init__(self, store: Store, codec: Codec) -> None:
        self._store = store
        self._codec = codec
        self._folds: OrderedDict[str, SessionFold] = OrderedDict()

    def forget(self) -> None:
        """Forget what is known of the store: another exporter may have written, or a batch was not written."""
        self._folds.clear()

    def apply(self, records: Iterable[OutputRecord], offsets: Mapping[Source, tuple[int | None, int]]) -> Applied:
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

    def _apply(self, records: Iterable[OutputRecord], offsets: Mapping[Source, tuple[int | None, int]]) -> Applied:
        messages: list[MessageRow] = []
        taken: list[_Taken] = []
        events: list[EventRow] = []
        boundaries: list[tuple[EventView, EventRow]] = []
        texts: list[TextRow] = []
        unreadable: list[UnreadableRow] = []
        for record in records:
            try:
                if record.topic == TAGGED:
                    row, facts, start_ms = self._message(record)
                    messages.append(row)
                    if row.session_id is not None:
                        taken.append(_Taken(row, facts, start_ms))
                    if facts.texts and row.withheld is None:
                        texts += _texts(facts.texts, row, TAGGED)
                else:
                    view, event = self._event(record)
                    events.append(event)
                    texts += _texts(event_texts(view), event, SESSIONS)
                    if event.session_id is not None:
                        boundaries.append((view, event))
            except RecordError as error:
                unreadable.append(_unreadable(record, error))
        changed = self._fold(taken, boundaries)
        batch = Batch(messages, events, texts, unreadable, [self._folds[name].row() for name in changed], offsets)
        self._store.write(batch)
        while len(self._folds) > FOLDS_MAX:
            self._folds.popitem(last=False)
        return Applied(len(messages), len(events), len(unreadable), len(changed))

    def _message(self, record: OutputRecord) -> tuple[MessageRow, Facts, int]:
        value = record.value or b""
        view, source = self._codec.untag(value)
        if not 0 <= (view.session_seq or 0) < _NUMBERS_END:
            raise DecodeError("session_seq is out of all bounds", remedy="see who writes to this topic")
        fields = view.fields
        facts = facts_of(fields)
        notices = tag_notices(view.flags) | facts.notices
        why = why_withheld(source)
        if why is None and (view.encoding == CONFLUENT or b"\\u" in source):  # Names that the bytes do not show.
            why = _why_fields_are_withheld(fields)
        if why is not None:
            notices |= Notice.WITHHELD
        # JSON has NUL as an escape only, so most messages need no look at each of their texts.
        clean = str if view.encoding == JSON and b"\\u0000" not in source else _clean
        claim = view.claimed_session_id
        row = MessageRow(
            view.session_id,
            view.session_seq if view.session_id is not None else None,
            clean(view.user_id),
            clean(view.record_id),
            view.timestamp_ms,
            record.append_ms,
            None if view.source is None else clean(view.source),
            clean(modality) if isinstance(modality := fields.get("modality"), str) else None,
            clean(performer) if isinstance(performer := fields.get("performer_id"), str) else None,
            facts.actor,
            clean(capture) if isinstance(capture := fields.get("capture_id"), str) else None,
            notices,
            None if claim is None else clean(claim),
            sha256(source).digest(),
            len(source),
            value if why is None else None,
            why,
            view.encoding,
            record.partition,
            record.offset,
        )
        return row, facts, view.session_start_ms if view.session_start_ms is not None else view.timestamp_ms

    def _event(self, record: OutputRecord) -> tuple[EventView, EventRow]:
        view = _without_media(self._codec.decode_event(record.value or b""))
        if any(isinstance(number, int) and not 0 <= number < _NUMBERS_END for number in view):
            raise DecodeError("a number in the event is out of all bounds", remedy="see who writes to this topic")
        # A command that was refused for naming another's session, or none there is, is no part of that session.
        is_foreign = view.kind == "rejected" and view.reason != "already_closed"
        row = EventRow(
            None if is_foreign or view.session_id is None else _clean(view.session_id),
            _clean(view.user_id),
            _clean(view.kind),
            view.timestamp,
            record.append_ms,
            to_json(view),
            record.partition,
            record.offset,
        )
        return view, row

    def _fold(self, taken: Sequence[_Taken], boundaries: Sequence[tuple[EventView, EventRow]]) -> Sequence[str]:
        """Add messages and events to their sessions; return the ids of those that changed."""
        changed: dict[str, None] = {}
        for message in taken:
            assert message.row.session_id is not None
            changed[message.row.session_id] = None
        for _, event in boundaries:
            assert event.session_id is not None
            changed[event.session_id] = None
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
            fold.add_message(row, message.facts)
        for view, event in boundaries:
            assert event.session_id is not None
            fold = folds.get(event.session_id)
            if fold is None:
                start_ms = view.timestamp if view.start_time is None else view.start_time
                new = new_session(event.session_id, event.user_id, event.partition, start_ms)
                fold = folds[event.session_id] = SessionFold(new)
            fold.add_event(view)
        for name in changed:
            folds.move_to_end(name)
        return list(changed)


def _without_media(view: EventView) -> EventView:
    """Return `view` with hash and size in place of arguments that must not be kept."""
    if view.details is not None and (why := why_withheld(view.details.encode())):
        view = view._replace(details=_in_place_of(view.details, why))
    if view.session_notes is not None and (why := why_withheld(view.session_notes.encode())):
        view = view._replace(session_notes=_in_place_of(view.session_notes, why))
    return view


def _in_place_of(text: str, why: str) -> str:
    content = text.encode()
    return json.dumps({"withheld": why, "sha256": sha256(content).hexdigest(), "size": len(content)})


def _texts(texts: Iterable[tuple[str, str]], row: MessageRow | EventRow, topic: str) -> list[TextRow]:
    return [
        TextRow(row.session_id, row.user_id, row.timestamp_ms, place, _clean(text), topic, row.partition, row.offset)
        for place, text in texts
    ]


def _unreadable(record: OutputRecord, error: RecordError) -> UnreadableRow:
    value = record.value or b""
    digest = sha256(value).digest()
    return UnreadableRow(record.topic, record.partition, record.offset, _clean(str(error)), digest, len(value))


def _clean(text: str) -> str:
    """Return `text` without NUL, which PostgreSQL cannot hold."""
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}") if "\0" in text else text


def _why_fields_are_withheld(fields: Mapping[str, Any]) -> str | None:
    """Return what `why_withheld` would for a message whose bytes do not show the names of its fields."""
    if fields.get("is_partial") is True:
        return "partial transcript"
    return "raw media" if _has_media(fields, 0) else None


def _has_media(value: object, depth: int) -> bool:
    if isinstance(value, str):
        return _MEDIA_TEXT(value) is not None
    if depth > _DEPTH_MAX:
        return True  # What cannot be looked into is not kept.
    if isinstance(value, Mapping):
        return not _MEDIA_KEYS.isdisjoint(value) or any(_has_media(inner, depth + 1) for inner in value.values())
    return isinstance(value, list) and any(_has_media(inner, depth + 1) for inner in value)
