"""What the real processor writes to the three topics for some messages and commands, as a view's follower reads it."""

import json
from collections import Counter
from collections.abc import Iterable
from typing import Any, NamedTuple

from processor.codec.isotime import format_time
from processor.core.model import Rules
from processor.runtime.partitioner import partition_of
from processor.runtime.ports import Output, TopicRecord
from processor.runtime.task import Task
from processor.sessions.ports import SESSIONS, TAGGED, SessionReader, Source
from processor.testing import MemoryRecord
from processor.view.position import STATE
from processor.view.view import View
from tests.sessions.outputs import CODEC, MARKER_EVERY, PARTITIONS, START_MS, TOPICS

CLUSTER = "a cluster"
KINDS = (STATE, TAGGED, SESSIONS)
QUIET_MS = 10**9  # after START_MS: everything idle has ended by then


class Taken(NamedTuple):
    """A record of one of the topics, by kind."""

    kind: str
    record: TopicRecord


def command(user_id: str, word: str, at_ms: int, *, number: int | None = None, **fields: Any) -> bytes:
    """Return a command as a record's value, `at_ms` after START_MS; its record id derives from that, or `number`."""
    spine = {
        "schema_version": "1.0.1",
        "record_id": f"00000000-0000-4000-9000-{at_ms if number is None else number:012d}",
        "user_id": user_id,
        "timestamp": format_time(START_MS + at_ms),
        "performer_id": "partner",
        "command": word,
    }
    return json.dumps({**spine, **fields}, separators=(",", ":")).encode()


class Log:
    """The tasks of all partitions, and what they have written so far; a marker takes an offset now and then."""

    def __init__(self, *, rules: Rules | None = None) -> None:
        self._tasks = [
            Task(number, PARTITIONS, codec=CODEC, rules=rules or Rules(), topics=TOPICS, record_bytes_max=2 << 20)
            for number in range(PARTITIONS)
        ]
        self._raw: Counter[int] = Counter()
        self._written: Counter[Source] = Counter()
        self.ends: Counter[Source] = Counter({(kind, n): 0 for kind in KINDS for n in range(PARTITIONS)})

    def process(self, value: bytes) -> list[Taken]:
        """Process one raw record, commit, and return what was written."""
        key = json.loads(value)["user_id"].encode()
        partition = partition_of(key, PARTITIONS)
        task = self._tasks[partition]
        append_ms = CODEC.decode(value, START_MS + QUIET_MS).timestamp_ms
        outputs = task.process([MemoryRecord(partition, self._raw[partition], key, value, append_ms)])
        self._raw[partition] += 1
        return self._commit(task, outputs, append_ms)

    def pass_time(self, now_ms: int) -> list[Taken]:
        """Let the clock end what is idle at `now_ms`, and return what was written."""
        return [
            taken
            for task in self._tasks
            for taken in self._commit(task, task.punctuate(START_MS + now_ms), START_MS + now_ms)
        ]

    def _commit(self, task: Task, outputs: Iterable[Output], append_ms: int) -> list[Taken]:
        taken = []
        for topic, value, key, partition, _ in [*outputs, *task.state_records()]:
            if topic not in KINDS:
                continue
            source = topic, partition
            taken.append(Taken(topic, TopicRecord(topic, partition, self.ends[source], append_ms, key, value)))
            self._written[source] += 1
            self.ends[source] += 2 if self._written[source] % MARKER_EVERY == 0 else 1
        task.committed()
        return taken


def processed(values: Iterable[bytes]) -> tuple[list[Taken], Log]:
    """Return what is written for `values`, in order, and the log that wrote it."""
    log = Log()
    return [taken for value in values for taken in log.process(value)], log


def take(view: View, records: Iterable[Taken]) -> None:
    """Hand `records` to `view`, one by one."""
    for kind, record in records:
        view.take(kind, [record])


def new_view(store: SessionReader | None = None, **options: Any) -> View:
    """Return a view that has begun with empty topics."""
    now_ms = START_MS + QUIET_MS
    view = View(CODEC, store, partitions=PARTITIONS, cluster_id=CLUSTER, now_ms=lambda: now_ms, **options)
    view.begin({})
    return view
