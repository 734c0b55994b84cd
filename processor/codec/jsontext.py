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
from collections.abc import Iterator
from functools import lru_cache
from hashlib import sha256
from typing import Any, Final, Literal, NamedTuple, NoReturn

import msgspec

from processor.codec.isotime import TIME_MS_MAX, format_time, parse_time
from processor.codec.jsonfaults import no_json, no_utf_8
from processor.codec.jsonvalue import DEPTH_MAX, is_too_deep
from processor.codec.oddities import SEMVER, TAG_KEYS
from processor.codec.spine import (
    ARGUMENT_KEYS,
    POLICY_KEY,
    POLICY_SOURCE,
    SPINE_KEYS,
    USER_ID_BYTES_MAX,
    Origin,
    command_of,
    message_of,
    new_message,
)
from processor.codec.wire import JSON, JSON_SPACE
from processor.core.model import Command, Message, Tagged, flag_words
from processor.errors import DecodeError

SESSIONS_CACHED_MAX: Final = 16_384  # sessions whose tag is remembered, about 500 bytes each
_READABLE: Final = "send one JSON object, RFC 8259, in UTF-8"


class _Conforming(msgspec.Struct):
    """The spine of a conforming message. Whatever does not fit is read the slow way."""

    schema_version: str
    record_id: str
    user_id: str
    timestamp: str
    performer_id: str | None = None
    modality: Literal["gesture", "audio", "speech", "image", "multimodal"] | None = None
    source: str | None = None
    capture_id: str | None = None
    session_id: str | None = None


_conforming: Final = msgspec.json.Decoder(_Conforming).decode
_members: Final = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


def read(value: bytes, append_ms: int, *, strict: bool) -> Message | Command:
    """Return the message or command in the JSON text `value`.

    Raises:
        DecodeError: it is no valid JSON object, too deep, or holds a spine field twice.
        InvalidMessage: rules R16 and R7.
    """
    if len(value) < 2 * DEPTH_MAX and value.isascii():  # Too short to be too deep.
        try:
            spine = _conforming(value)
            members = _members(value)
        except msgspec.DecodeError:
            return _read_any(value, append_ms, strict=strict)
        user_id, source, timestamp, claim = spine.user_id, spine.source, spine.timestamp, spine.session_id
        if (
            _is_filled(value, members)
            and timestamp[23:] == "Z"
            and len(user_id) <= USER_ID_BYTES_MAX
            and user_id.isprintable()
            and user_id.isascii()
            and user_id.strip() == user_id != ""
            and source != POLICY_SOURCE
            and _plain_uuid(spine.record_id)
            and _semver(spine.schema_version)
            and _NOT_PLAIN.isdisjoint(members)
        ):
            try:
                timestamp_ms = parse_time(timestamp)
            except ValueError:
                timestamp_ms = -1
            if 0 <= timestamp_ms <= TIME_MS_MAX:
                if claim is not None and not claim.strip():
                    claim = None
                content_hash = sha256(value).digest()
                return new_message(
                    Message,
                    (user_id, spine.record_id, timestamp_ms, append_ms, content_hash, source, claim, 0, JSON, None, 0),
                )
    return _read_any(value, append_ms, strict=strict)


_semver: Final = lru_cache(maxsize=256)(SEMVER)  # There are few, so asking once is enough.
_NOT_PLAIN: Final = frozenset((*TAG_KEYS, "command"))
_plain_uuid: Final = re.compile(
    r"[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}"
).fullmatch


def _is_filled(value: bytes, members: dict[str, msgspec.Raw]) -> bool:
    """Return whether the distinct `members` fill `value` but for white space: then none came twice.

    White space counts nowhere, in strings neither. A key written with escapes is longer than it is here.
    """
    content = b"".join(members.values()) + "".join(members).encode()
    # `{`, `}`, and for each member two quotes, a colon and a comma, but for the last.
    marks = 4 * len(members) + 1
    return len(value.translate(None, JSON_SPACE)) == len(content.translate(None, JSON_SPACE)) + marks


