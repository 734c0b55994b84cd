"""How sessions, events and messages are told: of a person, never of a lane."""

from collections.abc import Iterable, Iterator
from contextlib import closing
from typing import Any, Final

import msgspec

from processor.codec.codec import Codec
from processor.codec.events import EventView, from_json
from processor.core.model import Flag, flag_words
from processor.sessions.forms import jsonforms
from processor.sessions.forms.jsonforms import resource_of
from processor.sessions.forms.metadata import MetadataFold
from processor.sessions.forms.timeline import message_line, spooled
from processor.sessions.model import EventRow, MessageRow
from processor.view.held import Held

_TAG_BITS: Final = (1 << len(Flag.WORDS)) - 1


def session_resource(held: Held, events: Iterable[EventRow]) -> Any:
    """Return the session as the API tells it; `events` are its own."""
    fold = MetadataFold()
    for row in events:
        fold.add(from_json(row.value))
    return resource_of(
        held.row,
        steps_completed=fold.steps_completed,
        timing=fold.timing(held.row),
        context=fold.context,
        notes=fold.notes,
        position=str(held.position),
        backend=held.backend,
    )


def event_fields(event: EventView, owner: str) -> dict[str, Any]:
    """Return a session event as the API tells it: of a person, never of a lane."""
    return jsonforms.event_fields(event._replace(user_id=owner))


def message_fields(row: MessageRow, codec: Codec, owner: str) -> dict[str, Any]:
    """Return a message as the API tells it: its own fields, of a withheld one what may be kept; its tag and trace.

    Raises:
        DecodeError, RegistryUnavailable: as `Codec.untag`.
    """
    entry = message_line(row, codec)[0].entry
    tag = {"session_id": row.session_id, "session_seq": row.seq, "session_flags": flag_words(row.notices & _TAG_BITS)}
    trace = {} if row.trace_id is None else {"trace_id": row.trace_id}
    return {**entry.record, "user_id": owner, **tag, "expressed_by": row.expressed_by, **trace}


def timeline_entries(held: Held, codec: Codec) -> Iterator[bytes]:
    """Return the entries of a session's timeline as JSON, in order of time; it is read before this returns.

    Raises:
        DecodeError, RegistryUnavailable: as `Codec.untag`.
    """
    spool = spooled(held.view, codec)
    owner = held.row.owner

    def of_owner(entry: bytes) -> bytes:
        fields = msgspec.json.decode(entry)
        fields["record"]["user_id"] = owner
        return msgspec.json.encode(fields)

    def entries() -> Iterator[bytes]:
        with closing(spool):
            yield from spool if held.row.user_id == owner else map(of_owner, spool)

    return entries()
