"""What a sender sends, and what it refuses to."""

import json
from uuid import UUID

import pytest

from processor.client.sending import Sender
from processor.codec.schema import SHIPPED, Schemas
from processor.errors import BrokerUnavailable, InvalidMessage, UsageError
from processor.runtime.partitioner import partition_of
from processor.settings.documents import schema_text
from processor.testing import ManualClock, MemoryBroker, MemoryProducer

NOW_MS = 1_750_000_000_000
RECORD_ID = "0d4f5a0e-1111-4222-8333-444455556666"


@pytest.fixture
def broker() -> MemoryBroker:
    return MemoryBroker(ManualClock(NOW_MS))


@pytest.fixture
def producer(broker: MemoryBroker) -> MemoryProducer:
    return MemoryProducer(broker, "raw")


@pytest.fixture
def sender(broker: MemoryBroker, producer: MemoryProducer) -> Sender:
    schemas = Schemas({name: schema_text(name) for name in SHIPPED})
    return Sender(producer, schemas, source="test", now_ms=broker.clock.now_ms)


def test_a_command_keeps_the_id_and_the_time_that_it_is_given(sender: Sender) -> None:
    """Whoever repeats a command after a failure repeats its very bytes."""
    command, again = (
        sender.command("ann", "end", record_id=RECORD_ID, timestamp_ms=NOW_MS - 1, performer_id="system")
        for _ in range(2)
    )
    assert command == again
    fields = json.loads(command.value)
    assert (fields["record_id"], fields["timestamp"]) == (RECORD_ID, "2025-06-15T15:06:39.999Z")


def test_a_command_has_an_id_of_its_own_and_the_time_of_now(sender: Sender) -> None:
    """So two commands are never taken for one."""
    one, other = sender.command("ann", "pause"), sender.command("ann", "pause")
    assert UUID(one.record_id).version == 4
    assert one.record_id != other.record_id
    assert json.loads(one.value)["timestamp"] == "2025-06-15T15:06:40.000Z"


@pytest.mark.parametrize(
    ("user_id", "word", "arguments"),
    [("", "start", {}), (" ann", "start", {}), ("ann", "begin", {}), ("ann", "end", {"force_new": True})],
)
def test_a_wrong_command_is_refused_before_it_is_sent(
    sender: Sender, user_id: str, word: str, arguments: dict[str, object]
) -> None:
    """The log never holds what its sender could have mended."""
    with pytest.raises(UsageError):
        sender.command(user_id, word, **arguments)  # type: ignore[arg-type]


def test_what_is_sent_is_in_the_users_partition(sender: Sender, broker: MemoryBroker) -> None:
    """Commands and messages of a user have one order."""
    told: list[object] = []
    command = sender.command("ann", "start")
    sender.send(command, told.append)
    message = {"schema_version": "1.0.1", "record_id": RECORD_ID, "user_id": "ann", "timestamp": "2025-06-15T15:06:40Z"}
    sender.message(message, on_done=told.append)
    log = broker.topics["raw"][partition_of(b"ann", broker.partitions)]
    assert [record.raw_value for record in log] == [command.value, json.dumps(message, separators=(",", ":")).encode()]
    assert told == [None, None]


def test_a_message_that_could_not_be_tagged_is_refused(sender: Sender, broker: MemoryBroker) -> None:
    """It would be a dead letter."""
    with pytest.raises(InvalidMessage):
        sender.message({"user_id": "ann"})
    assert not broker.values("raw")


def test_who_sends_is_told_that_the_broker_is_away(sender: Sender, producer: MemoryProducer) -> None:
    """Nothing is kept in secret."""
    producer.is_away = True
    with pytest.raises(BrokerUnavailable):
        sender.send(sender.command("ann", "start"), lambda _: None)
