"""What the processor will make of a record that is not in the log yet, by its own function."""

from processor.client.commands import KINDS
from processor.codec.codec import Codec
from processor.codec.events import EventView, view_of
from processor.core.ids import owner_of
from processor.core.model import Command, CommandName, Noted, Rules, SessionEvent
from processor.core.session import step


def foresee(codec: Codec, value: bytes, rules: Rules, *, now_ms: int) -> EventView:
    """Return the outcome of the command `value` in a lane that nobody has used yet.

    A session's id derives from its user, its start and the record that opens it. So one that starts in a lane of its
    own has its real id now, unless the sender's clock is wrong by more than A3CP_SKEW_MS.

    Args:
        codec: reads it. value: the record.
        rules: those of the processor.
        now_ms: when it will be appended, as far as is known.
    """
    record = codec.decode(value, now_ms)
    _, events = step(None, record, -1, rules)
    *_, outcome = (event for event in events if isinstance(event, SessionEvent))
    return view_of(record.user_id, outcome)


def asked(codec: Codec, value: bytes, *, now_ms: int) -> EventView:
    """Return the event that the command `value` asks for, as far as that can be known without its user's state."""
    command = codec.decode(value, now_ms)
    assert isinstance(command, Command)
    noted = Noted(command.session_id or "", command.timestamp_ms, command.timestamp_ms, command)
    kind = KINDS[command.name.value]
    return view_of(command.user_id, noted)._replace(kind=kind, session_id=command.session_id, start_time=None)


def may_wait(codec: Codec, value: bytes, *, now_ms: int) -> bool:
    """Whether the record `value` may wait in an outbox, and its sender be told that it is fine.

    A start for a person may not: somebody else may have started a session for them, and then there is no new one. In a
    lane, where nobody else starts anything, it may.
    """
    record = codec.decode(value, now_ms)
    is_start = isinstance(record, Command) and record.name is CommandName.START
    return not is_start or owner_of(record.user_id) != record.user_id
