"""A session as a socket follows it: what its records become for the client."""

import asyncio
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, NamedTuple

import msgspec

from processor.bundles.contents import in_order_of_log
from processor.codec.codec import Codec
from processor.codec.events import EventView, from_json
from processor.errors import A3CPError
from processor.faces.gateway.frames import told
from processor.faces.gateway.outgoing import Outgoing
from processor.faces.gateway.records import SOURCE
from processor.faces.requests.finding import Place
from processor.faces.v1.telling import event_fields, message_fields
from processor.runtime.ports import TopicRecord
from processor.sessions.arguments import details_of, phase_in
from processor.sessions.model import MessageRow
from processor.sessions.ports import SESSIONS, TAGGED
from processor.sessions.projection.decoding import decode_part
from processor.view.held import Held
from processor.view.position import Position
from processor.view.tail import output_of
from processor.view.view import View

CONNECTED: Final = "connected"
DISCONNECTED: Final = "disconnected"


class _Tagged(msgspec.Struct):
    """What a tagged message in JSON says of its place, and whether it came through a socket."""

    session_id: str | None
    session_seq: int | None
    session_flags: list[str]
    claimed_session_id: Any = None
    record_id: Any = None
    source: Any = None
    payload: msgspec.Raw = msgspec.Raw(b"null")


class _Payload(msgspec.Struct):
    ack_id: int | str | None = msgspec.field(default=None, name="ackId")


_tagged_in: Final = msgspec.json.Decoder(_Tagged).decode
_payload_in: Final = msgspec.json.Decoder(_Payload).decode


class Item(NamedTuple):
    """A record that was put, for its turn to come."""

    of: "Following"
    topic: str
    record: TopicRecord
    position: Position


class Following:
    """A session that a socket follows, since it is its own, was spoken to or was asked for: a `Follower`."""

    def __init__(self, place: Place, outgoing: Outgoing, codec: Codec, *, tells: bool) -> None:
        """Follow the session at `place`; `tells`: whether the client is told of what happens."""
        self.place: Final = place
        self.loop: asyncio.AbstractEventLoop = outgoing.loop
        self.context: dict[str, Any] = {}  # under which circumstances it is held, as its events tell
        self.is_subscribed = False  # whether all its messages are told, not only those through sockets
        self.words: set[str] = set()  # the commands by which this socket told the log that it is connected
        self.others_word: str | None = None  # CONNECTED or DISCONNECTED, if another one said so since
        self.logged: set[str] = set()  # record ids of what was said with an `ackId`, as far as it was replayed
        self.leave: Callable[[], None] = lambda: None
        self._outgoing = outgoing
        self._codec = codec
        self._tells = tells
        self._begin: Position | None = None  # what is before was told already
        self._is_told = False  # whether this socket's own word was seen

    def follow(self, view: View) -> None:
        """Begin to follow."""
        self.leave = view.follow(self.place.session_id, self)

    def put(self, topic: str, record: TopicRecord, position: Position) -> None:
        """See `Follower`."""
        if self._tells or topic == SESSIONS:
            self._outgoing.put(Item(self, topic, record, position), len(record.value or b""))

    def wake(self) -> None:
        """See `Follower`."""
        self._outgoing.wake()

    def end(self) -> None:
        """See `Follower`."""
        self._outgoing.end()

    def learn(self, held: Held) -> None:
        """Learn under which circumstances the session is held, from what is known of it."""
        for row in held.events():
            self._note_context(from_json(row.value))

    def replayed(self, held: Held, after: Position) -> Iterator[tuple[list[bytes], Position]]:
        """Yield the frames of what has happened in the session since `after`, with the position behind each."""
        at = after
        for row, _ in in_order_of_log(held.view):
            topic = TAGGED if isinstance(row, MessageRow) else SESSIONS
            if after.has(topic, row.partition, row.offset):
                continue
            at = at.behind(topic, row.partition, row.offset)
            if isinstance(row, MessageRow):
                frames = self._of_message(row.value, row, at)
                self.logged.add(row.record_id)
            else:
                event = from_json(row.value)
                frames = self._of_event(event, at)
                self.logged.add(event.command_record_id or "")
            yield frames, at
        self._begin = at

    def frames_of(self, item: Item) -> list[bytes]:
        """Return what is to be sent of a record; nothing if it is of another session."""
        _, topic, record, position = item
        begin, value = self._begin, record.value or b""
        if begin is not None and begin.has(topic, record.partition, record.offset):
            return []
        if topic == TAGGED:
            return self._of_message(value, record, position)
        try:
            event = self._codec.decode_event(value)
        except A3CPError:
            return []  # Who reads the session is told.
        return self._of_event(event, position) if event.session_id == self.place.session_id else []

    def _of_event(self, event: EventView, position: Position) -> list[bytes]:
        self._note_context(event)
        self._note_word(event)
        if not self._tells or event.kind == "rejected":  # Who was refused is told apart.
            return []
        fields = event_fields(event, self.place.owner)
        frames = [told("event", {**fields, "position": str(position)})]
        if event.kind == "ended" and not event.revision:
            ended = {"sessionId": event.session_id, "reason": event.reason, "endTime": event.end_time}
            frames.append(told("session_ended", ended))
        return frames

    def _note_context(self, event: EventView) -> None:
        told_of = details_of(event).get("context") if event.kind == "context" else None
        if isinstance(told_of, dict):
            self.context |= told_of

    def _note_word(self, event: EventView) -> None:
        """Take note of who is connected, from this socket's own word on."""
        word = phase_in(details_of(event)) if event.kind == "status" else None
        if word not in (CONNECTED, DISCONNECTED):
            return
        if event.command_record_id in self.words:
            self._is_told, self.others_word = True, None
        elif self._is_told or not self.words:
            self.others_word = word

    def _of_message(self, value: bytes | None, source: MessageRow | TopicRecord, position: Position) -> list[bytes]:
        tagged = None if value is None else self.tagged(value)
        if tagged is not None:
            return [told("tagged", {**tagged, "position": str(position)})]
        if not self.is_subscribed:
            return []
        row = source if isinstance(source, MessageRow) else self._row_of(source)
        if row is None or row.session_id != self.place.session_id:
            return []
        try:
            fields = message_fields(row, self._codec, self.place.owner)
        except A3CPError:
            return []
        return [told("message", {**fields, "position": str(position)})]

    def tagged(self, value: bytes) -> Mapping[str, Any] | None:
        """Return the place of a message that came through a socket with an `ackId`; None if it is another one.

        The place is in another session if the message is of a time when this one was not there.
        """
        try:
            found = _tagged_in(value)
            if found.source != SOURCE or self.place.session_id not in (found.session_id, found.claimed_session_id):
                return None
            ack_id = _payload_in(found.payload).ack_id
        except (ValueError, RecursionError):  # Avro, or a message that only looks like one of ours.
            return None
        if ack_id is None:
            return None
        return {
            "ackId": ack_id,
            "seq": found.session_seq,
            "flags": found.session_flags,
            "sessionId": found.session_id,
            "recordId": found.record_id,
        }

    def _row_of(self, record: TopicRecord) -> MessageRow | None:
        try:
            part = decode_part(self._codec, [output_of(TAGGED, record)])
        except A3CPError:
            return None
        return part.messages[0].row if part.messages else None
