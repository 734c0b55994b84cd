"""Many sockets of one process, each of which says something at a fixed rate: the load of `bench.sockets`.

It speaks the WebSocket protocol by hand: a library's client takes more CPU time than the service, on the same cores.
Prints, as JSON, how long each message took until its acknowledgement and until its number, ms.
"""

import argparse
import asyncio
import json
import os
import struct
import time
from typing import Any, Final

import uvloop

_HEAD: Final = (
    "GET /ws?user_id={user} HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Protocol: a3cp.v1\r\n\r\n"
)
_SHORT_MAX: Final = 125
_LONG: Final = 126
_PING, _CLOSE = 0x9, 0x8
_OPENING_MAX: Final = 100  # at once
_STRAGGLERS_S: Final = 10.0


def frame_of(text: bytes, opcode: int = 0x1) -> bytes:
    """Return a frame of a client; its mask is 0, so its text stays as it is."""
    size = bytes([0x80 | len(text)]) if len(text) <= _SHORT_MAX else struct.pack("!BH", 0x80 | _LONG, len(text))
    return bytes([0x80 | opcode]) + size + bytes(4) + text


class Talker(asyncio.Protocol):
    """One socket."""

    def __init__(self, user: str, trips: dict[str, list[float]]) -> None:
        self.opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.said = self.acked = self.tagged = self.slowed = self.errors = 0
        self._user = user
        self._trips = trips
        self._rest = b""
        self._is_upgraded = False
        self._at_s: dict[int, float] = {}
        self._transport: Any = None
        self._say = b""

    def connection_made(self, transport: Any) -> None:
        """Ask for the socket."""
        self._transport = transport
        transport.write(_HEAD.format(user=self._user).encode())

    def connection_lost(self, exc: Exception | None) -> None:
        """Take note that it is gone."""
        del exc
        if not self.opened.done():
            self.opened.set_exception(ConnectionError("the service closed before the session began"))

    def say(self) -> None:
        """Say something."""
        self.said += 1
        self._at_s[self.said] = time.perf_counter()
        self._transport.write(frame_of(self._say + b'"ackId":%d}' % self.said))

    def close(self) -> None:
        """Close cleanly."""
        self._transport.write(frame_of(struct.pack("!H", 1000), _CLOSE))
        self._transport.close()

    def data_received(self, data: bytes) -> None:
        """Take what came."""
        data = self._rest + data
        if not self._is_upgraded:
            head, found, data = data.partition(b"\r\n\r\n")
            if not found:
                self._rest = head
                return
            self._is_upgraded = True
        at = 0
        while len(data) - at >= 2:
            size, begin = data[at + 1], at + 2
            if size == _LONG:
                if len(data) - at < 4:
                    break
                size, begin = struct.unpack_from("!H", data, at + 2)[0], at + 4
            if len(data) < begin + size:
                break
            self._take(data[at] & 0xF, data[begin : begin + size])
            at = begin + size
        self._rest = data[at:]

    def _take(self, opcode: int, text: bytes) -> None:
        if opcode == _PING:
            self._transport.write(frame_of(text, 0xA))
        elif text.startswith(b'{"type":"ack"'):
            self.acked += 1
            self._note("ack", text)
        elif text.startswith(b'{"type":"tagged"'):
            self.tagged += 1
            self._note("tagged", text)
        elif text.startswith(b'{"type":"session_created"'):
            session_id = json.loads(text)["payload"]["sessionId"]
            said = {"sessionId": session_id, "command": "say", "payload": {"text": "well, I never said that"}}
            self._say = json.dumps(said).encode()[:-1] + b","
            self.opened.set_result(None)
        elif text.startswith(b'{"type":"slow_down"'):
            self.slowed += 1
        elif not text.startswith(b'{"type":"event"'):
            self.errors += 1

    @property
    def waits(self) -> int:
        """How many answers are to come."""
        return 2 * self.said - self.acked - self.tagged

    def _note(self, kind: str, text: bytes) -> None:
        at_s = self._at_s[json.loads(text)["payload"]["ackId"]]
        self._trips[kind].append((time.perf_counter() - at_s) * 1e3)


async def talk(port: int, sockets: int, rate: float, seconds: float) -> dict[str, Any]:
    """Open `sockets`, let each say something `rate` times a second, and return how long that took."""
    loop = asyncio.get_running_loop()
    trips: dict[str, list[float]] = {"ack": [], "tagged": []}
    opening = asyncio.Semaphore(_OPENING_MAX)

    async def opened(number: int) -> Talker:
        async with opening:
            _, talker = await loop.create_connection(lambda: Talker(f"talker-{number}", trips), "127.0.0.1", port)
            await talker.opened
            return talker

    begun_s = loop.time()
    talkers = await asyncio.gather(*(opened(number) for number in range(sockets)))
    opened_s = loop.time() - begun_s
    await _told("opened")
    count = int(sockets * rate * seconds)
    begun_s = loop.time()
    for number in range(count):
        due_s = begun_s + number / (sockets * rate)
        if due_s > loop.time():
            await asyncio.sleep(due_s - loop.time())
        talkers[number % sockets].say()
    said_s = loop.time() - begun_s
    until_s = loop.time() + _STRAGGLERS_S
    while loop.time() < until_s and any(each.waits for each in talkers):  # noqa: ASYNC110  # They only count.
        await asyncio.sleep(0.05)
    await _told("said")
    for talker in talkers:
        talker.close()
    await asyncio.sleep(0.5)
    return {
        "trips": trips,
        "said": count,
        "acked": sum(each.acked for each in talkers),
        "tagged": sum(each.tagged for each in talkers),
        "slowed": sum(each.slowed for each in talkers),
        "errors": sum(each.errors for each in talkers),
        "opened_s": opened_s,
        "said_s": said_s,
        "cpu_s": sum(os.times()[:2]),
    }


async def _told(word: str) -> None:
    """Tell the bench where we are, and wait until it has looked."""
    print(word, flush=True)
    await asyncio.to_thread(input)


def main() -> None:
    """Talk, and print what came of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--sockets", type=int, required=True)
    parser.add_argument("--rate", type=float, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    asked = parser.parse_args()
    done = uvloop.run(talk(asked.port, asked.sockets, asked.rate, asked.seconds))
    print(json.dumps(done), flush=True)


if __name__ == "__main__":
    main()
