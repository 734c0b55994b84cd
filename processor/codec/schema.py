"""The schemas that are known, by the header of a value: those shipped, and those a registry answers for."""

import contextlib
import json
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, Generic, NamedTuple, Protocol, TypeVar

from processor.codec import avroschema
from processor.codec.avroschema import SchemaError, SchemaJson
from processor.codec.foreign import unknown_id
from processor.codec.layouts import (
    SOURCE_ID,
    TAG_FIELDS,
    Layout,
    TaggedLayout,
    layout_of,
    tagged_layout_of,
    tagged_schema,
)
from processor.codec.remembered import Remembered
from processor.codec.wire import CONFLUENT_HEADER_BYTES, avro_header, confluent_header
from processor.errors import DecodeError, NoRegistry, RegistryUnavailable, SchemaUnknown

LAYOUTS_MAX: Final = 1024  # schemas of a registry that are remembered; then they are asked for again
LAYOUTS_CHARS_MAX: Final = 4 * 1024 * 1024  # of their texts together; what is made of them takes up to 25 times as much
REFUSALS_MAX: Final = 8192  # ids that are remembered as of no use
REFUSAL_S: Final = 30.0  # for how long; then they are asked for again
EVENTS: Final = b""  # in place of a header: the schema of session events
SHIPPED: Final = ("A3CPMessage", "SessionCommand", "SessionEvent", "TaggedA3CPMessage")
_TAGGED_ONLY: Final = "give a record of the tagged topic"


class _HasValue(Protocol):
    def value(self) -> bytes | None: ...


class SchemaSource(Protocol):
    """A schema registry, as far as the codec needs one."""

    def schema_text(self, schema_id: int) -> str | None:
        """Return the Avro schema with this id; None when there is none.

        Raises:
            RegistryUnavailable: it does not answer.
            DecodeError: the id is that of a schema of another kind than Avro.
        """
        ...

    def register(self, subject: str, text: str) -> int:
        """Return the id of the Avro schema `text` under `subject`, new or old.

        Raises:
            RegistryUnavailable: it does not answer.
            DecodeError: it refuses the schema, for example as incompatible.
        """
        ...


class _Refusal(NamedTuple):
    """Why values with a schema of the registry cannot be read, and until when that counts."""

    kind: type[DecodeError]
    what: str
    remedy: str
    until_s: float


T = TypeVar("T")


class _Registered(Generic[T]):
    """What the registry was asked for, by header: what was made of it, and why nothing could be."""

    def __init__(self) -> None:
        self.known: Remembered[T] = Remembered(count_max=LAYOUTS_MAX, weight_max=LAYOUTS_CHARS_MAX)
        self.refused: Remembered[_Refusal] = Remembered(count_max=REFUSALS_MAX, weight_max=REFUSALS_MAX)


