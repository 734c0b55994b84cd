"""The checker of all chaos tests: proves from the topics alone that every record was processed exactly once.

It reads what a `read_committed` reader reads, folds the raw records through the rules, and compares. What depends on
the clock (when an idle session's end was announced, rule R4) is compared by what must hold whenever it was.
"""

import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import NamedTuple

from confluent_kafka import OFFSET_BEGINNING, Consumer, IsolationLevel, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec  # type: ignore[attr-defined]  # Its stub forgets it.

from processor.codec.codec import Codec
from processor.codec.events import EventView
from processor.codec.schema import Schemas
from processor.codec.state import decode_state, encode_state
from processor.config import TopicNames
from processor.core.errors import DecodeError, RecordError
from processor.core.model import Forgotten, Message, PolicySet, Rules, Session, Tagged, UserState
from processor.core.session import forget_after_ms, step
from processor.resources import schema_text
from processor.runtime.deadletters import WITHHELD
from processor.runtime.partitioner import partition_of
from processor.runtime.task import REROUTED
from processor.testing import MemoryBroker
from processor.wiring import SHIPPED

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
    count = len(admin.list_topics(topic, timeout=10).topics[topic].partitions)
    rows: list[list[Row]] = [[] for _ in range(count)]
    tps = [TopicPartition(topic, partition) for partition in range(count)]
    futures = admin.list_offsets(
        {tp: OffsetSpec.latest() for tp in tps},  # type: ignore[no-untyped-call]
        isolation_level=IsolationLevel.READ_UNCOMMITTED,
    )
    ends = {tp.partition: future.result(10).offset for tp, future in futures.items()}
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
    consumer.assign([TopicPartition(topic, partition, OFFSET_BEGINNING) for partition in range(count)])
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
    headers = tuple((name, bytes(value or b"")) for name, value in message.headers() or ())
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
                    Row(r.number, r.position, r.raw_key, r.raw_value, r.append_ms, tuple(r.raw_headers or ()))
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
    now_ms: int | None = None,
    partitions: Iterable[int] | None = None,
) -> Audit:
    """Prove that the outputs are those of the raw records, each processed exactly once.

    Args:
        topics: what they hold; names: what they are called; rules: under which they were processed.
        clocked: whether the clock may have ended idle sessions. Otherwise events and states are equal to the byte.
        now_ms: what the clock shows; users whose late horizon is over by then may have been forgotten.
        partitions: those to look at; all by default.

    Raises:
        Broken: a promise was broken.
    """
    found = Audit()
    codec = make_codec()
    rerouted = _rerouted_copies(topics.raw)
    dead = _dead_letters(topics.dlq)
    for partition in partitions if partitions is not None else range(len(topics.raw)):
        fold = _Fold(partition, len(topics.raw), codec, rules, names)
        for row in topics.raw[partition]:
            fold.take(row)
        _compare_tagged(partition, fold, topics, codec)
        _compare_dead(partition, fold, dead, found)
        _compare_rerouted(fold, rerouted, found)
        _compare_events(partition, fold, topics, codec, found, clocked=clocked)
        _compare_states(partition, fold, topics, clocked=clocked, now_ms=now_ms or 0)
        found.tagged += len(fold.tagged)
    if dead:
        raise Broken(f"dead letters of records that are fine, or twice: {sorted(dead)[:5]}")
    if rerouted:
        raise Broken(f"records rerouted that were in place, or twice: {sorted(rerouted)[:5]}")
    return found


class _Fold:
    """One partition's raw records through the rules, without a clock."""

    def __init__(self, partition: int, partitions: int, codec: Codec, rules: Rules, names: TopicNames) -> None:
        self.partition, self.partitions = partition, partitions
        self.codec, self.rules, self.names = codec, rules, names
        self.states: dict[bytes, UserState] = {}
        self.tagged: list[tuple[Row, bytes, bytes]] = []  # its raw record, key, value
        self.events: list[tuple[bytes, bytes]] = []  # key, value
        self.dead: list[tuple[Row, str]] = []  # with the stage
        self.misplaced: list[Row] = []

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
        if state is None and right != self.partition and REROUTED not in dict(row.headers):
            self.misplaced.append(row)
            return
        after, events = step(state, record, self.rules)
        if after is None:
            self.states.pop(key, None)
        else:
            self.states[key] = after
        assert isinstance(record, Message) == any(isinstance(event, Tagged) for event in events)
        for event in events:
            if isinstance(event, Tagged):
                assert row.value is not None
                self.tagged.append((row, key, self.codec.tag(row.value, event)))
            elif not isinstance(event, PolicySet | Forgotten):
                self.events.append((key, self.codec.encode_event(record.user_id, event, record.encoding)))


