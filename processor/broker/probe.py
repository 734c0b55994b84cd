"""Asks a broker whether it takes work, in the least of Kafka's protocol that can tell."""

import secrets
import socket
import struct

METADATA_KEY = 3
METADATA_VERSION = 1
ANSWER_BYTES_MAX = 64 * 1024


def answers(port: int, *, timeout_s: float = 1.0) -> bool:
    """Return whether the broker at 127.0.0.1:`port` counts itself among the brokers that take work.

    An open port is not enough: a node listens before the controller lets it in, and is in no answer until then.
    """
    # Header: API key, version, correlation id, no client id; body: an empty list of topics.
    request = struct.pack(">hhihi", METADATA_KEY, METADATA_VERSION, 1, -1, 0)
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=timeout_s) as connection:
            connection.sendall(struct.pack(">i", len(request)) + request)
            (size_bytes,) = struct.unpack(">i", _read(connection, 4))
            if not 0 < size_bytes <= ANSWER_BYTES_MAX:
                return False
            correlation_id, brokers = struct.unpack_from(">ii", _read(connection, size_bytes))
    except (OSError, EOFError, struct.error):
        return False
    return bool(correlation_id == 1 and brokers > 0)


def _read(connection: socket.socket, size_bytes: int) -> bytes:
    chunks = bytearray()
    while len(chunks) < size_bytes:
        chunk = connection.recv(size_bytes - len(chunks))
        if not chunk:
            raise EOFError
        chunks += chunk
    return bytes(chunks)


def is_free(port: int) -> bool:
    """Return whether a server could listen on 127.0.0.1:`port` now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def free_ports(count: int) -> range:
    """Return `count` ports in a row that are free now; another process may still take one before it is used.

    They lie below the ports that systems give to outgoing connections (32768 and up), where a client that asks again
    and again for a broker that is away would sooner or later sit on the broker's own port.
    """
    while True:
        first = 10_000 + secrets.randbelow(22_768 - count)
        ports = range(first, first + count)
        if all(map(is_free, ports)):
            return ports