def _read_any(value: bytes, append_ms: int, *, strict: bool) -> Message | Command:
    members = checked_members(value)
    origin = Origin(append_ms, sha256(value).digest(), JSON, strict)
    fields: dict[str, object] = {key: _scalar(members[key]) for key in (*SPINE_KEYS, *ARGUMENT_KEYS) if key in members}
    if "command" in members:
        details = {key: bytes(raw) for key, raw in members.items() if key not in fields}
        return command_of(fields, details, origin)
    fields.update(dict.fromkeys(members.keys() & set(TAG_KEYS)))
    if fields.get("source") == POLICY_SOURCE and POLICY_KEY in members:
        fields[POLICY_KEY] = _whole(members[POLICY_KEY])
    return message_of(fields, origin)


def checked_members(value: bytes) -> dict[str, msgspec.Raw]:
    """Return the members of the object in `value`, each with its text.

    Raises:
        DecodeError: it is no valid JSON object, too deep, or holds a spine field twice.
    """
    try:
        value.decode()
    except UnicodeDecodeError as error:
        raise no_utf_8(value, error.start) from error
    if is_too_deep(value):
        raise DecodeError(f"JSON is more than {DEPTH_MAX} levels deep", remedy="send it flatter")
    try:
        members = _members(value)
    except msgspec.DecodeError as error:
        raise no_json(value, str(error)) from error
    if not _is_filled(value, members):
        seen = set()
        for member in scan(value):
            key = member.key(value)
            if key in _DECIDING and key in seen:
                raise DecodeError(f"JSON has the field {key} twice", remedy="send each field once")
            seen.add(key)
    return members


_DECIDING: Final = frozenset((*SPINE_KEYS, *ARGUMENT_KEYS, POLICY_KEY))


def _scalar(raw: msgspec.Raw) -> object:
    """Return text, truth values and null as they are; anything else as something that is none of them."""
    text = bytes(raw)
    return msgspec.json.decode(text) if text[:1] in (b'"', b"t", b"f", b"n") else 0.0


def _whole(raw: msgspec.Raw) -> object:
    try:
        return msgspec.json.decode(raw)
    except msgspec.DecodeError:  # A number that no float holds.
        return 0.0


# --- members of a text, by position -----------------------------------------------------------------------------------


class Member(NamedTuple):
    """One member of an object: where its key and its value are."""

    key_start: int  # at the quote
    key_end: int  # after the quote
    start: int
    end: int

    def key(self, value: bytes) -> str:
        """Return the key, escapes resolved."""
        text = value[self.key_start : self.key_end]
        return str(msgspec.json.decode(text)) if b"\\" in text else text[1:-1].decode()


_KEY: Final = re.compile(rb'[ \t\r\n,]*("[^"\\]*(?:\\.[^"\\]*)*")[ \t\r\n]*:[ \t\r\n]*', re.DOTALL)
_FLAT_VALUE: Final = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"|[^"\[\]{},\s]+', re.DOTALL)
_TO_BRACKET: Final = re.compile(rb'[^"\[\]{}]*(?:"[^"\\]*(?:\\.[^"\\]*)*"[^"\[\]{}]*)*', re.DOTALL)


def scan(value: bytes) -> Iterator[Member]:
    """Yield the members of the object in `value`, which is valid JSON, in the order of the text."""
    pos = value.index(b"{") + 1
    while key := _KEY.match(value, pos):
        start = key.end()
        if value[start] in b"[{":
            level, end = 1, start + 1
            while level:
                bracket = _end_of(_TO_BRACKET, value, end)
                level += 1 if value[bracket] in b"[{" else -1
                end = bracket + 1
        else:
            end = _end_of(_FLAT_VALUE, value, start)
        yield Member(key.start(1), key.end(1), start, end)
        pos = end


