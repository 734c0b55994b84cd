"""Headers are read once; those that the Kafka client cannot read stop nothing."""

import pytest

from processor.codec.headers import REROUTED, UNREADABLE, Headers, headers_of
from processor.runtime.partitioner import partition_of
from processor.testing import MemoryRecord
from tests.broker.fleet import BASE_MS, message
from tests.runtime.stage import NAMES, PARTITIONS, RULES, Stage

HERE = partition_of(b"maria", PARTITIONS)
ELSEWHERE = (HERE + 1) % PARTITIONS


class Unreadable(MemoryRecord):
    """A record whose headers raise as confluent_kafka's do."""

    def headers(self) -> None:
        """Fail."""
        raise SystemError("<method 'headers' of 'Message' objects> returned a result with an exception set")


class Message:
    """What confluent_kafka 2.16 does: the first call raises, the second returns what must not be looked at."""

    def __init__(self) -> None:
        self._calls = 0
        self._headers: list[tuple[str, bytes | None]] | None = None

    def headers(self) -> list[tuple[str, bytes | None]]:
        """Raise, then return what was set instead."""
        self._calls += 1
        if self._calls == 1:
            raise SystemError("returned a result with an exception set")
        assert self._headers is not None, "the process crashes"
        return self._headers

    def set_headers(self, headers: list[tuple[str, bytes | None]]) -> None:
        """Replace them."""
        self._headers = headers


def send(stage: Stage, partition: int, value: bytes) -> None:
    """Append a record with headers that cannot be read."""
    log = stage.broker.topics[NAMES.raw][partition]
    log.append(Unreadable(partition, len(log), b"maria", value, BASE_MS))


def test_headers_as_they_came() -> None:
    """In their order, also those of one name, and none at all."""
    came = [("a", b"1"), ("a", None)]
    assert headers_of(MemoryRecord(0, 0, None, None, BASE_MS, came)) == came
    assert headers_of(MemoryRecord(0, 0, None, None, BASE_MS)) == []


TRACE: Headers = [
    ("traceparent", b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
    ("twice", b""), ("twice", None), ("a3cp-retried", b"not ours"), ("\u00fcber", b"\xff"),
]  # fmt: skip


def test_tagged_messages_carry_the_headers() -> None:
    """Of the message that opens a session, of the next ones, of none. Events carry the trace of their record alone."""
    stage = Stage()
    for number, headers in enumerate((TRACE, TRACE, None, [])):
        stage.send(HERE, message("maria", BASE_MS + number, number=number), b"maria", headers)
    stage.send(HERE, message("maria", BASE_MS + 9, command="end"), b"maria", TRACE)
    stage.member().finish()
    tagged = stage.broker.topics[NAMES.tagged][HERE]
    assert [record.raw_headers or [] for record in tagged] == [TRACE, TRACE, [], []]
    assert [record.raw_headers for record in stage.broker.topics[NAMES.sessions][HERE]] == [TRACE[:1], TRACE[:1]]


def test_events_carry_the_trace_of_what_caused_them() -> None:
    """The end that a later message shows, the start that it makes, an answer to a command; what time ends has none."""
    stage, state = Stage(), ("tracestate", b"vendor=1")
    later_ms = BASE_MS + 2 * RULES.gap_ms
    stage.send(HERE, message("maria", BASE_MS), b"maria")
    stage.send(HERE, message("maria", later_ms, number=1), b"maria", [TRACE[0], state])
    stage.send(HERE, message("maria", later_ms, number=2, command="resume"), b"maria", TRACE)
    member = stage.member().finish()
    stage.clock.time_ms = later_ms + 2 * RULES.gap_ms
    member.worker.step()
    assert stage.kinds() == ["started", "ended", "started", "unchanged", "ended"]
    events = stage.broker.topics[NAMES.sessions][HERE]
    with_state = [TRACE[0], state]
    assert [each.raw_headers for each in events] == [None, with_state, with_state, TRACE[:1], None]


def test_dead_letters_and_copies_carry_them_too() -> None:
    """A dead letter and a misplaced record's copy have ours behind them; what is tagged of the copy has all."""
    stage = Stage()
    stage.send(HERE, b"{}", b"maria", TRACE)
    stage.send(ELSEWHERE, message("maria", BASE_MS), b"maria", TRACE)
    stage.member().finish()
    (letter,) = stage.broker.topics[NAMES.dlq][HERE]
    assert (letter.raw_headers or [])[: len(TRACE)] == TRACE
    copy = stage.broker.topics[NAMES.raw][HERE][1].raw_headers
    assert copy == [*TRACE, (REROUTED, f"{NAMES.raw}[{ELSEWHERE}]@0".encode())]
    (tagged,) = stage.broker.topics[NAMES.tagged][HERE]
    assert tagged.raw_headers == copy


@pytest.mark.parametrize("is_first", [True, False])
def test_headers_count_within_the_limit(*, is_first: bool) -> None:
    """What would be too large with its headers is set aside, whether or not it opens a session."""
    stage = Stage(record_bytes_max=20_000)
    if not is_first:
        stage.say("maria")
    stage.send(HERE, message("maria", BASE_MS + 9, number=9), b"maria", [("large", b"x" * 19_000)])
    stage.member().finish()
    assert len(stage.broker.topics[NAMES.tagged][HERE]) == (not is_first)
    ((_, headers),) = stage.dead()
    assert headers["a3cp-dlq-stage"] == "size"


def test_a_tagged_message_says_that_headers_were_unreadable() -> None:
    """Of a message that opens a session, and of the next."""
    stage = Stage()
    for number in range(2):
        send(stage, HERE, message("maria", BASE_MS + number, number=number))
    stage.member().finish()
    tagged = stage.broker.topics[NAMES.tagged][HERE]
    assert [[name for name, _ in record.raw_headers or ()] for record in tagged] == [[UNREADABLE]] * 2


def test_unreadable_headers_are_never_looked_at_again() -> None:
    """They are replaced in the client's record, so that reading them twice gives the same and no crash."""
    record = Message()
    assert [name for name, _ in headers_of(record)] == [UNREADABLE]
    assert headers_of(record) == headers_of(record)


def test_a_dead_letter_says_that_headers_were_unreadable() -> None:
    """It has its reason and the mark; the partition goes on."""
    stage = Stage()
    send(stage, HERE, b"{}")
    stage.say("maria")
    stage.member().finish()
    ((kept, headers),) = stage.dead()
    assert kept == b"{}"
    assert UNREADABLE in headers
    assert "user_id is missing" in headers["a3cp-dlq-message"]
    assert len(stage.views(NAMES.tagged)) == 1


def test_a_misplaced_record_with_unreadable_headers_is_rerouted() -> None:
    """The copy has the mark in their place, and is tagged."""
    stage = Stage()
    send(stage, ELSEWHERE, message("maria", BASE_MS))
    stage.member().finish()
    (copy,) = stage.broker.topics[NAMES.raw][HERE]
    assert [name for name, _ in copy.raw_headers or ()] == [UNREADABLE, REROUTED]
    assert len(stage.broker.topics[NAMES.tagged][HERE]) == 1
