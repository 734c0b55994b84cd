"""A user's state as a record of the changelog: MessagePack behind a header of two bytes (docs/adr/0019).

The state topic is internal: no registry and no schema file is needed to restore, and `a3cp state show` prints a state.
"""

from typing import Final

import msgspec

from processor.core.model import UserState
from processor.errors import DecodeError

LAYOUT: Final = 1  # Another one whenever `UserState`, or what it is made of, changes: a golden record holds it.
HEADER: Final = bytes((0xC1, LAYOUT))  # No MessagePack begins with C1, nor does JSON or Avro, whatever its framing.
_write: Final = msgspec.msgpack.Encoder().encode
_read: Final = msgspec.msgpack.Decoder(UserState).decode


class _Named(msgspec.Struct, array_like=True, gc=False):
    """The first field of a `Session`; the others are passed over."""

    session_id: str


class _Ids(msgspec.Struct, array_like=True, gc=False):
    """The first fields of a `UserState`."""

    current: _Named | None
    closed: list[_Named]


_read_ids: Final = msgspec.msgpack.Decoder(_Ids).decode


def encode_state(state: UserState) -> bytes:
    """Return the record of `state`, header included."""
    return HEADER + _write(state)


def decode_state(value: bytes) -> UserState:
    """Return the state in a record of the changelog.

    Raises:
        DecodeError: this release did not write it, or it is damaged.
    """
    if value[:2] != HEADER:
        raise _of_another_release(value)
    try:
        return _read(value[2:])
    except ValueError as error:  # msgspec's errors, and text that is no UTF-8.
        raise _damaged(value) from error


def session_ids(value: bytes) -> list[str]:
    """Return the ids of the sessions in a record of the changelog, in half the time of `decode_state`.

    Raises as `decode_state` does, but damage behind the sessions is not found.
    """
    if value[:2] != HEADER:
        raise _of_another_release(value)
    try:
        ids = _read_ids(value[2:])
    except ValueError as error:
        raise _damaged(value) from error
    found = [session.session_id for session in ids.closed] if ids.closed else []
    if ids.current is not None:
        found.append(ids.current.session_id)
    return found


def _of_another_release(value: bytes) -> DecodeError:
    return DecodeError(
        f"state begins with {value[:2].hex()}, this release writes {HEADER.hex()}",
        remedy="run the release that wrote it, or replay the raw topic into a new state topic",
    )


def _damaged(value: bytes) -> DecodeError:
    return DecodeError(f"state of {len(value)} bytes is damaged", remedy="replay the raw topic into a new state topic")
