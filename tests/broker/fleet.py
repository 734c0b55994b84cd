"""Worker processes for chaos tests: started, killed, frozen and stopped as an operator or an orchestrator would."""

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple, Self

import psutil
from confluent_kafka import Consumer, Producer, TopicPartition

from processor.core.model import Rules
from processor.kafka.offsets import patiently
from processor.runtime.partitioner import partition_of
from processor.settings.model import TopicNames
from tests.broker.audit import Audit, audit, read_kafka, read_topic
from tests.cli.running import PROGRAM, a3cp

TIMEOUT_S = 120.0  # on a machine that does much else
BASE_MS = 1_750_000_000_000
SESSION_TIMEOUT_MS = 1_000


def await_true(what: str, condition: Callable[[], object], timeout_s: float = TIMEOUT_S) -> None:
    """Wait until `condition` holds; fail with `what` after `timeout_s`."""
    deadline_s = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline_s, f"waited {timeout_s:.0f} s in vain: {what}"
        time.sleep(0.02)  # Between two looks at the condition.


def names_of(prefix: str, raw: str | int | None = None) -> TopicNames:
    """Return the five topics' names."""
    names = TopicNames(*(f"{prefix}.{name}" for name in TopicNames._fields))
    return names if raw is None else names._replace(raw=str(raw))


