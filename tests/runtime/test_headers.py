"""Headers are read once; those that the Kafka client cannot read stop nothing."""

from processor.runtime.headers import UNREADABLE, headers_of
from processor.runtime.partitioner import partition_of
from processor.runtime.task import REROUTED
from processor.testing import MemoryRecord
from tests.broker.fleet import BASE_MS, message
from tests.runtime.stage import NAMES, PARTITIONS, Stage

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
    assert headers_of(MemoryRecord(0, 0, None, None, BASE_MS, came)) == came  # type: ignore[arg-type]
    assert headers_of(MemoryRecord(0, 0, None, None, BASE_MS)) == []


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
