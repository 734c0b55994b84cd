"""Kafka away while a client sends: is everything there once, and in order, and how long does it take.

python -m bench.outage [--away 30] [--rate 50] [--users 20]

It has a Kafka of its own, which is stopped for `--away` seconds. A client with an outbox sends all the time. It is
killed twice meanwhile, and the disk with its outbox is full once (as root; else that part is left out, and said so). At
the end the log is read: what was accepted must be there, each user's in order, and a repeat must be close enough to its
first for the processor to flag it.
"""

import argparse
import contextlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from processor import broker
from processor.client import SessionClient
from processor.core.model import RECENT_RECORDS_MAX
from processor.errors import A3CPError
from processor.kafka.reading.reader import Reader
from processor.kafka.topics.admin import ensure_topics

_DISK_BYTES: Final = 256 << 20  # more than ten minutes at 50 a second take
_FULL_S: Final = 10.0
_BEFORE_RECORDS: Final = 200
_AFTER_S: Final = 10.0
_EMPTY_S_MAX: Final = 300.0


def send(bootstrap: str, outbox: Path, accepted: Path, users: int, rate: float, first: int) -> None:
    """Send until the file `stop` beside `accepted` is there; write the number of what is accepted into `accepted`."""
    stop, number, began_s = accepted.with_name("stop"), first, time.monotonic()
    with (
        accepted.open("ab", buffering=0) as out,
        accepted.with_name("refused").open("ab", buffering=0) as refused,
        SessionClient(bootstrap, outbox=outbox) as client,
    ):
        while not stop.exists():
            told = b"%d\n" % number

            def done(error: A3CPError | None, told: bytes = told) -> None:
                (out if error is None else refused).write(told)

            value = b'{"number": %d, "content": "%s"}' % (number, b"word " * 800)
            try:
                client.send(value, user_id=f"user{number % users}", strict=False, on_done=done)
            except A3CPError:
                refused.write(told)
            number += 1
            time.sleep(max(0.0, began_s + (number - first) / rate - time.monotonic()))
        ended_s = time.monotonic()
        waits = client.outbox
        assert waits is not None
        while waits.stock.records and time.monotonic() < ended_s + _EMPTY_S_MAX:
            time.sleep(0.05)


class Sending:
    """A client in a process of its own."""

    def __init__(self, bootstrap: str, outbox: Path, accepted: Path, users: int, rate: float) -> None:
        self._given = [bootstrap, str(outbox), str(accepted), str(users), str(rate)]
        self._starts = 0
        self.start()

    def start(self) -> None:
        """Start it; it goes on with numbers that nobody has used."""
        first = self._starts * 10_000_000
        self._starts += 1
        command = [sys.executable, "-m", "bench.outage", "--client", *self._given, str(first)]
        self.process = subprocess.Popen(command)

    def kill(self) -> None:
        """Kill it, and start another one."""
        self.process.kill()
        self.process.wait()
        self.start()


@contextlib.contextmanager
def small_disk(folder: Path) -> Iterator[bool]:
    """Make `folder` a small disk of its own; yield whether that could be done."""
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={_DISK_BYTES}", "tmpfs", folder], capture_output=True, check=False
    )
    try:
        yield mounted.returncode == 0
    finally:
        if mounted.returncode == 0:
            subprocess.run(["umount", folder], check=True)


def fill(folder: Path) -> None:
    """Fill the disk for a while."""
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as out, contextlib.suppress(OSError):
        while True:
            out.write(bytes(1 << 16))
    time.sleep(_FULL_S)
    filler.unlink()


def measure(away_s: float, rate: float, users: int) -> int:
    """Run it, print what came of it, and return the exit code."""
    with tempfile.TemporaryDirectory(prefix="a3cp-outage-") as name:
        folder = Path(name)
        disk, data = folder / "disk", folder / "kafka"
        disk.mkdir()
        data.mkdir()
        info = broker.up(None, data)
        try:
            with small_disk(disk) as has_disk:
                ensure_topics({"bootstrap.servers": info.bootstrap}, "a3cp", partitions=4)
                accepted = folder / "accepted"
                client = Sending(info.bootstrap, disk / "outbox.db", accepted, users, rate)
                while not accepted.exists() or accepted.read_bytes().count(b"\n") < _BEFORE_RECORDS:
                    time.sleep(0.1)
                broker.down(data)
                parts = [client.kill, (lambda: fill(disk)) if has_disk else (lambda: None), client.kill]
                for part in parts:
                    time.sleep(away_s / (len(parts) + 1))
                    part()
                time.sleep(away_s / (len(parts) + 1))
                broker.up(None, data)
                back_s = time.monotonic()
                time.sleep(_AFTER_S)
                (folder / "stop").touch()
                client.process.wait()
                emptied_s = time.monotonic() - back_s
            return tell(info.bootstrap, folder, users, emptied_s, disk_was_full=has_disk)
        finally:
            broker.down(data)


def tell(bootstrap: str, folder: Path, users: int, emptied_s: float, *, disk_was_full: bool) -> int:
    """Compare the log with what was accepted; print it, and return the exit code."""
    accepted = [int(line) for line in (folder / "accepted").read_bytes().split()]
    refused = (folder / "refused").read_bytes().split()
    log: dict[int, list[int]] = {user: [] for user in range(users)}
    with Reader({"bootstrap.servers": bootstrap}, "a3cp.raw") as reader:
        for record in reader.read_all(range(4)):
            key = (record.key or b"").decode()
            log[int(key.removeprefix("user"))].append(int((record.value or b"").split(b",")[0].split()[-1]))
    missing = unordered = repeats = far = 0
    for user, numbers in log.items():
        wanted = {number for number in accepted if number % users == user}
        once = [number for number in dict.fromkeys(numbers) if number in wanted]
        missing += len(wanted) - len(once)
        unordered += once != sorted(once)
        for place, number in enumerate(numbers):
            if number in numbers[:place]:
                repeats += 1
                far += number not in numbers[max(0, place - RECENT_RECORDS_MAX) : place]
    print(f"accepted {len(accepted):,}, refused {len(refused):,} (the disk was {'' if disk_was_full else 'not '}full)")
    print(f"missing {missing}, users out of order {unordered}")
    print(f"repeats {repeats}, too far from their first to be flagged {far}")
    print(f"{emptied_s:.1f} s from Kafka's return until the last client had sent all, {_AFTER_S:.0f} s of it sending")
    return int(bool(missing or unordered or far))


def main() -> int:
    """Measure, or be the client of a measurement."""
    parser = argparse.ArgumentParser(prog="python -m bench.outage")
    parser.add_argument("--away", type=float, default=30.0, help="how long Kafka is away, s")
    parser.add_argument("--rate", type=float, default=50.0, help="messages a second")
    parser.add_argument("--users", type=int, default=20)
    parser.add_argument("--client", nargs=6, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.client is None:
        return measure(given.away, given.rate, given.users)
    bootstrap, outbox, accepted, users, rate, first = given.client
    send(bootstrap, Path(outbox), Path(accepted), int(users), float(rate), int(first))
    return 0


if __name__ == "__main__":
    os.umask(0o077)
    sys.exit(main())