def _compare_tagged(partition: int, fold: _Fold, topics: Topics, codec: Codec) -> None:
    """The tagged records are the raw ones in order, each once, with the tags that the rules give."""
    actual = topics.tagged[partition]
    where = f"{fold.names.tagged}[{partition}]"
    for number, ((raw, key, value), row) in enumerate(zip(fold.tagged, actual, strict=False)):
        stripped = codec.strip(row.value or b"")
        if stripped != raw.value:
            raise Broken(
                f"{where}@{row.offset}, its record {number}, is not {fold.names.raw}[{partition}]@{raw.offset}:"
                " one is missing, doubled or out of order"
            )
        if row.key != key or row.value != value:
            raise Broken(f"{where}@{row.offset}: the tag of {fold.names.raw}[{partition}]@{raw.offset} is wrong")
    if len(actual) != len(fold.tagged):
        raise Broken(f"{where} has {len(actual)} records, {len(fold.tagged)} should be tagged")


def _dead_letters(dlq: Partitions) -> dict[tuple[int, int], Row]:
    letters: dict[tuple[int, int], Row] = {}
    for row in (row for rows in dlq for row in rows):
        headers = dict(row.headers)
        position = int(headers["a3cp-dlq-partition"]), int(headers["a3cp-dlq-offset"])
        if position in letters:
            raise Broken(f"two dead letters of raw record {position}")
        letters[position] = row
    return letters


def _compare_dead(partition: int, fold: _Fold, dead: dict[tuple[int, int], Row], found: Audit) -> None:
    for raw, stage in fold.dead:
        letter = dead.pop((partition, raw.offset), None)
        if letter is None:
            raise Broken(f"raw record {partition}@{raw.offset} is neither tagged nor dead-lettered ({stage})")
        headers = dict(letter.headers)
        if headers["a3cp-dlq-stage"].decode() != stage:
            raise Broken(f"the dead letter of {partition}@{raw.offset} has another stage than {stage}")
        if headers["a3cp-dlq-sha256"].decode() != sha256(raw.value or b"").hexdigest():
            raise Broken(f"the dead letter of {partition}@{raw.offset} has another hash")
        if WITHHELD not in headers and (letter.value, letter.key) != (raw.value, raw.key):
            raise Broken(f"the dead letter of {partition}@{raw.offset} is not what came")
        found.dead += 1
        found.stages[stage] += 1


def _rerouted_copies(raw: Partitions) -> dict[str, Row]:
    copies: dict[str, Row] = {}
    for row in (row for rows in raw for row in rows):
        origin = dict(row.headers).get(REROUTED)
        if origin is None:
            continue
        if origin.decode() in copies:
            raise Broken(f"{origin.decode()} was rerouted twice")
        copies[origin.decode()] = row
    return copies


def _compare_rerouted(fold: _Fold, copies: dict[str, Row], found: Audit) -> None:
    for row in fold.misplaced:
        copy = copies.pop(f"{fold.names.raw}[{fold.partition}]@{row.offset}", None)
        if copy is None:
            raise Broken(f"misplaced raw record {fold.partition}@{row.offset} was not sent to its right partition")
        if copy.value != row.value:
            raise Broken(f"the copy of misplaced raw record {fold.partition}@{row.offset} has other bytes")
        if copy.partition == row.partition:
            raise Broken(f"misplaced raw record {fold.partition}@{row.offset} was sent to where it came from")
        found.rerouted += 1


def _compare_events(partition: int, fold: _Fold, topics: Topics, codec: Codec, found: Audit, *, clocked: bool) -> None:
    actual = topics.sessions[partition]
    where = f"{fold.names.sessions}[{partition}]"
    if not clocked:
        expected = fold.events
        for (key, value), row in zip(expected, actual, strict=False):
            if (key, value) != (row.key, row.value):
                raise Broken(f"{where}@{row.offset} is not the event that the rules give")
        if len(expected) != len(actual):
            raise Broken(f"{where} has {len(actual)} events, {len(expected)} should be")
    views = [codec.decode_event(row.value or b"") for row in actual]
    expected_views = [codec.decode_event(value) for _, value in fold.events]
    _compare_histories(where, fold, views, expected_views, found)
    if clocked:
        _compare_but_for_the_clock(where, views, expected_views)


def _compare_histories(
    where: str, fold: _Fold, views: Sequence[EventView], expected: Sequence[EventView], found: Audit
) -> None:
    """Each session started once, its messages are numbered from 1, its last end, of revisions 0 to k, counts all."""
    digests: dict[str, bytes] = {}
    counts: Counter[str] = Counter()
    for raw, _, value in fold.tagged:  # Equal to what is in the topic, which was compared before.
        view = fold.codec.decode_tagged(value)
        if view.session_id is None:
            continue
        counts[view.session_id] += 1
        if view.session_seq != counts[view.session_id]:
            raise Broken(
                f"{where}: {view.session_id} has number {view.session_seq} after {counts[view.session_id] - 1}"
            )
        before = digests.get(view.session_id, sha256(view.session_id.encode()).digest())
        digests[view.session_id] = sha256(before + sha256(raw.value or b"").digest()).digest()
    histories: dict[str, list[EventView]] = defaultdict(list)
    for event in views:
        if event.session_id is not None and event.kind != "rejected":
            histories[event.session_id].append(event)
    if missing := set(counts) - set(histories):
        raise Broken(f"{where}: sessions without a start: {sorted(missing)[:3]}")
    ended_for_good = _last_ends(expected)
    for session_id, history in histories.items():
        kinds = [view.kind for view in history]
        if kinds.count("started") != 1 or kinds[0] != "started":
            raise Broken(f"{where}: {session_id} did not start once, and first: {kinds}")
        ends = [(number, view) for number, view in enumerate(history) if view.kind == "ended"]
        if [view.revision for _, view in ends] != list(range(len(ends))):
            raise Broken(f"{where}: {session_id} has end revisions {[view.revision for _, view in ends]}")
        found.sessions += 1
        found.revisions += max(0, len(ends) - 1)
        found.reopened += kinds.count("reopened")
        if not ends:
            if session_id in ended_for_good:
                raise Broken(f"{where}: {session_id} has no end")
            continue
        last_at, last = ends[-1]
        if "reopened" in kinds[last_at:]:
            continue
        if last.message_count != counts[session_id]:
            raise Broken(f"{where}: the end of {session_id} counts {last.message_count}, it has {counts[session_id]}")
        if last.digest != digests.get(session_id, sha256(session_id.encode()).digest()).hex():
            raise Broken(f"{where}: the end of {session_id} has another digest than its messages")


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
        elif view.kind == "reopened":
            ends.pop(view.session_id, None)
    return ends


def _compare_states(partition: int, fold: _Fold, topics: Topics, *, clocked: bool, now_ms: int) -> None:
    """The compacted view of the state topic is a fold of the raw records."""
    where = f"{fold.names.state}[{partition}]"
    actual = compacted(topics.state[partition])
    expected = {key: encode_state(state) for key, state in fold.states.items()}
    if clocked:
        actual = {key: encode_state(_unclocked(decode_state(value))) for key, value in actual.items()}
        kept = {
            key: state
            for key, state in fold.states.items()
            if key in actual or now_ms <= (forget_after_ms(state, fold.rules) or now_ms)
        }
        expected = {key: encode_state(_unclocked(state)) for key, state in kept.items()}
    if actual != expected:
        odd = [key for key in actual.keys() | expected.keys() if actual.get(key) != expected.get(key)]
        raise Broken(f"{where}: {len(odd)} of {len(expected)} states are not those of the fold")


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


def _unclocked(state: UserState) -> UserState:
    """Return `state` without what tells when ends were announced: which is the clock's."""

    def plain(session: Session) -> Session:
        return session._replace(ends=0)

    current = state.current
    if current is not None:
        current = current._replace(ends=0, end_ms=None, end_reason=None)
    return state._replace(current=current, closed=tuple(plain(session) for session in state.closed))