def message(user_id: str, at_ms: int, *, number: int = 0, source: str = "speech", **more: object) -> bytes:
    """Return a conforming A3CPMessage in JSON; `number` makes it unlike the others."""
    at = datetime.fromtimestamp(at_ms // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S") + f".{at_ms % 1000:03}Z"
    record_id = f"00000000-0000-4000-8000-{number % (1 << 48):012x}"
    fields = {
        "schema_version": "1.0.1", "record_id": record_id, "user_id": user_id, "timestamp": at, "modality": "speech",
        "source": source, **more,
    }  # fmt: skip
    return json.dumps(fields).encode()


def day(seed: int, count: int, users: int, *, gap_ms: int = 3_600_000) -> Iterator[tuple[str, bytes]]:
    """Yield `count` messages of `users` users, with silences beyond the gap, late ones, repeats and a few commands."""
    chance = random.Random(seed)
    now_ms = dict.fromkeys((f"user-{number}" for number in range(users)), BASE_MS)
    last: dict[str, bytes] = {}
    for number in range(count):
        user = f"user-{chance.randrange(users)}"
        draw = chance.random()
        now_ms[user] += chance.randrange(2 * gap_ms, 3 * gap_ms) if draw < 0.02 else chance.randrange(1, 20_000)
        at_ms = now_ms[user]
        if draw > 0.99 and user in last:
            yield user, last[user]  # A repeat.
            continue
        if draw > 0.98:
            yield user, message(user, at_ms, number=number, command=chance.choice(("start", "pause", "resume", "end")))
            continue
        if draw > 0.96:
            at_ms -= chance.randrange(gap_ms // 2, 5 * gap_ms)  # Late.
        last[user] = message(user, at_ms, number=number)
        yield user, last[user]


def produce(bootstrap: str, topic: str, records: Iterator[tuple[str, bytes]], partitions: int = 4) -> int:
    """Append `records` to the partitions where they belong; return how many there were."""
    producer = Producer({"bootstrap.servers": bootstrap, "enable.idempotence": True, "linger.ms": 5})
    count = 0
    for count, (user, value) in enumerate(records, 1):
        key = user.encode()
        producer.produce(topic, value, key, partition_of(key, partitions))
        if count % 10_000 == 0:
            producer.flush()
    assert producer.flush(TIMEOUT_S) == 0
    return count


class Worker:
    """One `a3cp process`, in a process group of its own; its log goes to a file."""

    command = "process"

    def __init__(
        self, environ: dict[str, str], log_file: Path, arguments: Sequence[str] = (), program: Sequence[str] = PROGRAM
    ) -> None:
        self.log_file = log_file
        with log_file.open("ab") as log:
            self.process = subprocess.Popen(
                [*program, self.command, *arguments],
                env={**os.environ, **environ},
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def signal(self, number: int) -> None:
        """Send a signal to the process alone."""
        self.process.send_signal(number)

    def kill(self) -> None:
        """Kill the process and all it started, at once (kill -9)."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(TIMEOUT_S)

    def stop(self, timeout_s: float = TIMEOUT_S) -> int:
        """Ask the process to stop (SIGTERM) and return its exit code."""
        self.process.terminate()
        return self.process.wait(timeout_s)

    def children(self) -> list[psutil.Process]:
        """Return the processes that it started and that run."""
        return list(psutil.Process(self.process.pid).children())

    def log(self) -> list[dict[str, object]]:
        """Return the lines of its log that are JSON, the last one once it is whole."""
        lines = self.log_file.read_text("utf-8", "replace").splitlines(keepends=True)
        return [json.loads(line) for line in lines if line.startswith("{") and line.endswith("}\n")]

    def said(self, message: str) -> int:
        """Return how often it logged `message`."""
        return sum(line.get("message") == message for line in self.log())


class Fleet:
    """The workers of one test, all stopped at its end; their settings are short where waiting would only cost time."""

    def __init__(self, bootstrap: str, prefix: str, folder: Path, **settings: str | int) -> None:
        self.bootstrap, self.prefix, self.folder = bootstrap, prefix, folder
        self.names = names_of(prefix, settings.get("raw_topic"))
        self.workers: list[Worker] = []
        self.environ = {
            "KAFKA_BOOTSTRAP_SERVERS": bootstrap,
            "A3CP_TOPIC_PREFIX": prefix,
            "A3CP_GROUP_ID": prefix,
            "A3CP_SESSION_TIMEOUT_MS": str(SESSION_TIMEOUT_MS),
            "A3CP_LOG_FORMAT": "json",
            "A3CP_PUNCTUATE_MS": "100",
            **{f"A3CP_{name.upper()}": str(value) for name, value in settings.items()},
        }

    def start(self, *arguments: str, **settings: str | int) -> Worker:
        """Start one more `a3cp process`."""
        return self.start_of(PROGRAM, *arguments, **settings)

    def start_of(self, program: Sequence[str], *arguments: str, **settings: str | int) -> Worker:
        """Start one more worker of another release, whose command `program` is."""
        environ = {**self.environ, **{f"A3CP_{name.upper()}": str(value) for name, value in settings.items()}}
        worker = Worker(environ, self.folder / f"worker-{len(self.workers)}.log", arguments, program)
        self.workers.append(worker)
        return worker

    def await_processed(self, timeout_s: float = TIMEOUT_S) -> None:
        """Wait until the group has committed all that the raw topic holds, also what it was given meanwhile."""
        deadline_s = time.monotonic() + timeout_s
        own = {"group.id": self.prefix, "enable.auto.commit": False, "isolation.level": "read_uncommitted"}
        own["bootstrap.servers"] = self.bootstrap
        consumer = Consumer(own)
        count = len(consumer.list_topics(self.names.raw, timeout=timeout_s).topics[self.names.raw].partitions)
        places = [TopicPartition(self.names.raw, partition) for partition in range(count)]
        known: list[int] = []
        last: dict[int, int] = {}  # partition -> its last record's offset; behind it there may be markers
        try:
            while True:
                # First the offsets: what the group sends on to raw is there before the offset of where it came from.
                found = patiently(lambda: consumer.committed(places, timeout=timeout_s), "asking how far it is", own)
                committed = {tp.partition: tp.offset for tp in found}
                ends = [consumer.get_watermark_offsets(tp, timeout=timeout_s)[1] for tp in places]
                if ends != known:
                    raw = read_topic(self.bootstrap, self.names.raw)
                    known, last = ends, {partition: rows[-1].offset for partition, rows in enumerate(raw) if rows}
                waiting = {p: (committed[p], offset) for p, offset in last.items() if offset >= committed[p]}
                if not waiting:
                    return
                assert time.monotonic() < deadline_s, f"committed, last, after {timeout_s:.0f} s: {waiting}"
                time.sleep(0.02)  # Between two looks.
        finally:
            consumer.close()

    def audit(self, rules: Rules | None = None) -> Audit:
        """Wait until all is processed, and prove that it was processed exactly once."""
        self.await_processed()
        return audit(read_kafka(self.bootstrap, self.names), rules or Rules(), names=self.names, clocked=True)

    def a3cp(self, *arguments: str) -> tuple[int, str]:
        """Run a command with the workers' settings; return its exit code and all it says."""
        done = a3cp(*arguments, environ={**os.environ, **self.environ})
        sys.stdout.write(f"$ a3cp {' '.join(arguments)}\n{done.stdout}{done.stderr}")
        return done.returncode, done.stdout + done.stderr

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self.workers:
            worker.kill()
        for worker in self.workers:
            text = worker.log_file.read_text("utf-8", "replace")
            sys.stdout.write(f"--- {worker.log_file.name}\n{text[-6_000:]}\n")  # pytest shows it when the test fails.


class Load:
    """Messages that keep coming, `per_pause` after each pause of 10 ms, until told to stop."""

    def __init__(self, bootstrap: str, topic: str, *, seed: int = 0, users: int = 300, per_pause: int = 10) -> None:
        self.count = 0
        self._stopped = threading.Event()
        self._bootstrap, self._topic, self._per_pause = bootstrap, topic, per_pause
        self._records = day(seed, 10_000_000, users)
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        # Longer than any restart of a broker takes, so that nothing is lost before it comes to the processor.
        producer = Producer({"bootstrap.servers": self._bootstrap, "enable.idempotence": True, "log_level": 0})
        while not self._stopped.wait(0.01):
            for _ in range(self._per_pause):
                user, value = next(self._records)
                key = user.encode()
                producer.produce(self._topic, value, key, partition_of(key, 4))
                self.count += 1
            producer.poll(0)
        assert producer.flush(TIMEOUT_S) == 0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._thread.join()


class Standstill(NamedTuple):
    """For how long a partition got no record; of two, the longer one is the greater."""

    ms: int
    partition: int
    until_ms: int  # the broker's time


class Watcher:
    """Counts the committed records of a topic as they become visible."""

    def __init__(self, bootstrap: str, topic: str, partitions: int = 4) -> None:
        self.counts = dict.fromkeys(range(partitions), 0)
        self._last_ms = dict.fromkeys(range(partitions), 0)
        self.gap_ms = 0  # the longest time between two records of a partition since `measure`
        self.standstills: list[Standstill] = []  # those of more than a second since `measure`
        self._consumer = Consumer(
            {
                "bootstrap.servers": bootstrap, "group.id": "watcher", "enable.auto.commit": False,
                "isolation.level": "read_committed", "auto.offset.reset": "earliest", "fetch.wait.max.ms": 20,
                "fetch.queue.backoff.ms": 10, "log_level": 0,
            }
        )  # fmt: skip
        self._consumer.assign([TopicPartition(topic, partition, 0) for partition in range(partitions)])

    @property
    def count(self) -> int:
        """How many were seen."""
        return sum(self.counts.values())

    def look(self, timeout_s: float = 0.05) -> int:
        """Count what has come, waiting for `timeout_s` at most, and return how many were seen in all."""
        for found in self._consumer.consume(10_000, timeout_s):
            partition, at_ms = found.partition(), found.timestamp()[1]
            if found.error() is None:
                assert partition is not None
                self.counts[partition] += 1
                gap_ms = at_ms - (self._last_ms[partition] or at_ms)
                self.gap_ms = max(self.gap_ms, gap_ms)
                if gap_ms > 1_000:
                    self.standstills.append(Standstill(gap_ms, partition, at_ms))
                self._last_ms[partition] = at_ms
        return self.count

    def has_grown(self, before: dict[int, int]) -> bool:
        """Whether each partition has more than 100 records more than before."""
        return bool(self.look()) and all(self.counts[partition] > count + 100 for partition, count in before.items())

    def measure(self) -> None:
        """Begin to measure `gap_ms` and `standstills`."""
        self.gap_ms = 0
        self.standstills.clear()

    def await_count(self, count: int, timeout_s: float = TIMEOUT_S) -> None:
        """Wait until `count` were seen."""
        await_true(f"{count} records, {self.count} so far", lambda: self.look() >= count, timeout_s)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._consumer.close()


def probe(port: int, path: str) -> tuple[int, str]:
    """Return the status and text of a worker's /livez or /readyz; status 0 when nothing listens."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=TIMEOUT_S) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()
    except OSError:
        return 0, ""
