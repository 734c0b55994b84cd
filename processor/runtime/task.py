"""One partition: its users' states, its deadlines; raw records in, output records out."""

from collections.abc import Iterable, Sequence
from typing import Final

from processor.codec.codec import Codec
from processor.codec.foreign import framing_in_headers
from processor.codec.headers import NOT_READ, REROUTED, Headers, ask_headers, headers_bytes, headers_of, stand_in
from processor.codec.state import decode_state, encode_state
from processor.codec.traces import trace_of
from processor.core.deadlines import due_ms, punctuate
from processor.core.memory import evolve
from processor.core.model import (
    Command,
    Ended,
    Erased,
    Event,
    Forgotten,
    Message,
    PolicySet,
    Record,
    Rejected,
    Rules,
    Started,
    Tagged,
    Unchanged,
    UserState,
)
from processor.core.session import step
from processor.errors import DecodeError, InvalidMessage, RecordError
from processor.runtime.deadletters import Stage, dead_letter
from processor.runtime.erased import ErasureMark, mark_of
from processor.runtime.partitioner import partition_of
from processor.runtime.ports import Output, RawRecord
from processor.runtime.tally import BOUNDARIES_MAX, Boundary, Tally
from processor.runtime.wheel import Wheel
from processor.settings.model import TopicNames

_RECORD_OVERHEAD_BYTES: Final = 1024  # the key and what Kafka adds to a record and its batch, rounded up
_PUNCTUATED_MAX: Final = 10_000  # users looked at in one go
_UNTOLD: Final = (PolicySet, Forgotten)  # events that go out in no record


