"""A user's state as a record of the changelog: the schema SessionState by hand, in Avro single-object encoding.

Always that encoding, whatever the messages speak (docs/adr/0011): restoring must not need a schema registry.
"""

import re
from functools import lru_cache
from typing import Final

from processor.codec.avro import SIX_BYTE_MARKS, optional_text, write_long, write_text
from processor.codec.wire import avro_header
from processor.core.errors import DecodeError
from processor.core.model import RECENT_SESSIONS_MAX, EndReason, Policy, Session, UserState

FINGERPRINT: Final = 0x09694C5B240DFF77  # of schemas/avro/SessionState.avsc, whose layout this file writes and reads
HEADER: Final = avro_header(FINGERPRINT)
DIGEST_BYTES: Final = 32
_REASON_BYTES: Final[dict[EndReason | None, bytes]] = {
    None: b"\x00",
    **{reason: optional_text(reason.value) for reason in EndReason},
}
_new = tuple.__new__  # Makes a `NamedTuple` in a third of the time.
_REASONS: Final = {reason.value: reason for reason in EndReason}


def encode_state(state: UserState) -> bytes:
    """Return the record of `state`, header included."""
    current, closed, recent, policy, last_append_ms, encoding = state
    parts = [_beginning_of(last_append_ms, encoding), write_long(len(recent)), recent]
    if current is None:
        parts.append(b"\x00")
    else:
        parts.append(b"\x02")
        _write_session(parts, current)
    if closed:
        parts.append(write_long(len(closed)))
        for session in closed:
            _write_session(parts, session)
    if policy is None:
        parts.append(b"\x00\x00")
    else:
        parts.append(b"\x00\x02")
        limits = (policy.gap_ms, policy.max_session_ms, policy.pause_ms)
        parts += [b"\x00" if limit is None else b"\x02" + write_long(limit) for limit in limits]
        parts.append(optional_text(policy.template))
    return b"".join(parts)


@lru_cache(maxsize=256)  # Records that the broker appended together have one append time.
def _beginning_of(last_append_ms: int, encoding: int) -> bytes:
    return HEADER + write_long(last_append_ms) + write_long(encoding)


def _write_session(parts: list[bytes], session: Session) -> None:
    (
        session_id,
        start_ms,
        last_ms,
        count,
        digest,
        template,
        paused_at_ms,
        paused_ms,
        end_ms,
        reason,
        ends,
        touched_ms,
    ) = session
    assert len(digest) == DIGEST_BYTES
    parts += (write_text(session_id), write_long(start_ms), write_long(last_ms - start_ms), write_long(count), digest)
    if template is None and paused_at_ms is None and end_ms is None and not (paused_ms or ends or touched_ms or reason):
        parts.append(b"\x00\x00\x00\x00\x00\x00\x00")  # Most sessions: never paused, never ended.
        return
    parts += (
        write_long(paused_ms),
        write_long(ends),
        optional_text(template),
        b"\x00" if paused_at_ms is None else b"\x02" + write_long(paused_at_ms - start_ms),
        b"\x00" if end_ms is None else b"\x02" + write_long(end_ms - start_ms),
        _REASON_BYTES[reason],
        b"\x02" + write_long(touched_ms - start_ms) if touched_ms else b"\x00",
    )


def decode_state(value: bytes) -> UserState:
    """Return the state in a record of the changelog.

    Raises:
        DecodeError: this release did not write it, or it is damaged.
    """
    if value[:10] != HEADER:
        raise DecodeError(
            f"state begins with {value[:10].hex()}, this release writes {HEADER.hex()}",
            remedy="run the release that wrote it, or replay the raw topic into a new state topic",
        )
    state = _read_open(value)
    if state is not None:
        return state
    try:
        state, end = _read_state(value)
    except (IndexError, KeyError, ValueError) as error:  # UnicodeDecodeError is a ValueError.
        raise _damaged(value) from error
    if end != len(value):
        raise _damaged(value)
    return state


