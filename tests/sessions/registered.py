"""Records whose schemas are in a registry that fails on some of them."""

import itertools
from functools import partial
from threading import Event
from typing import Any

from processor.errors import RegistryUnavailable, SchemaUnknown
from processor.sessions.ports import SESSIONS, TAGGED
from processor.sessions.projection.decoding import decode
from processor.sessions.projection.feed import OutputRecord
from processor.sessions.projection.materializer import Decode
from tests.sessions.outputs import CODEC, message, processed

FINE, FAILS, FAILS_TOO = 1, 2, 3
HEADER_BYTES = 5


def framed(record: OutputRecord, schema_id: int) -> OutputRecord:
    return record._replace(value=b"\0" + schema_id.to_bytes(4, "big") + (record.value or b""))


class Registered:
    """A codec whose values have a schema id each before them; its registry fails on those in `fails`."""

    def __init__(self, *fails: int) -> None:
        self.fails = set(fails)
        self.unknown: set[int] = set()  # of these the registry says that there are none
        self.slow = Event()  # it fails once this is set
        self.slow.set()
        self.asked: list[int] = []

    @property
    def decode(self) -> Decode:
        """Decode records with this codec."""
        return partial(decode, self)  # type: ignore[arg-type]  # Of a codec, the two methods below are used.

    def _content(self, value: bytes) -> bytes:
        schema_id = int.from_bytes(value[1:HEADER_BYTES], "big")
        if schema_id in self.fails:
            self.asked.append(schema_id)
            self.slow.wait()
            raise RegistryUnavailable(f"no answer for {schema_id}", remedy="look at the registry")
        if schema_id in self.unknown:
            raise SchemaUnknown(f"no schema {schema_id}")
        return value[HEADER_BYTES:]

    def untag(self, value: bytes) -> Any:
        return CODEC.untag(self._content(value))

    def decode_event(self, value: bytes) -> Any:
        return CODEC.decode_event(self._content(value))


def with_ids(records: list[OutputRecord], ids: dict[tuple[str, int, int], int]) -> list[OutputRecord]:
    """Return the records, each with a schema id: the one that `ids` names at its topic, partition and number there."""
    numbers: dict[tuple[str, int], Any] = {}
    made = []
    for record in records:
        number = next(numbers.setdefault(record[:2], itertools.count()))
        made.append(framed(record, ids.get((*record[:2], number), FINE)))
    return made


PLAIN = processed([message(f"user-{n % 5}", n * 1000, source="ui", transcript=f"word{n}") for n in range(60)])
RECORDS = with_ids(
    PLAIN, {(TAGGED, 0, 4): FAILS, (TAGGED, 1, 9): FAILS_TOO, (TAGGED, 0, 8): FAILS_TOO, (SESSIONS, 1, 1): FAILS}
)
FIRST = {  # where each partition waits
    (TAGGED, 0): next(r.offset for r in RECORDS if r[:2] == (TAGGED, 0) and r.value[4] == FAILS),  # type: ignore[index]
    (TAGGED, 1): next(r.offset for r in RECORDS if r[:2] == (TAGGED, 1) and r.value[4] == FAILS_TOO),  # type: ignore[index]
    (SESSIONS, 1): next(r.offset for r in RECORDS if r[:2] == (SESSIONS, 1) and r.value[4] == FAILS),  # type: ignore[index]
}
