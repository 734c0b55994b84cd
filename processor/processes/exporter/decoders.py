"""Decodes records in other processes while this one writes: for an export with many records to catch up with."""

from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import Final

import msgspec

from processor.codec import Codec
from processor.processes.pool import cores, pool_of, spread
from processor.sessions.projection.decoding import PART_RECORDS, Part, decode, decode_part, parts_of
from processor.sessions.projection.feed import OutputRecord
from processor.settings.model import Settings
from processor.wiring import schemas

_PARTS_MIN: Final = 4  # fewer are decoded sooner here than there
_PROCESSES_MAX: Final = 2  # As much as one writer can write.

# Between processes: six times as fast as pickle, which calls Python for each named tuple.
_encode: Final = msgspec.msgpack.Encoder().encode
_records: Final = msgspec.msgpack.Decoder(list[OutputRecord])
_part: Final = msgspec.msgpack.Decoder(Part)

_here: list[Codec] = []  # in a process of the pool


class Decoders:
    """Decodes as projection/decoding.py does, with processes that start when first needed and end with `close`."""

    def __init__(self, settings: Settings, *, count: int | None = None, part_records: int = PART_RECORDS) -> None:
        """Prepare to decode.

        Args:
            settings: where the schemas are.
            count: how many processes help; by default as many as cores are left, and one writer can follow.
            part_records: how many records are handed over at a time.
        """
        self._settings = settings
        self._codec = Codec(schemas(settings))
        self._count = min(cores() - 1, _PROCESSES_MAX) if count is None else count
        self._part_records = part_records
        self._pool: ProcessPoolExecutor | None = None

    def decode(self, records: Sequence[OutputRecord]) -> Iterable[Part]:
        """Yield what `records` say, some at a time. Raises as `decode` of one process."""
        if self._count == 0 or len(records) < _PARTS_MIN * self._part_records:
            return decode(self._codec, records)
        if self._pool is None:
            self._pool = pool_of(self._count, _begin, self._settings)
        parts = map(_encode, parts_of(records, self._part_records))
        return map(_part.decode, spread(self._pool, _decode, parts))

    def close(self) -> None:
        """End the processes, if there are any."""
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
            self._pool = None


def _begin(settings: Settings) -> None:
    _here.append(Codec(schemas(settings)))


def _decode(records: bytes) -> bytes:
    (codec,) = _here
    return _encode(decode_part(codec, _records.decode(records)))
