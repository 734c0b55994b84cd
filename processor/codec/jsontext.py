"""JSON messages: read what is needed, splice the tag into the text that came.

What is valid is msgspec's answer (strict JSON: no NaN, no lone surrogates), plus UTF-8 throughout, a bounded depth and
no spine field twice. Numbers and strings that are not needed are checked, never converted.

The tag goes before the closing brace, in one of three forms, so that `strip` knows from the text what came in:

    appended  ,"session_id":…,"session_seq":…,"session_start":…,"session_flags":[…]
              The message had no session_id.
    right     ,"session_seq":…,"session_start":…,"session_flags":[…]
              It had the right one, which stays in its place.
    claimed   ,"session_seq":…,"session_start":…,"session_flags":[…],"claimed_session_id":…
              It had another one or null, which is replaced in its place and kept here; or the right one as its last
              member, where it would look like `appended`.

A message that already has a `claimed_session_id` gets `,"claimed_session_id":null` before the first form, and the third
instead of the second: for readers the last one wins, and that is ours.
"""

import re
from functools import lru_cache
from hashlib import sha256
from typing import Any, Final, NoReturn

import msgspec

from processor.codec.isotime import format_time, parse_time
from processor.codec.jsonconforming import read_conforming
from processor.codec.jsonmembers import Member, checked_members, members_of, scan
from processor.codec.jsonvalue import plain_object
from processor.codec.oddities import TAG_KEYS
from processor.codec.spine import (
    ARGUMENT_KEYS,
    POLICY_KEY,
    POLICY_SOURCE,
    SPINE_KEYS,
    Envelope,
    command_of,
    message_of,
)
from processor.codec.tagged import Tag, TaggedView, no_tag, view_of
from processor.codec.wire import JSON, JSON_SPACE
from processor.core.model import Record, Tagged, flag_words
from processor.errors import DecodeError

SESSIONS_CACHED_MAX: Final = 16_384  # sessions whose tag is remembered, about 500 bytes each
_ID_KEY_BYTES: Final = len(b',"session_id":')
_CLAIMED_NULL: Final = b',"claimed_session_id":null'
_APPENDED_BYTES_MAX: Final = 1024
_APPENDED: Final = re.compile(
    rb',"session_id":"([^"\\]*)","session_seq":(\d{1,18}),"session_start":"([^"\\]*)","session_flags":(\[[a-z_",]*\])\}\Z'
)


