"""The codec: record bytes in, values of the core; tagged and event bytes out, in the encoding that came in.

Here an encoding is chosen by a value's first bytes; what is done with it is in jsontext.py and avro.py.
"""

from typing import Any, Final

from processor.codec import events
from processor.codec.avro import AvroMessages
from processor.codec.events import EventView
from processor.codec.formats import format_of
from processor.codec.isotime import TIME_MS_MAX
from processor.codec.jsontext import JsonMessages
from processor.codec.schema import EVENTS, Schemas
from processor.codec.tagged import TaggedView
from processor.codec.wire import AVRO, CONFLUENT, ENCODINGS, JSON, avro_header, encoding_of, header_of
from processor.core.model import Record, SessionEvent, Tagged, odd_words
from processor.errors import DecodeError, InvalidMessage

_EVENTS_HEADER: Final = avro_header(events.FINGERPRINT)


class Codec:
    """Reads messages and commands, writes tagged messages and events. Holds nothing but caches."""

    def __init__(self, schemas: Schemas, *, strict: bool = False) -> None:
        """Use `schemas`; `strict` makes an InvalidMessage of whatever does not conform (rule R16)."""
        self._schemas: Final = schemas
        self._json: Final = JsonMessages(strict=strict)
        self._avro: Final = AvroMessages(schemas, strict=strict)
        self._by_first_byte: Final[dict[int, JsonMessages | AvroMessages]] = {
            0x7B: self._json,
            0xC3: self._avro,
            0: self._avro,
        }

    def _messages(self, value: bytes | None) -> JsonMessages | AvroMessages:
        return self._json if encoding_of(value) == JSON else self._avro

    def decode(self, value: bytes | None, append_ms: int) -> Record:
        """Return the message or command in `value`, which the broker appended at `append_ms`.

        Raises:
            DecodeError: its bytes cannot be read, or no schema for them is known.
            InvalidMessage: rule R16 or R7, see spine.py; or `append_ms` is no time, so rule R10 has no bound.
            RegistryUnavailable: its schema is in a registry that does not answer.
        """
        if not 0 <= append_ms <= TIME_MS_MAX:
            raise InvalidMessage(
                f"the record has no usable append time (its timestamp is {append_ms})",
                remedy="set message.timestamp.type of its topic to LogAppendTime, then retry the dead letter",
            )
        try:
            messages = (self._by_first_byte.get(value[0]) if value else None) or self._messages(value)
            return messages.decode(value or b"", append_ms)
        except DecodeError as error:
            found = format_of(value) if value else None
            if found is None:
                raise
            raise DecodeError(f"value is {found.name}", remedy=found.remedy) from error

    def reasons(self, value: bytes) -> tuple[str, ...]:
        """Return why the message that came as `value` is nonconforming, in words of `Odd`. Raises as `decode` does."""
        return odd_words(self.decode(value, 0).odd)

    def fields_of(self, value: bytes) -> dict[str, Any]:
        """Return the fields of the record `value`, as JSON has them, whether or not it is fit to be tagged.

        Raises:
            DecodeError: its bytes cannot be read, or no schema for them is known.
            RegistryUnavailable: as for `decode`.
        """
        return self._messages(value).fields_of(value)

    def tag(self, value: bytes, tagged: Tagged) -> bytes:
        """Return `value`, which `decode` took for a message, with the tag: all that came is copied as it is."""
        return (self._by_first_byte.get(value[0]) or self._json).tag(value, tagged)

    def strip(self, value: bytes) -> bytes:
        """Return the bytes that a tagged `value` came in as: the inverse of `tag`.

        Raises:
            DecodeError: it is no tagged message.
            RegistryUnavailable: as for `decode`.
        """
        return self._messages(value).strip(value)

    def untag(self, value: bytes) -> tuple[TaggedView, bytes]:
        """Return all that the tagged message `value` says, and the bytes that it came in as. Raises as `strip` does."""
        messages = (self._by_first_byte.get(value[0]) if value else None) or self._messages(value)
        return messages.untag(value)

    def decode_tagged(self, value: bytes) -> TaggedView:
        """Return all that the tagged message `value` says. Raises as `strip` does."""
        return self.untag(value)[0]

    def encode_event(self, user_id: str, event: SessionEvent, encoding: int) -> bytes:
        """Return the record that tells `event` of `user_id`'s session.

        Raises:
            RegistryUnavailable: `encoding` is Confluent's and there is no registry, or it does not answer.
        """
        assert encoding in ENCODINGS
        if encoding == JSON:
            return events.to_json(events.view_of(user_id, event))
        header = _EVENTS_HEADER if encoding == AVRO else self._schemas.events_header()
        return header + events.write_avro(user_id, event)

    def lacks_events(self, encoding: int) -> bool:
        """Whether the registry has to be asked before `encode_event` can write in `encoding`."""
        return encoding == CONFLUENT and self._schemas.lacks(EVENTS)

    def decode_event(self, value: bytes) -> EventView:
        """Return the session event in `value`.

        Raises:
            DecodeError: it is no session event.
            RegistryUnavailable: as for `decode`.
        """
        if encoding_of(value) == JSON:
            return events.from_json(value)
        header = header_of(value)
        return events.from_avro(value, len(header), self._schemas.layout(header).read)
