"""What a script of a day is made of: records with the moment at which they are sent."""

import io
import json
from random import Random
from typing import Any, Final, NamedTuple
from uuid import UUID

import fastavro

from processor.codec.events import SCHEMA_VERSION
from processor.codec.isotime import format_time
from processor.codec.schema import Schemas
from processor.settings.documents import schema_text

SECOND_MS: Final = 1_000
MINUTE_MS: Final = 60_000

AVRO_SCHEMA: Final = "A3CPMessage"


class Sent(NamedTuple):
    """One record of the day."""

    sent_ms: int  # when it is sent: the order of the day; its own timestamp may say something else
    value: bytes
    key: bytes | None
    partition: int | None  # None for that of the key
    module: str  # who sends it, for the report
    command_id: str | None  # the record_id of a command, by which its outcome is known


class Script:
    """Collects the records of a day. The same seed gives the same record ids."""

    def __init__(self, seed: str, schemas: Schemas) -> None:
        self.records: list[Sent] = []
        self._random = Random(seed)  # noqa: S311  # Ids of a demo need not be unguessable.
        self._header = schemas.shipped_header
        schema = json.loads(schema_text(AVRO_SCHEMA))
        self._avro = fastavro.parse_schema(schema)
        self._spine = [field["name"] for field in schema["fields"] if field["name"] != "extra"]

    def new_id(self) -> str:
        """Return a fresh UUID, version 4 in form."""
        return str(UUID(int=self._random.getrandbits(128), version=4))

    def add(
        self,
        user_id: str | None,
        at_ms: int,
        module: str,
        fields: dict[str, Any],
        *,
        after_ms: int = 0,
        avro: bool = False,
        partition: int | None = None,
    ) -> dict[str, Any]:
        """Add a message of `module` whose event time is `at_ms`, sent `after_ms` later; return its fields.

        `fields` go after the spine and replace what it has of the same name; None leaves a field out.
        """
        spine = {
            "schema_version": SCHEMA_VERSION,
            "record_id": self.new_id(),
            "user_id": user_id,
            "timestamp": format_time(at_ms),
            "source": module,
        }
        message = {key: field for key, field in {**spine, **fields}.items() if field is not None}
        value = self._to_avro(message, at_ms) if avro else _to_json(message)
        key = None if user_id is None or partition is not None else user_id.encode()
        self.records.append(Sent(at_ms + after_ms, value, key, partition, module, None))
        return message

    def again(self, after_ms: int) -> None:
        """Send the record added last once more, as a producer does that heard no answer."""
        last = self.records[-1]
        self.records.append(last._replace(sent_ms=last.sent_ms + after_ms))

    def command(self, user_id: str, at_ms: int, name: str, performer_id: str, **arguments: object) -> str:
        """Add a session command and return its record_id."""
        record_id = self.new_id()
        fields = {
            "schema_version": SCHEMA_VERSION,
            "record_id": record_id,
            "user_id": user_id,
            "timestamp": format_time(at_ms),
            "performer_id": performer_id,
            "source": "ui",
            "command": name,
            **arguments,
        }
        self.records.append(Sent(at_ms, _to_json(fields), user_id.encode(), None, "ui", record_id))
        return record_id

    def raw(self, at_ms: int, module: str, value: bytes, key: str | None = None) -> None:
        """Add a record as it stands."""
        self.records.append(Sent(at_ms, value, None if key is None else key.encode(), None, module, None))

    def _to_avro(self, message: dict[str, Any], at_ms: int) -> bytes:
        record = {name: message.get(name) for name in self._spine}
        extra = {name: field for name, field in message.items() if name not in record}
        record |= {"timestamp": at_ms, "extra": _to_json(extra).decode() if extra else None}
        body = io.BytesIO()
        fastavro.schemaless_writer(body, self._avro, record)
        return self._header + body.getvalue()


def _to_json(fields: dict[str, Any]) -> bytes:
    return json.dumps(fields, ensure_ascii=False, separators=(",", ":")).encode()