def _end_of(form: re.Pattern[bytes], value: bytes, pos: int) -> int:
    match = form.match(value, pos)
    assert match is not None  # Valid JSON was promised.
    return match.end()


# --- the tag ----------------------------------------------------------------------------------------------------------


class _Claim(msgspec.Struct):
    session_id: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    claimed_session_id: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


_claim: Final = msgspec.json.Decoder(_Claim).decode
_ID_KEY_BYTES: Final = len(b',"session_id":')
_CLAIMED_NULL: Final = b',"claimed_session_id":null'


class Tagger:
    """Splices tags into JSON texts; remembers what stays the same within a session."""

    def __init__(self) -> None:
        self._sessions: dict[str, tuple[int, bytes, bytes]] = {}
        self._flags: dict[int, bytes] = {}

    def tag(self, value: bytes, tagged: Tagged) -> bytes:
        """Return `value`, a text that `read` accepts, with the tag spliced in before its closing brace."""
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


def strip(value: bytes) -> bytes:
    """Return the message that `value`, a tagged text, came in as.

    Raises:
        DecodeError: it is no valid JSON object, or has no tag at its end.
    """
    try:
        value.decode()
        _members(value)
    except (UnicodeDecodeError, msgspec.DecodeError, RecursionError) as error:
        raise DecodeError("tagged value is no JSON object", remedy=_READABLE) from error
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
        return b"%b%b%b%b" % (
            value[: own.start],
            value[claimed.start : claimed.end],
            value[own.end : body_end],
            value[end:],
        )
    if first and keys[first - 1] == "session_id":
        first -= 1
        if first and keys[first - 1] == "claimed_session_id":
            first -= 1
    return value[: _comma_before(value, members[first])] + value[end:]


_APPENDED: Final = re.compile(
    rb',"session_id":"([^"\\]*)","session_seq":(\d{1,18}),"session_start":"([^"\\]*)","session_flags":(\[[a-z_",]*\])\}\Z'
)
_APPENDED_BYTES_MAX: Final = 1024


class Appended(NamedTuple):
    """A tagged text taken apart: the message's own members, the text it came in as, and the tag."""

    fields: dict[str, Any]
    source: bytes
    session_id: str
    seq: int
    start: str
    flags: tuple[str, ...]


def split_appended(value: bytes) -> Appended | None:
    """Return the parts of a tagged text of the first form, the most common one; None when `strip` must look closely.

    The tail begins at a comma that is no part of a string, since a quote follows it, and its brackets are balanced, so
    the members in it are the object's own. With no other `session_id` in the text and no escapes, they are the tag.
    """
    found = _APPENDED.search(value, max(0, len(value) - _APPENDED_BYTES_MAX))
    if found is None or value.count(b"session_id") != 1 or b"\\" in value:
        return None
    try:
        value.decode()
        fields: dict[str, Any] = msgspec.json.decode(value)
        flags = () if found[4] == b"[]" else tuple(msgspec.json.decode(found[4], type=list[str]))
    except (UnicodeDecodeError, msgspec.DecodeError, RecursionError):
        return None
    seq = fields.pop("session_seq")
    session_id = fields.pop("session_id")
    start = fields.pop("session_start")
    del fields["session_flags"]
    return Appended(fields, value[: found.start()] + b"}", session_id, seq, start, flags)


def _comma_before(value: bytes, member: Member) -> int:
    comma = member.key_start - 1
    if value[comma] != 0x2C:  # The tag's own members are written without white space.
        _refuse_untagged()
    return comma


def _refuse_untagged() -> NoReturn:
    raise DecodeError("value has no session tag at its end", remedy="give a record of the tagged topic")


def _split_space(value: bytes) -> tuple[bytes, bytes]:
    closed = len(value.rstrip(JSON_SPACE))
    return value[: closed - 1], value[closed:]


def _text_of(text: bytes) -> object:
    return msgspec.json.decode(text) if text[:1] in (b'"', b"n") else False