class Schemas:
    """The schemas by header. Those of a registry are asked for once each, and remembered with a limit."""

    def __init__(
        self,
        current: Mapping[str, str],
        older: Iterable[str] = (),
        source: SchemaSource | None = None,
        *,
        tagged_subject: str = "a3cp.tagged-value",
        events_subject: str = "a3cp.sessions-value",
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        """Know the shipped schemas.

        Args:
            current: text of each schema in schemas/avro by its record's name, such as A3CPMessage.
            older: texts of the schemas of earlier releases, which stored values may still name.
            source: the registry; None when there is none, then Confluent-framed values cannot be read.
            tagged_subject: where the schemas of tagged messages are registered.
            events_subject: where that of session events is.
            monotonic_s: seconds since some moment.
        """
        self._monotonic_s = monotonic_s
        self._source = source
        self._tagged_subject = tagged_subject
        self._events_subject = events_subject
        self._events_text = current["SessionEvent"]
        self._events_id: int | None = None
        tagged = avroschema.parse(current["TaggedA3CPMessage"])
        self._tag_fields: list[SchemaJson] = tagged["fields"][-TAG_FIELDS:]
        shipped = avroschema.parse(current["A3CPMessage"])
        self.shipped_header: Final = avro_header(avroschema.fingerprint(shipped))
        self._shipped_fields = json.loads(avroschema.canonical_form(shipped))["fields"]
        self.layouts: dict[bytes, Layout] = {}
        self._registered: _Registered[Layout] = _Registered()
        self._tagged: dict[bytes, TaggedLayout] = {}
        self._registered_tagged: _Registered[TaggedLayout] = _Registered()
        for text in (*current.values(), *older):
            schema = avroschema.parse(text)
            header = avro_header(avroschema.fingerprint(schema))
            if header not in self.layouts:
                self.layouts[header] = self._layout(schema, header)

    def layout(self, header: bytes) -> Layout:
        """Return the layout of values with `header`.

        Raises:
            DecodeError: no such schema is known, or it can be neither read nor tagged.
            RegistryUnavailable: the registry is needed and does not answer.
        """
        known = self.layouts.get(header) or self._registered.known.get(header)
        if known is not None:
            return known
        if header[0]:
            raise SchemaUnknown(
                f"value has schema fingerprint {header[:1:-1].hex()}, which no shipped schema has",
                remedy="write with a shipped schema, or use a schema registry",
            )
        return self._learn(header, self._registered, self._layout)

    def tagged_layout(self, header: bytes) -> TaggedLayout:
        """Return the layout of tagged values with `header`. Raises as `layout` does."""
        known = self._tagged.get(header) or self._registered_tagged.known.get(header)
        if known is not None:
            return known
        if header[0]:
            raise SchemaUnknown(
                f"value has schema fingerprint {header[:1:-1].hex()}, which no tagged schema has",
                remedy=_TAGGED_ONLY,
            )
        return self._learn(header, self._registered_tagged, _tagged_layout_by_id)

    def events_header(self) -> bytes:
        """Return the header of Confluent-framed session events.

        Raises:
            RegistryUnavailable: it does not take their schema, does not answer, or there is none.
        """
        if self._events_id is None:
            try:
                events_id = self._registry().register(self._events_subject, self._events_text)
            except DecodeError as error:  # No record's fault: whoever runs this must act.
                raise RegistryUnavailable(
                    f"session events cannot be registered: {error.what}",
                    remedy="set SCHEMA_REGISTRY_URL, or let the registry accept the schema SessionEvent",
                ) from error
            header = confluent_header(events_id)
            # Known at once: a record may have named the id before there was one, and been refused.
            layout = self._layout(json.loads(self._events_text), header)
            self._registered.known.put(header, layout, len(self._events_text))
            self._events_id = events_id
        return confluent_header(self._events_id)

    def lacking(self, records: Iterable[_HasValue]) -> list[bytes]:
        """Return what the registry has to be asked for, each once, before `records` can be read and answered.

        It is the headers of values, and `EVENTS` where there may be events to tell.
        """
        if self._source is None:
            return []
        framed = dict.fromkeys(
            value[:CONFLUENT_HEADER_BYTES] for record in records if (value := record.value()) and value[0] == 0
        )
        lacking = [header for header in framed if len(header) == CONFLUENT_HEADER_BYTES and self.lacks(header)]
        if self._events_id is None and any(header in self._registered.known for header in framed):
            lacking.append(EVENTS)
        return lacking

    def lacks(self, header: bytes) -> bool:
        """Whether the registry has to be asked for `header`, or for `EVENTS`, since nothing is known of it yet."""
        if header == EVENTS:
            return self._events_id is None
        return header not in self._registered.known and self._refusal(header, self._registered) is None

    def ask(self, header: bytes) -> None:
        """Ask the registry for `header`, or for `EVENTS`, and remember what it says; any thread may.

        Raises:
            RegistryUnavailable: it does not answer.
        """
        if header == EVENTS:
            self.events_header()
            return
        with contextlib.suppress(DecodeError):  # It is remembered.
            self.layout(header)

    def _registry(self) -> SchemaSource:
        if self._source is None:
            raise NoRegistry(
                "value is Confluent-framed and no schema registry is configured",
                remedy="set SCHEMA_REGISTRY_URL, then replay the dead letter",
            )
        return self._source

    def _refusal(self, header: bytes, registered: _Registered[Any]) -> _Refusal | None:
        refusal: _Refusal | None = registered.refused.get(header)
        return refusal if refusal is not None and self._monotonic_s() < refusal.until_s else None

    def _learn(self, header: bytes, registered: _Registered[T], made_of: Callable[[SchemaJson, bytes], T]) -> T:
        """Ask for the schema of `header`, and remember what is made of it, or why nothing can be."""
        refusal = self._refusal(header, registered)
        if refusal is not None:
            raise refusal.kind(refusal.what, remedy=refusal.remedy)
        schema_id = int.from_bytes(header[1:], "big")
        try:
            text = self._registry().schema_text(schema_id)
            if text is None:
                what, remedy = unknown_id(schema_id)
                raise SchemaUnknown(what, remedy=remedy)
            made = _made_of(text, schema_id, lambda schema: made_of(schema, header))
        except DecodeError as error:
            refusal = _Refusal(type(error), error.what, error.remedy, self._monotonic_s() + REFUSAL_S)
            registered.refused.put(header, refusal, 1)
            raise
        registered.known.put(header, made, len(text))
        return made

    def _layout(self, schema: SchemaJson, header: bytes) -> Layout:
        layout = layout_of(schema, self._shipped_fields)
        return layout._replace(tagged_header=self._tagged_header(schema, header)) if layout.is_message else layout

    def _tagged_header(self, schema: SchemaJson, header: bytes) -> bytes:
        source_id = int.from_bytes(header[1:], "big") if header[0] == 0 else None
        tagged = tagged_schema(schema, self._tag_fields, source_id)
        layout = tagged_layout_of(tagged, header)
        if source_id is None:
            tagged_header = avro_header(avroschema.fingerprint(tagged))
            self._tagged[tagged_header] = layout
            return tagged_header
        text = json.dumps(tagged)
        try:
            tagged_header = confluent_header(self._registry().register(self._tagged_subject, text))
        except RegistryUnavailable as error:
            raise RegistryUnavailable(
                f"the tagged form of schema id {source_id} cannot be registered: {error.what}", remedy=error.remedy
            ) from error
        self._registered_tagged.known.put(tagged_header, layout, len(text))
        return tagged_header


def _tagged_layout_by_id(schema: SchemaJson, header: bytes) -> TaggedLayout:
    source_id = schema.get(SOURCE_ID) if isinstance(schema, dict) else None
    if not isinstance(source_id, int) or not 0 <= source_id < 1 << 32:
        schema_id = int.from_bytes(header[1:], "big")
        raise DecodeError(f"schema {schema_id} is not that of a tagged message", remedy=_TAGGED_ONLY)
    return tagged_layout_of(schema, confluent_header(source_id))


def _made_of(text: str, schema_id: int, make: Callable[[SchemaJson], T]) -> T:
    """Return what `make` makes of the schema in `text`.

    Raises:
        DecodeError: nothing can be made of it.
    """
    try:
        return make(avroschema.parse(text))
    except (SchemaError, RecursionError) as error:
        why = error if isinstance(error, SchemaError) else "it is nested too deeply"
        raise DecodeError(
            f"value has schema id {schema_id}, which cannot be used: {why}",
            remedy="write with a schema like A3CPMessage, then replay the dead letter",
        ) from error
