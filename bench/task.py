"""The processor's own parts without Kafka, wired as `a3cp process` wires them; and states of users as in life."""

import random
from hashlib import sha256
from typing import Final

from bench.messages import START_MS
from bench.scale import GAP_MS
from processor.codec.codec import Codec
from processor.codec.state import encode_state
from processor.codec.wire import AVRO
from processor.core.ids import session_id
from processor.core.model import FINGERPRINT_BYTES, RECENT_RECORDS_MAX, IdFormat, Rules, Session, UserState
from processor.runtime.partitioner import partition_of
from processor.runtime.task import Task
from processor.settings.model import Settings
from processor.wiring import schemas

_RECORD_BYTES_MAX: Final = 2 << 20


def new_codec() -> Codec:
    """Return a codec that knows the shipped schemas."""
    return Codec(schemas(Settings()))


def new_task(partition: int = 0, partitions: int = 1) -> Task:
    """Return an empty task."""
    return Task(
        partition,
        partitions,
        codec=new_codec(),
        rules=Rules(gap_ms=GAP_MS),
        topics=Settings().topics(),
        record_bytes_max=_RECORD_BYTES_MAX,
    )


def user_key(number: int) -> bytes:
    """Return the key of the drain's user `number`."""
    return f"user{number:07d}".encode()


def open_since_ms(number: int) -> int:
    """Return when the open session of the user `number` began: at some time of one hour."""
    return START_MS + number * 2_654_435_761 % 3_600_000


def open_state(number: int, messages: int, append_ms: int) -> bytes:
    """Return the encoded state of a user whose open session has had `messages` messages so far, one in 10 s."""
    user_id = user_key(number).decode()
    start_ms = open_since_ms(number)
    name = session_id(user_id, start_ms, f"{number:032x}", IdFormat.DATED)
    session = Session(name, start_ms, start_ms + 10_000 * (messages - 1), messages, sha256(user_id.encode()).digest())
    recent = random.Random(number).randbytes(FINGERPRINT_BYTES * min(messages, RECENT_RECORDS_MAX))
    return encode_state(UserState(session, (), recent, None, append_ms, AVRO, number))


def users_of(partition: int, partitions: int, users: int) -> list[int]:
    """Return the numbers of the users that belong in a partition."""
    return [number for number in range(users) if partition_of(user_key(number), partitions) == partition]