class Task:
    """The users of one partition.

    `states` holds the committed states, in the bytes of the state topic. `process` and `punctuate` change only the
    batch, which is kept apart. Once its transaction is committed, `committed` moves the batch into `states`; after an
    abort, `aborted` drops it. If the outcome is not known, the task is thrown away and another one restored. So memory
    never says more than the log.
    """

    def __init__(
        self,
        partition: int,
        partitions: int,
        *,
        codec: Codec,
        rules: Rules,
        topics: TopicNames,
        record_bytes_max: int,
        raw_bytes_max: int | None = None,
        reroutes: bool = True,
    ) -> None:
        """Make the task of `partition` of `partitions`, with no users yet.

        Args:
            codec: reads and writes records; rules: the settings in force; topics: where the outputs go.
            record_bytes_max: the largest record that the output topics take.
            raw_bytes_max: the largest that the raw topic takes; by default the same.
            reroutes: whether misplaced records are sent to their right partition. False if another processor sends
                them, and its copies are read here too.
        """
        self.partition = partition
        self.lacks_events = False  # whether the end of a session waits for the registry's schema of events
        self.states: dict[bytes, bytes] = {}
        self._partitions = partitions
        self._codec = codec
        self._rules = rules
        self._topics = topics
        self._record_bytes_max = record_bytes_max
        self._value_bytes_max = record_bytes_max - _RECORD_OVERHEAD_BYTES
        self._raw_bytes_max = (raw_bytes_max or record_bytes_max) - _RECORD_OVERHEAD_BYTES
        self._reroutes = reroutes
        self._batch: dict[bytes, UserState | None] = {}  # of the users that the batch changed; None: forgotten
        self._encoded: list[tuple[bytes, bytes | None]] = []  # the batch as in the state topic, once it was asked for
        self._held_offset = self._held_append_ms = -1  # the latest raw record that the restored states hold
        self._wheel = Wheel()
        self._tally = Tally()
        self._open = 0
        self._opened = 0  # by the batch

    @property
    def open_sessions(self) -> int:
        """How many sessions have started and not ended."""
        return self._open + self._opened

    @property
    def users(self) -> int:
        """How many users are remembered."""
        return len(self.states)

    @property
    def dirty(self) -> bool:
        """Whether the batch has changed anything."""
        return bool(self._batch)

    def restore(self, records: Iterable[tuple[bytes, bytes | None]]) -> None:
        """Take in records of the state topic, in the order of the log."""
        states = self.states
        for key, value in records:
            if value is None:
                states.pop(key, None)
            else:
                states[key] = value

    def restored(self) -> None:
        """Set the deadlines of all restored users, and note how far in the raw log their states go."""
        for key, value in self.states.items():
            state = decode_state(value)
            self._schedule(key, None, state)
            self._open += _is_open(state)
            if state.last_offset > self._held_offset:
                self._held_offset = state.last_offset
            if state.last_append_ms > self._held_append_ms:
                self._held_append_ms = state.last_append_ms

    def process(self, records: Iterable[RawRecord]) -> list[Output]:
        """Return the outputs of `records`, the partition's next. Those that the states hold already cause none."""
        outputs: list[Output] = []
        batch, states, rules, partition = self._batch, self.states, self._rules, self.partition
        decode, tag, append = self._codec.decode, self._codec.tag, outputs.append
        topic, value_bytes_max = self._topics.tagged, self._value_bytes_max
        held_offset, tagged_count = self._held_offset, 0
        for record in records:
            value, offset, append_ms = record.value(), record.offset(), record.timestamp()[1]
            if offset <= held_offset and append_ms <= self._held_append_ms:
                self._tally.repeat(offset)
                continue
            try:
                message = decode(value, append_ms)
            except RecordError as error:
                self._set_aside(record, error, outputs)
                continue
            key = message.user_id.encode()
            encoded = None if key in batch else states.get(key)
            state = batch.get(key) if encoded is None else decode_state(encoded)
            if state is None and self._reroute(record, key, outputs):
                continue
            after, events = step(state, message, offset, rules)
            tagged = events[-1]
            if len(events) == 1 and tagged.__class__ is Tagged:  # By far the most frequent case.
                assert value is not None  # `decode` refuses a tombstone.
                value = tag(value, tagged)
                try:
                    headers = ask_headers(record)
                except NOT_READ:
                    headers = stand_in(record)
                size_bytes = len(value) + headers_bytes(headers) if headers else len(value)
                if size_bytes > value_bytes_max:
                    self._set_aside(record, _too_large(size_bytes), outputs)
                    continue
                append((topic, value, key, partition, headers))
                tagged_count += 1
                if tagged.flags:
                    self._tally.flags[tagged.flags] += 1
                    self._tally.odd[message.odd] += 1
                if after is not state:
                    batch[key] = after
            elif self._send(record, key, message, events, outputs):
                self._schedule(key, state, after)
                self._opened += _is_open(after) - _is_open(state)
                if after is not state:
                    batch[key] = after
        self._tally.tagged += tagged_count
        return outputs

    def punctuate(self, now_ms: int) -> list[Output]:
        """Return what is due by `now_ms`, such as ends of idle sessions. The partition must be caught up (rule R4)."""
        outputs: list[Output] = []
        self.lacks_events = False
        for key in self._wheel.pop(now_ms, _PUNCTUATED_MAX):
            state = self._state_of(key)
            if state is None:
                continue
            if self._codec.lacks_events(state.encoding):
                self._wheel.add(key, now_ms)
                self.lacks_events = True
                continue
            after: UserState | None = state
            for event in punctuate(state, now_ms, self._rules):
                after = evolve(after, event)
                if isinstance(event, Ended):
                    value = self._codec.encode_event(key.decode(), event, state.encoding)
                    outputs.append((self._topics.sessions, value, key, self.partition, None))
                    self._tally_event(key.decode(), event)
            if after is not state:
                self._batch[key] = after
                self._opened += _is_open(after) - _is_open(state)
            due = None if after is None else due_ms(after, self._rules)
            if due is not None:
                self._wheel.add(key, due)
        return outputs

    def state_records(self) -> list[Output]:
        """Return the state records of the users that the batch changed."""
        self._encoded = [(key, None if state is None else encode_state(state)) for key, state in self._batch.items()]
        topic, partition = self._topics.state, self.partition
        return [(topic, value, key, partition, None) for key, value in self._encoded]

    def committed(self) -> Tally:
        """Move the batch into `states`, since its `state_records` are in the log now. Return what it did."""
        assert len(self._encoded) == len(self._batch)
        self.restore(self._encoded)
        self._open += self._opened
        return self._next_batch()

    def aborted(self) -> None:
        """Drop the batch: its transaction was aborted, and its records come again."""
        for key in self._batch:
            self._schedule(key, None, self._committed_state(key))
        self._next_batch()

    def _next_batch(self) -> Tally:
        self._batch, self._encoded, self._opened = {}, [], 0
        tally, self._tally = self._tally, Tally()
        return tally

    def _state_of(self, key: bytes) -> UserState | None:
        return self._batch[key] if key in self._batch else self._committed_state(key)

    def _committed_state(self, key: bytes) -> UserState | None:
        value = self.states.get(key)
        return None if value is None else decode_state(value)

    def _reroute(self, record: RawRecord, key: bytes, outputs: list[Output]) -> bool:
        """Send a record of an unknown user to its right partition (rule R13); return whether it was misplaced.

        There it is no longer misplaced, so it is sent once. A header `a3cp-rerouted` that it came with is ignored:
        anybody can write one, and a mirror copies those of another cluster.
        """
        right = partition_of(key, self._partitions)
        if right == self.partition:
            return False
        position = f"{self._topics.raw}[{self.partition}]@{record.offset()}"
        headers = [*headers_of(record), (REROUTED, position.encode())]
        size_bytes = len(record.value() or b"") + headers_bytes(headers)
        if size_bytes > self._raw_bytes_max:
            self._set_aside(record, _too_large_to_reroute(size_bytes, right), outputs)
        elif self._reroutes:
            outputs.append((self._topics.raw, record.value(), key, right, headers))
            self._tally.rerouted += 1
        return True

    def _send(
        self, record: RawRecord, key: bytes, message: Record, events: Sequence[Event], outputs: list[Output]
    ) -> bool:
        """Append the output records for `events`, all or none; return whether they fit their topics.

        The state always fits: all that it keeps has a limit, together 8 KB (tests/codec/test_writing.py).
        """
        before, user_id, partition, codec = len(outputs), message.user_id, self.partition, self._codec
        came = headers_of(record)
        trace = trace_of(came)
        headers: Headers | None
        for event in events:
            if isinstance(event, Tagged):
                raw, headers = record.value(), came
                assert raw is not None
                topic, value = self._topics.tagged, codec.tag(raw, event)
            elif isinstance(event, Erased):
                mark = mark_of(ErasureMark(key, record.offset() + 1))
                outputs.append((self._topics.state, None, mark, partition, None))
                continue
            elif isinstance(event, _UNTOLD):
                continue
            else:
                headers, topic = trace, self._topics.sessions
                value = codec.encode_event(user_id, event, message.encoding)
            size_bytes = len(value) + headers_bytes(headers or ())
            if size_bytes > self._value_bytes_max:
                del outputs[before:]
                self._set_aside(record, _too_large(size_bytes), outputs)
                return False
            outputs.append((topic, value, key, partition, headers))
        for event in events:
            self._tally_event(user_id, event)
        if message.odd and isinstance(message, Message):
            self._tally.odd[message.odd] += 1
        return True

    def _set_aside(self, record: RawRecord, error: RecordError, outputs: list[Output]) -> None:
        match error:
            case DecodeError():
                stage = Stage.DECODE
                if (record.value() or b"{")[0] != ord("{"):  # What looks like JSON is told as JSON.
                    error = framing_in_headers(name for name, _ in headers_of(record)) or error
            case _TooLarge():
                stage = Stage.SIZE
            case _:
                stage = Stage.VALIDATE
        outputs.append(
            dead_letter(
                record,
                error,
                stage,
                codec=self._codec,
                topic=self._topics.dlq,
                raw_topic=self._topics.raw,
                bytes_max=self._record_bytes_max,
            )
        )
        self._tally.dead[stage.value] += 1

    def _schedule(self, key: bytes, before: UserState | None, after: UserState | None) -> None:
        """Set the user's deadline by the state `after`; that of the state `before` is set already."""
        due = None if after is None else due_ms(after, self._rules)
        if due is None:
            return
        if before is None or due < (due_ms(before, self._rules) or due + 1):
            self._wheel.add(key, due)

    def _tally_event(self, user_id: str, event: Event) -> None:
        tally = self._tally
        if isinstance(event, Tagged):
            tally.tagged += 1
            if event.flags:
                tally.flags[event.flags] += 1
            return
        is_again = isinstance(event, Ended) and event.revision > 0  # Each late message tells the end again.
        if len(tally.boundaries) < BOUNDARIES_MAX and isinstance(event, Boundary) and not is_again:
            tally.boundaries.append((user_id, event))
        if isinstance(event, Started):
            tally.started[event.reason.value] += 1
        elif isinstance(event, Ended) and not is_again:
            tally.ended[event.reason.value] += 1
        command: Command | None = getattr(event, "command", None)
        if command is not None:
            match event:
                case Rejected():
                    outcome = event.code.value
                case Unchanged():
                    outcome = "unchanged"
                case _:
                    outcome = "accepted"
            tally.commands[command.name.value, outcome] += 1


class _TooLarge(InvalidMessage):
    """The record's outputs are larger than their topics take."""


def _too_large(size_bytes: int) -> _TooLarge:
    return _TooLarge(
        f"what it causes would be {size_bytes} bytes, more than the output topics take",
        remedy="raise max.message.bytes of the output topics, then retry the dead letter",
    )


def _too_large_to_reroute(size_bytes: int, partition: int) -> _TooLarge:
    return _TooLarge(
        f"it belongs in partition {partition}, and with {size_bytes} bytes is too large to be sent there",
        remedy="let its producer partition by murmur2 of the user_id, or raise max.message.bytes of the raw topic",
    )


def _is_open(state: UserState | None) -> int:
    return int(state is not None and state.current is not None and state.current.end_ms is None)
