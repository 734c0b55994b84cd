"""The checker of all chaos tests: proves from the topics alone that every record was processed exactly once.

That is what `a3cp audit` does, so it does it here. What only a test knows comes on top: that nothing but these rules
decided, so that events and dead letters are those that the rules give. What depends on the clock (when an idle
session's end was announced, rule R4) is compared by what must hold whenever it was.
"""

import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple

from confluent_kafka import Consumer, IsolationLevel, TopicPartition
from confluent_kafka.admin import AdminClient

from processor.audit.outcomes import audit as audit_topics
from processor.audit.topics import Span
from processor.codec.codec import Codec
from processor.codec.events import EventView
from processor.codec.headers import headers_of
from processor.codec.schema import SHIPPED, Schemas
from processor.codec.state import encode_state
from processor.core.model import Erased, Forgotten, Message, PolicySet, Rules, Tagged, UserState
from processor.core.session import step
from processor.errors import DecodeError, RecordError
from processor.kafka.offsets import LATEST, log_offsets, patiently
from processor.runtime.growing import Grown
from processor.runtime.partitioner import partition_of
from processor.runtime.ports import TopicRecord
from processor.settings.documents import schema_text
from processor.settings.model import TopicNames
from processor.testing import MemoryBroker

READ_TIMEOUT_S = 60.0


class Row(NamedTuple):
    """A committed record, whatever log it was read from."""

    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    append_ms: int
    headers: tuple[tuple[str, bytes], ...]


Partitions = Sequence[Sequence[Row]]  # by partition, in offset order


@dataclass(frozen=True)
class Topics:
    """What the five topics hold."""

    raw: Partitions
    tagged: Partitions
    sessions: Partitions
    state: Partitions
    dlq: Partitions


@dataclass
class Audit:
    """What the audit counted; a test asserts of it that its scene took place at all."""

    tagged: int = 0
    rerouted: int = 0
    dead: int = 0
    sessions: int = 0
    reopened: int = 0
    revisions: int = 0
    stages: Counter[str] = field(default_factory=Counter)


class Broken(AssertionError):
    """A promise was broken; says which, and where."""


def make_codec(*, strict: bool = False) -> Codec:
    """Return a codec that knows the shipped schemas."""
    return Codec(
        Schemas(
            {name: schema_text(name) for name in SHIPPED},
            tagged_subject="a3cp.tagged-value",
            events_subject="a3cp.sessions-value",
        ),
        strict=strict,
    )


def read_topic(bootstrap: str, topic: str, *, isolation: str = "read_committed") -> Partitions:
    """Return what `topic` holds, up to where it ends now.

    The end is the high watermark, also for a `read_committed` reader: an open transaction is waited for.
    """
    conf = {"bootstrap.servers": bootstrap}
    admin = AdminClient({**conf})
    count = len(admin.list_topics(topic, timeout=60).topics[topic].partitions)
    rows: list[list[Row]] = [[] for _ in range(count)]
    places = [(topic, partition) for partition in range(count)]
    # A topic may be so new that not every broker knows it.
    ask = partial(log_offsets, admin, places, LATEST, IsolationLevel.READ_UNCOMMITTED)
    found = patiently(ask, "asking for ends", conf, timeout_s=60)
    ends = {partition: end for (_, partition), end in found.items()}
    consumer = Consumer(
        {
            **conf,
            "group.id": "audit",
            "enable.auto.commit": False,
            "isolation.level": isolation,
            "enable.partition.eof": True,
            "auto.offset.reset": "earliest",
            "fetch.wait.max.ms": 50,
            "fetch.queue.backoff.ms": 10,
        }
    )
    consumer.assign([TopicPartition(topic, partition, 0) for partition in range(count)])  # BEGINNING costs 0.5 s more.
    reading = {partition for partition, end in ends.items() if end > 0}
    deadline_s = time.monotonic() + READ_TIMEOUT_S
    try:
        while reading:
            messages = consumer.consume(10_000, 0.05)
            if time.monotonic() > deadline_s:
                raise Broken(
                    f"{topic}: partitions {sorted(reading)} do not reach their ends: an open transaction hangs"
                )
            for message in messages:
                partition, offset = message.partition() or 0, message.offset() or 0
                if message.error() is None:
                    rows[partition].append(_row(message))
                    offset += 1
                if offset >= ends[partition]:
                    reading.discard(partition)
    finally:
        consumer.close()
    return rows


def _row(message) -> Row:
    headers = tuple((name, value or b"") for name, value in headers_of(message))
    return Row(message.partition(), message.offset(), message.key(), message.value(), message.timestamp()[1], headers)


def read_kafka(bootstrap: str, names: TopicNames) -> Topics:
    """Return the five topics of a real Kafka."""
    return Topics(*(read_topic(bootstrap, name) for name in names))


def read_memory(broker: MemoryBroker, names: TopicNames) -> Topics:
    """Return the five topics of a broker in memory."""
    return Topics(
        *(
            [
                [
                    Row(
                        r.number,
                        r.position,
                        r.raw_key,
                        r.raw_value,
                        r.append_ms,
                        tuple((name, content or b"") for name, content in r.raw_headers or ()),
                    )
                    for r in log
                ]
                for log in broker.topics[name]
            ]
            for name in names
        )
    )


def audit(
    topics: Topics,
    rules: Rules,
    *,
    names: TopicNames,
    clocked: bool = False,
    now_ms: int = 0,
) -> Audit:
    """Prove that the outputs are those of the raw records, each processed exactly once.

    Args:
        topics: what they hold; names: what they are called; rules: under which they were processed.
        clocked: whether the clock may have ended idle sessions. Otherwise events and states are equal to the byte.
        now_ms: what the clock shows; users whose late horizon is over by then may have been forgotten.

    Raises:
        Broken: a promise was broken.
    """
    codec = make_codec()
    report = audit_topics(HeldTopics(topics, names), codec, names, rules, now_ms=now_ms)
    if report.problems:
        raise Broken(f"{report.problem_count} problems: {report.problems[:5]}")
    found = Audit(tagged=report.tagged, rerouted=report.rerouted, dead=report.dead)
    expected_stages: dict[tuple[int, int], str] = {}
    misplaced = 0
    for partition in range(len(topics.raw)):
        fold = _Fold(partition, len(topics.raw), codec, rules)
        for row in topics.raw[partition]:
            fold.take(row)
        expected_stages.update({(partition, row.offset): stage for row, stage in fold.dead})
        misplaced += fold.misplaced
        where = f"{names.sessions}[{partition}]"
        _compare_events(where, fold, topics.sessions[partition], codec, found, clocked=clocked)
        if not clocked and compacted(topics.state[partition]) != {k: encode_state(v) for k, v in fold.states.items()}:
            raise Broken(f"{names.state}[{partition}]: states are not those of the fold")
    stages = _stages(topics.dlq)
    if stages != expected_stages:
        raise Broken(f"dead letters are not those of the rules: {set(stages.items()) ^ set(expected_stages.items())}")
    if misplaced != report.rerouted:
        raise Broken(f"{misplaced} records are misplaced, {report.rerouted} were sent to their right partition")
    found.stages.update(stages.values())
    return found


class HeldTopics:
    """Topics that were read, as `a3cp audit` reads them."""

    def __init__(self, topics: Topics, names: TopicNames) -> None:
        self._logs = dict(zip(names, (getattr(topics, name) for name in TopicNames._fields), strict=True))
        self._raw = topics.raw
        self.partitions = len(topics.raw)

    def span(self, topic: str, partition: int) -> Span:
        rows = self._logs[topic][partition]
        end = rows[-1].offset + 1 if rows else 0
        return Span(0, end, end)

    def committed(self) -> dict[int, int]:
        return {partition: rows[-1].offset + 1 if rows else 0 for partition, rows in enumerate(self._raw)}

    def lost(self) -> dict[int, tuple[int, int]]:
        return {}

    def late(self) -> dict[int, int]:
        return {}

    def grown(self, partition: int) -> Sequence[Grown]:
        return ()

    def adopted(self, partition: int) -> None:
        return None

    def read(self, topic: str, partition: int) -> Iterator[TopicRecord]:
        for row in self._logs[topic][partition]:
            yield TopicRecord(topic, partition, row.offset, row.append_ms, row.key, row.value, row.headers)


