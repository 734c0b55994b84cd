"""Batches that the client cannot read: damaged ones, and those that unpack to too much.

Source: librdkafka's rdkafka_msgset_reader.c. Such a batch comes as an error at its first offset, again at each fetch.
Behind some of them the client would go on with the next batch, so readers must stop by themselves.
"""

import time
from collections.abc import Mapping
from typing import Any, Final

from confluent_kafka import OFFSET_STORED, Consumer, KafkaError, KafkaException, Message, TopicPartition

from processor.errors import Fatal
from processor.runtime.ports import Cause, LogObserver

_CODES: Final = frozenset(
    {
        KafkaError._BAD_COMPRESSION,  # It unpacks to more than `receive.message.max.bytes`, or does not unpack.
        KafkaError._BAD_MSG,  # The checksum is another, or a record in it is cut off.
        KafkaError._NOT_IMPLEMENTED,  # A format or a codec that the client does not know.
        KafkaError._CRIT_SYS_RESOURCE,  # No memory to unpack it into.
        KafkaError.INVALID_MSG,  # The broker found it damaged.
        KafkaError.MSG_SIZE_TOO_LARGE,
        KafkaError.UNKNOWN,  # The broker could not read it.
    }
)
REMEDY: Final = "see 'A batch that cannot be read' in docs/operations.md"
_PAUSE_FIRST_S: Final = 1.0
_PAUSE_MAX_S: Final = 60.0


def is_unreadable(message: Message) -> bool:
    """Whether `message` is an error of the client that says that a batch of its partition cannot be read."""
    error = message.error()
    return error is not None and error.code() in _CODES and (message.partition() or 0) >= 0 and bool(message.topic())


def reading_error(message: Message) -> Fatal | KafkaException:
    """Return what to raise for the error `message`, which ends the reading."""
    return unreadable_error(message) if is_unreadable(message) else KafkaException(message.error())


def unreadable_error(message: Message) -> Fatal:
    """Return the error for a batch that cannot be read."""
    error = message.error()
    assert error is not None
    return Fatal(f"{_position(message)} cannot be read: {error.str()}", remedy=REMEDY)


def tell_unreadable(observer: LogObserver, message: Message) -> None:
    """Tell `observer` which batch cannot be read, and why."""
    partition = message.partition()
    assert partition is not None
    observer.waiting(
        partition,
        Cause.UNREADABLE,
        unreadable_because(message),
        position=_position(message),
        remedy=REMEDY,
    )


def unreadable_because(message: Message) -> str:
    """Return why the batch that `message` tells of cannot be read."""
    error = message.error()
    assert error is not None
    return f"the batch cannot be read: {error.str()}"


def _position(message: Message) -> str:
    return f"{message.topic()}[{message.partition()}]@{message.offset()}"


class Pauses:
    """Partitions of which a batch cannot be read, and when each is tried again: after 1 s, 2 s, up to each minute."""

    def __init__(self) -> None:
        self._due_s: dict[int, float] = {}
        self._pauses_s: dict[int, float] = {}

    def __contains__(self, partition: int) -> bool:
        return partition in self._pauses_s

    def __bool__(self) -> bool:
        return bool(self._pauses_s)

    def put_off(self, partition: int) -> None:
        """Try `partition` again later."""
        pause_s = min(_PAUSE_MAX_S, self._pauses_s.get(partition, _PAUSE_FIRST_S / 2) * 2)
        self._pauses_s[partition] = pause_s
        self._due_s[partition] = time.monotonic() + pause_s

    def due(self) -> list[int]:
        """Return the partitions to try now; each once."""
        now_s = time.monotonic()
        due = [partition for partition, due_s in self._due_s.items() if due_s <= now_s]
        for partition in due:
            del self._due_s[partition]
        return due

    def forget(self, partition: int) -> None:
        """Forget `partition`: it is read again, or belongs to another member."""
        self._due_s.pop(partition, None)
        self._pauses_s.pop(partition, None)


class Probes:
    """Tries whether partitions that a reader has put off can be read again.

    Each try has a new client. Behind a wrong checksum, librdkafka 2.16 goes on with the bytes at a wrong place, then
    from the beginning, and gives what it finds to the next reader of that partition with the same client.
    """

    def __init__(self, conf: Mapping[str, Any], topic: str) -> None:
        """Use `conf`, librdkafka's properties with the group's id."""
        self._conf = dict(conf)
        self._topic = topic
        self._pauses = Pauses()
        self._clients: dict[int, Consumer] = {}
        self._offsets: dict[int, int] = {}

    def __bool__(self) -> bool:
        return bool(self._pauses)

    def put_off(self, partition: int, offset: int = OFFSET_STORED) -> None:
        """Try `partition` later, from `offset`, else from what the group has committed."""
        self._offsets[partition] = offset
        self._pauses.put_off(partition)

    def forget(self, partition: int) -> None:
        """Forget `partition`: it is read again, or belongs to another member."""
        self._pauses.forget(partition)
        self._close(partition)

    def one_is_readable(self) -> bool:
        """Return at once whether a partition can be read again. Call it again and again."""
        for partition in self._pauses.due():
            client = self._clients[partition] = Consumer(self._conf)
            client.assign([TopicPartition(self._topic, partition, self._offsets[partition])])
        for partition, client in list(self._clients.items()):
            message = client.poll(0)
            if message is None:
                continue
            error = message.error()
            if error is None or error.code() == KafkaError._PARTITION_EOF:
                return True
            self._close(partition)
            self._pauses.put_off(partition)
        return False

    def close(self) -> None:
        """Forget all."""
        for partition in list(self._clients):
            self._close(partition)
        self._pauses = Pauses()

    def _close(self, partition: int) -> None:
        if (client := self._clients.pop(partition, None)) is not None:
            client.close()
