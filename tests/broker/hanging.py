"""Leaves a transaction open in a partition of which its coordinator knows nothing, as a broker's fault can.

No client can be made to do it, so two requests are written by hand: InitProducerId v1, and Produce v3, with a batch
whose partition was never added to the transaction. The broker must not verify that it was.
"""

import socket
import struct
import time

from confluent_kafka import Producer
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # Its stub forgets to re-export them.
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ResourceType,
)

_PRODUCE, _INIT_PRODUCER_ID = 0, 22  # of the protocol
_INVALID_TXN_STATE = 48
_TRANSACTIONAL = 0x10


def leave_hanging(bootstrap: str, transactional_id: str, topic: str, partition: int) -> None:
    """Append a record to the partition in a transaction that nothing will ever end."""
    _verify(bootstrap, "false")
    host, _, port = bootstrap.rpartition(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        name = _text(transactional_id)
        Producer({"bootstrap.servers": bootstrap, "transactional.id": transactional_id}).init_transactions(10)
        answer = _ask(connection, _INIT_PRODUCER_ID, 1, name + struct.pack(">i", 60_000))
        error, producer_id, epoch = struct.unpack(">4xhqh", answer)
        assert error == 0, f"Kafka error {error}"
        batch = _batch(producer_id, epoch)
        one = struct.pack(">ii", partition, len(batch)) + batch
        request = name + struct.pack(">hii", -1, 10_000, 1) + _text(topic) + struct.pack(">i", 1) + one
        error = _INVALID_TXN_STATE
        deadline_s = time.monotonic() + 10
        while error == _INVALID_TXN_STATE and time.monotonic() < deadline_s:  # Until the setting has come through.
            answer = _ask(connection, _PRODUCE, 3, request)
            (error,) = struct.unpack_from(">h", answer, 4 + len(_text(topic)) + 4 + 4)
        assert error == 0, f"Kafka error {error}"
    _verify(bootstrap, "true")


def _verify(bootstrap: str, value: str) -> None:
    admin = AdminClient({"bootstrap.servers": bootstrap})
    entry = ConfigEntry("transaction.partition.verification.enable", value, incremental_operation=AlterConfigOpType.SET)
    for broker_id in admin.list_topics(timeout=10).brokers:
        resource = ConfigResource(ResourceType.BROKER, str(broker_id), incremental_configs=[entry])
        (future,) = admin.incremental_alter_configs([resource]).values()
        future.result()


def _ask(connection: socket.socket, key: int, version: int, body: bytes) -> bytes:
    request = struct.pack(">hhi", key, version, 1) + _text("test") + body
    connection.sendall(struct.pack(">i", len(request)) + request)
    (size,) = struct.unpack(">i", _read(connection, 4))
    return _read(connection, size)[4:]


def _read(connection: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        part = connection.recv(size - len(data))
        assert part, "the broker has closed the connection"
        data += part
    return data


def _text(text: str) -> bytes:
    return struct.pack(">h", len(text)) + text.encode()


def _batch(producer_id: int, epoch: int) -> bytes:
    """Return a batch of one record, its key `open` and its value `open`."""
    fields = b"\x00\x00\x00" + b"\x08open" * 2 + b"\x00"  # Attributes, deltas; lengths are zigzag; no headers.
    record = bytes([2 * len(fields)]) + fields
    now_ms = time.time_ns() // 1_000_000
    told = struct.pack(">hiqqqhii", _TRANSACTIONAL, 0, now_ms, now_ms, producer_id, epoch, 0, 1) + record
    behind = struct.pack(">ibI", -1, 2, _crc32c(told)) + told
    return struct.pack(">qi", 0, len(behind)) + behind


def _crc32c(data: bytes) -> int:
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF
