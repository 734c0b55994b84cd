"""What keeps a worker from going on is told, with where and what to do."""

from collections.abc import Iterator

import pytest

from processor.ports import Cause
from tests.contracts.worlds import KafkaWorld, Member

pytestmark = pytest.mark.broker


@pytest.fixture
def world(kafka: str, topics: str) -> Iterator[KafkaWorld]:
    made = KafkaWorld(kafka, topics)
    yield made
    made.close()


def test_an_open_transaction_of_a_producer_is_told(world: KafkaWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the first offset that waits and how many do; short ones are everyday, and the end of it is told too."""
    monkeypatch.setattr("processor.kafka.hidden._PATIENCE_S", 1.0)
    world.produce(2, b"a")
    member = Member(world)
    member.run_until("caught up", lambda: all(member.log.caught_up(p) for p in range(4)))
    commit = world.hide(2, b"b", b"c")
    place = 2, Cause.OPEN_TRANSACTION
    member.run_until("it is told", lambda: member.log.lag() and place in world.waits)
    position, why, remedy = world.waits[place]
    assert (position, why) == (f"{world.names.raw}[2]@1", "2 offsets wait behind a producer's open transaction")
    assert f"describe-producers --topic {world.names.raw} --partition 2" in remedy
    assert set(world.waits) == {place}
    commit()
    member.run_until("it goes on", lambda: member.log.lag() and not world.waits)
    assert world.values("tagged", 2) == [b"a", b"b", b"c"]