# Parts of what `encode_state` writes, each unambiguous where it ends; sure to be readable.
_LONG: Final = rb"[\x80-\xff]{0,8}[\x00-\x7f]"
_MAYBE_LONG: Final = rb"(?:\x00|\x02" + _LONG + rb")"
_EVEN: Final = bytes(range(128, 256, 2))  # the first byte of what is not negative
_TIME: Final = rb"([%b][\x80-\xff]{4}[\x00-\x7f])" % _EVEN  # from 1970-07 to 2039
_ID: Final = rb"(?:\x6a[ -~]{53}|\x2a[ -~]{21})"  # as long as a dated or a short one is
_REASON: Final = rb"(?:" + b"|".join(map(re.escape, _REASON_BYTES.values())) + rb")"
_CLOSED: Final = _ID + 3 * _LONG + rb".{32}" + 2 * _LONG + rb"\x00" + 2 * _MAYBE_LONG + _REASON + _MAYBE_LONG
_ALL_CLOSED: Final = b"|".join(
    [rb"\x00", *(rb"\x%02x(?:%b){%d}\x00" % (2 * n, _CLOSED, n) for n in range(1, RECENT_SESSIONS_MAX + 1))]
)
_beginning: Final = re.compile(
    re.escape(HEADER) + _TIME + rb"([\x00-\x7f])([\x00-\x7f]|[\x80-\xff][\x00-\x7f])", re.DOTALL
).match
_open_rest: Final = re.compile(
    rb"\x02(" + _ID + rb")" + _TIME + rb"(" + _LONG + rb")(" + _LONG + rb")(.{32})\x00{9}\Z", re.DOTALL
).match
_OPEN_BYTES_MIN: Final = len(HEADER) + 6 + 3 + 22 + 6 + 2 + DIGEST_BYTES + 9  # what `_open_rest` takes at least
_plain_rest: Final = re.compile(
    rb"\x02" + _ID + _TIME + rb"(" + _LONG + rb")" + _LONG + rb".{32}" + 2 * _LONG  # up to `ends`
    + rb"\x00\x00(" + _MAYBE_LONG + rb")" + _REASON + _MAYBE_LONG  # neither template nor pause
    + rb"(?:" + _ALL_CLOSED + rb")\x00\Z",  # no policy
    re.DOTALL,
).match  # fmt: skip


def _read_open(value: bytes) -> UserState | None:
    """Return what `_read_state` returns, in less than half the time, of a user whose first session is open.

    None unless it is surely so, and the session was never paused and never ended: with many users, most that send a
    message. What was not used for a while is kept encoded, so this is done for nearly every message then.
    """
    if len(value) < _OPEN_BYTES_MIN:
        return None
    b0, b1, b2, b3, b4, b5, encoding, size, more = value[10:19]
    at = 18
    if size > 127:
        size += more - 1 << 7
        at = 19
    end = at + (size >> 1)
    rest = _open_rest(value, end)
    if rest is None:
        return None
    name, start, span, count, digest = rest.groups()
    if (
        not b0 & b1 & b2 & b3 & b4 & 128  # a time of six bytes, then a byte
        or (b5 | encoding) & 128
        or size >> 14
        or (b0 | encoding | size | count[0]) & 1  # Something is negative.
    ):
        return None
    append_ms = (b0 + (b1 << 7) + (b2 << 14) + (b3 << 21) + (b4 << 28) + (b5 << 35) - SIX_BYTE_MARKS) >> 1
    start_ms = _six_bytes(start)
    last_ms = start_ms + _long(span, 0)[0]
    number = count[0] >> 1 if len(count) == 1 else _long(count, 0)[0]
    values = name[1:].decode(), start_ms, last_ms, number, digest, None, None, 0, None, None, 0, 0
    return _new(UserState, (_new(Session, values), (), value[at:end], None, append_ms, encoding >> 1))


def glance(value: bytes) -> tuple[int, int, bool] | None:
    """Return what `plain_due_ms` needs of the state in `value`: last_ms, last_append_ms, whether the end was told.

    None unless `decode_state` surely takes it, there is a current session, neither paused nor with a template, and the
    user has no policy. It takes a quarter of the time of decoding, which a restore would do a million times.
    """
    beginning = _beginning(value)
    if beginning is None:
        return None
    append, _, size = beginning.groups()
    size_bytes, _ = _long(size, 0)
    rest = None if size_bytes < 0 else _plain_rest(value, beginning.end() + size_bytes)
    if rest is None:
        return None
    start, span, end = rest.groups()
    return _six_bytes(start) + _long(span, 0)[0], _six_bytes(append), end != b"\x00"


