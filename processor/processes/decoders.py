"""Records decoded by other processes while this one writes: for an export that has much to catch up with."""

from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import Final

import msgspec

from processor.codec import Codec
from processor.processes.pool import cores, pool_of, spread
from processor.sessions.decoding import PART_RECORDS, Part, decode, decode_part, parts_of
from processor.sessions.ports import OutputRecord
from processor.settings.model import Settings
from processor.wiring import schemas

RECORDS_MIN: Final = 4 * PART_RECORDS  # fewer are decoded sooner here than there
_PROCESSES_MAX: Final = 2  # As much as one writer can write.

# Between processes: six times as fast as pickle, which calls Python for each named tuple.
_encode: Final = msgspec.msgpack.Encoder().encode
_records: Final = msgspec.msgpack.Decoder(list[OutputRecord])
_part: Final = msgspec.msgpack.Decoder(Part)

_here: list[Codec] = []  # in a process of the pool


class Decoders:
    """Decodes as `exporter.decoding.decode` does, with processes that start when first needed and end with `close`."""

    def __init__(self, settings: Settings) -> None:
        """`settings`: where the schemas are."""
        self._settings = settings
        self._codec = Codec(schemas(settings))
        self._count = min(cores() - 1, _PROCESSES_MAX)
        self._pool: ProcessPoolExecutor | None = None

    def decode(self, records: Sequence[OutputRecord]) -> Iterable[Part]:
        """Yield what `records` say, some at a time. Raises as `decode` of one process."""
        if self._count == 0 or len(records) < RECORDS_MIN:
            return decode(self._codec, records)
        if self._pool is None:
            self._pool = pool_of(self._count, _begin, self._settings)
        return map(_part.decode, spread(self._pool, _decode, map(_encode, parts_of(records))))

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