class _Fold:
    """One partition's raw records through the rules, without a clock."""

    def __init__(self, partition: int, partitions: int, codec: Codec, rules: Rules) -> None:
        self.partition, self.partitions = partition, partitions
        self.codec, self.rules = codec, rules
        self.states: dict[bytes, UserState] = {}
        self.events: list[tuple[bytes, bytes]] = []  # key, value
        self.dead: list[tuple[Row, str]] = []  # with the stage
        self.misplaced = 0

    def take(self, row: Row) -> None:
        """Take the partition's next record."""
        try:
            record = self.codec.decode(row.value, row.append_ms)
        except DecodeError:
            self.dead.append((row, "decode"))
            return
        except RecordError:
            self.dead.append((row, "validate"))
            return
        key = record.user_id.encode()
        state = self.states.get(key)
        right = partition_of(key, self.partitions)
        if state is None and right != self.partition:
            self.misplaced += 1
            return
        after, events = step(state, record, row.offset, self.rules)
        if after is None:
            self.states.pop(key, None)
        else:
            self.states[key] = after
        assert isinstance(record, Message) == any(isinstance(event, Tagged) for event in events)
        for event in events:
            if not isinstance(event, Tagged | PolicySet | Forgotten | Erased):
                self.events.append((key, self.codec.encode_event(record.user_id, event, record.encoding)))


def _stages(dlq: Partitions) -> dict[tuple[int, int], str]:
    """Return how far the record of each dead letter came, by its position."""
    letters = [dict(row.headers) for rows in dlq for row in rows]
    return {
        (int(told["a3cp-dlq-partition"]), int(told["a3cp-dlq-offset"])): told["a3cp-dlq-stage"].decode()
        for told in letters
    }


def _compare_events(
    where: str, fold: _Fold, actual: Sequence[Row], codec: Codec, found: Audit, *, clocked: bool
) -> None:
    if not clocked:
        expected = fold.events
        for (key, value), row in zip(expected, actual, strict=False):
            if (key, value) != (row.key, row.value):
                raise Broken(f"{where}@{row.offset} is not the event that the rules give")
        if len(expected) != len(actual):
            raise Broken(f"{where} has {len(actual)} events, {len(expected)} should be")
    views = [codec.decode_event(row.value or b"") for row in actual]
    kinds = Counter(view.kind for view in views)
    found.sessions += kinds["started"]
    found.reopened += kinds["reopened"]
    found.revisions += sum(view.kind == "ended" and bool(view.revision) for view in views)
    if clocked:
        _compare_but_for_the_clock(where, views, [codec.decode_event(value) for _, value in fold.events])


def _compare_but_for_the_clock(where: str, views: Sequence[EventView], expected: Sequence[EventView]) -> None:
    def by_user(events: Iterable[EventView]) -> dict[str, list[EventView]]:
        users: dict[str, list[EventView]] = defaultdict(list)
        for view in events:
            if view.kind not in ("ended", "reopened"):
                users[view.user_id].append(view)
        return users

    if by_user(views) != by_user(expected):
        raise Broken(f"{where}: but for the ends by the clock, the events are not those that the rules give")
    last = {view.session_id: view for view in views if view.kind == "ended"}
    for view in _last_ends(expected).values():
        actual = last.get(view.session_id)
        if actual is None:
            raise Broken(f"{where}: {view.session_id} has no end")
        same = (actual.end_time, actual.reason, actual.message_count, actual.digest, actual.paused_ms)
        if same != (view.end_time, view.reason, view.message_count, view.digest, view.paused_ms):
            raise Broken(f"{where}: the last end of {view.session_id} is {actual}, the rules give {view}")


def _last_ends(views: Iterable[EventView]) -> dict[str | None, EventView]:
    """Return the last end of each session that has one and is not open again."""
    ends: dict[str | None, EventView] = {}
    for view in views:
        if view.kind == "ended":
            ends[view.session_id] = view
        elif view.kind in ("started", "reopened"):  # What opened a session of somebody forgotten may open it again.
            ends.pop(view.session_id, None)
    return ends


def compacted(rows: Iterable[Row]) -> dict[bytes, bytes]:
    """Return the latest value of each key, tombstones taken away."""
    latest: dict[bytes, bytes] = {}
    for row in rows:
        assert row.key is not None
        if row.value is None:
            latest.pop(row.key, None)
        else:
            latest[row.key] = row.value
    return latest