class JsonMessages:
    """Reads, tags and untags messages in JSON. Remembers only what stays the same within a session."""

    def __init__(self, *, strict: bool) -> None:
        """Take `strict` as the codec has it."""
        self._strict: Final = strict
        self._sessions: Final[dict[str, tuple[int, bytes, bytes]]] = {}
        self._flags: Final[dict[int, bytes]] = {}

    def decode(self, value: bytes, append_ms: int) -> Record:
        """Return the message or command in `value`. Raises as `Codec.decode` does."""
        return read_conforming(value, append_ms) or read(value, append_ms, strict=self._strict)

    def fields_of(self, value: bytes) -> dict[str, Any]:
        """Return the fields of the record `value`. Raises as `Codec.fields_of` does."""
        try:
            return plain_object(value)
        except ValueError as error:
            raise DecodeError("value is no JSON object", remedy="decode says why") from error

    def tag(self, value: bytes, tagged: Tagged) -> bytes:
        """Return `value`, which `decode` took for a message, with the tag spliced in before its closing brace."""
        id_member, tail = self._parts(tagged)
        body, space = (value[:-1], b"") if value[-1] == 0x7D else _split_space(value)
        if b"session_id" not in value and b"\\" not in value:
            return body + id_member + tail + space
        claim = _claim(value)
        if claim.session_id is msgspec.UNSET:
            before = b"" if claim.claimed_session_id is msgspec.UNSET else _CLAIMED_NULL
            return body + before + id_member + tail + space
        text = bytes(claim.session_id)
        start, end, is_last = _place_of_claim(value, text)
        if _text_of(text) != tagged.session_id:
            body = body[:start] + id_member[_ID_KEY_BYTES:] + body[end:]
        elif not is_last and claim.claimed_session_id is msgspec.UNSET:
            return body + tail + space
        return b'%b%b,"claimed_session_id":%b}%b' % (body, tail[:-1], text, space)

    def _parts(self, tagged: Tagged) -> tuple[bytes, bytes]:
        """Return the member `session_id`, and the rest of the tag with the closing brace."""
        session_id, seq, start_ms, bits, *_ = tagged
        flags = self._flags.get(bits)
        if flags is None:
            flags = self._flags[bits] = b"%b}" % msgspec.json.encode(flag_words(bits))
        if session_id is None:
            return b',"session_id":null', b',"session_seq":null,"session_start":null,"session_flags":' + flags
        known = self._sessions.get(session_id)
        if known is None or known[0] != start_ms:
            if len(self._sessions) >= SESSIONS_CACHED_MAX:
                self._sessions.clear()
            id_member = b',"session_id":' + msgspec.json.encode(session_id)
            start = b',"session_start":"%b","session_flags":' % format_time(start_ms).encode()
            known = self._sessions[session_id] = (start_ms, id_member, start)
        return known[1], b',"session_seq":%d%b%b' % (seq, known[2], flags)

    def strip(self, value: bytes) -> bytes:
        """Return the text that a tagged `value` came in as. Raises as `Codec.strip` does."""
        try:
            value.decode()
            members_of(value)
        except (UnicodeDecodeError, msgspec.DecodeError, RecursionError) as error:
            raise DecodeError(
                "tagged value is no JSON object", remedy="send one JSON object, RFC 8259, in UTF-8"
            ) from error
        return _source_of(value)

    def untag(self, value: bytes) -> tuple[TaggedView, bytes]:
        """Return all that a tagged `value` says, and the text that it came in as. Raises as `Codec.strip` does."""
        try:
            return _untag_appended(value) or self._untag_any(value)
        except (ValueError, TypeError, KeyError) as error:  # msgspec's are of the first kind.
            raise no_tag() from error

    def _untag_any(self, value: bytes) -> tuple[TaggedView, bytes]:
        source = self.strip(value)
        fields = plain_object(source)
        told = msgspec.json.decode(value, type=_JsonTag)
        start = msgspec.json.decode(told.session_start, type=str | None)
        tag = Tag(
            msgspec.json.decode(told.session_id, type=str | None),
            msgspec.json.decode(told.session_seq, type=int | None),
            None if start is None else parse_time(start),
            msgspec.json.decode(told.session_flags, type=tuple[str, ...]),
        )
        return view_of(fields, parse_time(fields["timestamp"]), tag, fields.get("session_id"), JSON), source


# --- reading ----------------------------------------------------------------------------------------------------------


def read(value: bytes, append_ms: int, *, strict: bool) -> Record:
    """Return the message or command in the JSON text `value`.

    Raises:
        DecodeError: it is no valid JSON object, too deep, or holds a spine field twice.
        InvalidMessage: rules R16 and R7.
    """
    members = checked_members(value)
    envelope = Envelope(append_ms, sha256(value).digest(), JSON, strict)
    fields: dict[str, object] = {key: _scalar(members[key]) for key in (*SPINE_KEYS, *ARGUMENT_KEYS) if key in members}
    if "command" in members:
        details = {key: bytes(raw) for key, raw in members.items() if key not in fields}
        return command_of(fields, details, envelope)
    fields.update(dict.fromkeys(members.keys() & set(TAG_KEYS)))
    if fields.get("source") == POLICY_SOURCE and POLICY_KEY in members:
        fields[POLICY_KEY] = _whole(members[POLICY_KEY])
    return message_of(fields, envelope)


def _scalar(raw: msgspec.Raw) -> object:
    """Return text, truth values and null as they are; anything else as something that is none of them."""
    text = bytes(raw)
    return msgspec.json.decode(text) if text[:1] in (b'"', b"t", b"f", b"n") else 0.0


def _whole(raw: msgspec.Raw) -> object:
    try:
        return msgspec.json.decode(raw)
    except msgspec.DecodeError:  # A number that no float holds.
        return 0.0