def _six_bytes(time: bytes) -> int:
    """Return what `_long` returns of six bytes that `_TIME` matches."""
    b0, b1, b2, b3, b4, b5 = time
    return (b0 + (b1 << 7) + (b2 << 14) + (b3 << 21) + (b4 << 28) + (b5 << 35) - SIX_BYTE_MARKS) >> 1


def _damaged(value: bytes) -> DecodeError:
    return DecodeError(f"state of {len(value)} bytes is damaged", remedy="replay the raw topic into a new state topic")


def _read_state(value: bytes) -> tuple[UserState, int]:
    last_append_ms, at = _long(value, 10)
    encoding, at = _long(value, at)
    size, at = _size(value, at)
    recent = value[at : at + size]
    at += size
    current = None
    if _is_set(value, at):
        current, at = _read_session(value, at + 1)
    else:
        at += 1
    closed = []
    count, at = _long(value, at)
    if count:
        if not 0 < count < len(value):
            raise ValueError
        for _ in range(count):
            session, at = _read_session(value, at)
            closed.append(session)
        if value[at]:
            raise ValueError
        at += 1
    policy = None
    if _is_set(value, at):
        gap_ms, at = _optional_long(value, at + 1)
        max_session_ms, at = _optional_long(value, at)
        pause_ms, at = _optional_long(value, at)
        template, at = _optional_text(value, at)
        policy = Policy(gap_ms, max_session_ms, pause_ms, template)
    else:
        at += 1
    return UserState(current, tuple(closed), recent, policy, last_append_ms, encoding), at


def _read_session(value: bytes, at: int) -> tuple[Session, int]:
    size, at = _size(value, at)
    session_id = value[at : at + size].decode()
    start_ms, at = _long(value, at + size)
    span_ms, at = _long(value, at)
    count, at = _long(value, at)
    digest = value[at : at + DIGEST_BYTES]
    paused_ms, at = _long(value, at + DIGEST_BYTES)
    ends, at = _long(value, at)
    template = paused_at_ms = end_ms = reason = None
    touched_ms = 0
    if value[at : at + 5] == b"\x00\x00\x00\x00\x00":  # Open, not paused, no template: the common case.
        at += 5
    else:
        template, at = _optional_text(value, at)
        paused_span_ms, at = _optional_long(value, at)
        end_span_ms, at = _optional_long(value, at)
        word, at = _optional_text(value, at)
        touched_span_ms, at = _optional_long(value, at)
        touched_ms = 0 if touched_span_ms is None else start_ms + touched_span_ms
        paused_at_ms = None if paused_span_ms is None else start_ms + paused_span_ms
        end_ms = None if end_span_ms is None else start_ms + end_span_ms
        reason = None if word is None else _REASONS[word]
    session = Session(
        session_id,
        start_ms,
        start_ms + span_ms,
        count,
        digest,
        template,
        paused_at_ms,
        paused_ms,
        end_ms,
        reason,
        ends,
        touched_ms,
    )
    return session, at


def _long(value: bytes, at: int) -> tuple[int, int]:
    byte = value[at]
    if byte < 128:
        return (byte >> 1) ^ -(byte & 1), at + 1
    result, shift = byte & 127, 7
    while True:
        at += 1
        byte = value[at]
        result |= (byte & 127) << shift
        if byte < 128:
            return (result >> 1) ^ -(result & 1), at + 1
        shift += 7
        if shift > 63:
            raise ValueError


def _size(value: bytes, at: int) -> tuple[int, int]:
    size, at = _long(value, at)
    if size < 0:
        raise ValueError
    return size, at


def _is_set(value: bytes, at: int) -> bool:
    branch = value[at]
    if branch not in (0, 2):
        raise ValueError
    return branch == 2


def _optional_long(value: bytes, at: int) -> tuple[int | None, int]:
    return _long(value, at + 1) if _is_set(value, at) else (None, at + 1)


def _optional_text(value: bytes, at: int) -> tuple[str | None, int]:
    if not _is_set(value, at):
        return None, at + 1
    size, at = _size(value, at + 1)
    return value[at : at + size].decode(), at + size
