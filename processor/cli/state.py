"""`a3cp state`: what the processor remembers of a user."""

from typing import Annotated, Any

import typer

from processor.cli.arguments.settings import Bootstrap, Json, Prefix, chosen
from processor.cli.commands import App
from processor.cli.printing.text import print_json
from processor.codec.isotime import format_time
from processor.codec.state import decode_state
from processor.codec.wire import ENCODING_NAMES
from processor.core.model import FINGERPRINT_BYTES, Session, UserState
from processor.errors import DecodeError, UsageError
from processor.kafka.reading.reader import Reader
from processor.runtime.partitioner import partition_of

app = App("Look at what the processor remembers of a user.")


@app.command()
def show(
    user: Annotated[str, typer.Argument(help="Whose state: the user's pseudonym.", metavar="USER")],
    *,
    bootstrap: Bootstrap = None,
    prefix: Prefix = None,
    as_json: Json = False,
) -> None:
    """Print the committed state of a user as JSON.

    It is read from the state topic; nothing is written.

    Exit codes: 0 it is printed, 1 it cannot be read, 2 nothing is remembered of that user.
    """
    settings = chosen(bootstrap, prefix)
    topics, key = settings.topics(), user.encode()
    with Reader(settings.kafka_conf(), topics.state) as reader:
        partition = partition_of(key, reader.partitions)
        latest = None
        for record in reader.read_all([partition]):
            if record.key == key:
                latest = record
    if latest is None or latest.value is None:
        found = "has no state of that user" if latest is None else "had a state of that user, which was deleted"
        raise UsageError(
            f"{topics.state}[{partition}] {found}",
            remedy="check the id; a user without an open session is forgotten after the late horizon",
        )
    position = f"{topics.state}[{partition}]@{latest.offset}"
    try:
        fields = state_fields(decode_state(latest.value), f"{topics.raw}[{partition}]")
    except DecodeError as error:
        raise DecodeError(f"{position}: {error.what}", remedy=error.remedy) from error
    print_json({"user_id": user, "position": position, **fields}, indent=None if as_json else 2)


def state_fields(state: UserState, raw: str) -> dict[str, Any]:
    """Return all that `state` holds, for JSON: times as ISO text, bytes as hexadecimal digits.

    Args:
        raw: the partition that the user's records are in, such as a3cp.raw[3].
    """
    recent = state.recent
    return {
        "current": None if state.current is None else _session_fields(state.current),
        "closed": [_session_fields(session) for session in state.closed],
        "recent": [recent[at : at + FINGERPRINT_BYTES].hex() for at in range(0, len(recent), FINGERPRINT_BYTES)],
        "policy": None if state.policy is None else state.policy._asdict(),
        "last_record": None if state.last_offset < 0 else f"{raw}@{state.last_offset}",
        "last_append_time": format_time(state.last_append_ms),
        "encoding": ENCODING_NAMES.get(state.encoding),
    }


def _session_fields(session: Session) -> dict[str, Any]:
    def time(ms: int | None) -> str | None:
        return None if ms is None else format_time(ms)

    return {
        "session_id": session.session_id,
        "start_time": time(session.start_ms),
        "last_time": time(session.last_ms),
        "messages": session.messages,
        "digest": session.digest.hex(),
        "template": session.template,
        "paused_at": time(session.paused_at_ms),
        "paused_ms": session.paused_total_ms,
        "end_time": time(session.end_ms),
        "end_reason": None if session.end_reason is None else session.end_reason.value,
        "ends_told": session.ends,
        "touched_at": time(session.touched_ms or None),
    }