# --- the tag ----------------------------------------------------------------------------------------------------------


class _Claim(msgspec.Struct):
    session_id: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    claimed_session_id: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


_claim: Final = msgspec.json.Decoder(_Claim).decode


class _JsonTag(msgspec.Struct):
    """The tag's fields as text: one that comes twice counts as it came last, whatever it was before."""

    session_id: msgspec.Raw
    session_seq: msgspec.Raw
    session_start: msgspec.Raw
    session_flags: msgspec.Raw


def _place_of_claim(value: bytes, text: bytes) -> tuple[int, int, bool]:
    """Return where the value of the member `session_id`, which is `text`, starts and ends, and if it is last."""
    if b"\\" not in value and value.count(b'"session_id"') == 1:  # Then that is its key.
        start = value.index(b'"session_id"') + 13
        end = start + len(text)
        if value[start - 1] == 0x3A and value[start:end] == text and value[end] in b",}":
            return start, end, value[end] == 0x7D
    *others, last = scan(value)
    member = next(one for one in (last, *others) if one.key(value) == "session_id")
    return member.start, member.end, member is last


def _source_of(value: bytes) -> bytes:
    """Return the text that the valid JSON object `value` came in as, by its last members."""
    members = list(scan(value))
    keys = [member.key(value) for member in members]
    end = value.rindex(b"}")
    claimed = members[-1] if keys[-1:] == ["claimed_session_id"] else None
    first = len(keys) - (1 if claimed else 0) - 3
    if first < 0 or keys[first : first + 3] != ["session_seq", "session_start", "session_flags"]:
        _refuse_untagged()
    if claimed:
        where = [index for index, key in enumerate(keys[:first]) if key == "session_id"]
        if not where:
            _refuse_untagged()
        own = members[where[-1]]
        body_end = _comma_before(value, members[first])
        return value[: own.start] + value[claimed.start : claimed.end] + value[own.end : body_end] + value[end:]
    if first and keys[first - 1] == "session_id":
        first -= 1
        if first and keys[first - 1] == "claimed_session_id":
            first -= 1
    return value[: _comma_before(value, members[first])] + value[end:]


def _comma_before(value: bytes, member: Member) -> int:
    comma = member.key_start - 1
    if value[comma] != 0x2C:  # The tag's own members are written without white space.
        _refuse_untagged()
    return comma


def _refuse_untagged() -> NoReturn:
    raise DecodeError("value has no session tag at its end", remedy="give a record of the tagged topic")


def _untag_appended(value: bytes) -> tuple[TaggedView, bytes] | None:
    """Return what a tagged text of the first form, the most common one, says; None when `strip` must look closely.

    The tail begins at a comma that is no part of a string, since a quote follows it, and its brackets are balanced, so
    the members in it are the object's own. With no `session_` before them and no escapes, no member of the message has
    a name of the tag's, and they are the tag.
    """
    found = _APPENDED.search(value, max(0, len(value) - _APPENDED_BYTES_MAX))
    if found is None or value.find(b"session_", 0, found.start()) >= 0 or b"\\" in value:
        return None
    try:
        value.decode()
        fields: dict[str, Any] = msgspec.json.decode(value)
        flags = () if found[4] == b"[]" else tuple(msgspec.json.decode(found[4], type=list[str]))
    except (ValueError, RecursionError):
        return None
    session_id, seq, start = (fields.pop(key) for key in ("session_id", "session_seq", "session_start"))
    del fields["session_flags"]
    tag = Tag(session_id, seq, _time_of_start(start), flags)
    return view_of(fields, parse_time(fields["timestamp"]), tag, None, JSON), value[: found.start()] + b"}"


_time_of_start: Final = lru_cache(maxsize=4_096)(parse_time)  # All messages of a session have the same.


def _split_space(value: bytes) -> tuple[bytes, bytes]:
    closed = len(value.rstrip(JSON_SPACE))
    return value[: closed - 1], value[closed:]


def _text_of(text: bytes) -> object:
    return msgspec.json.decode(text) if text[:1] in (b'"', b"n") else False
