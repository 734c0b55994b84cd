"""`a3cp canary`, on a log in memory: what it sends is tagged, opens nothing, and is told when it does not come."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from processor.in_memory import MemoryDeployment
from processor.processes.canary import WAITING_MAX, Canary
from processor.runtime.ports import TopicRecord
from processor.sessions.ports import TAGGED
from processor.settings.model import Settings

PARTITIONS = 4


@pytest.fixture
def deployment(tmp_path: Path) -> Iterator[MemoryDeployment]:
    settings = Settings(store_url=f"sqlite:///{tmp_path / 'a3cp.db'}", passive_sources=frozenset())
    with MemoryDeployment(tmp_path, settings=settings, partitions=PARTITIONS) as deployment:
        yield deployment


def tagged(deployment: MemoryDeployment) -> list[TopicRecord]:
    return [
        TopicRecord(TAGGED, record.number, record.position, record.append_ms, record.raw_key, record.raw_value)
        for log in deployment.broker.topics[TAGGED]
        for record in log
    ]


def test_each_partition_gets_its_own_and_it_comes_back(deployment: MemoryDeployment) -> None:
    """With how long it took; then none waits."""
    canary = Canary(PARTITIONS)
    places = [deployment.producer.send(value, key) for key, value in canary.next_messages(10.0)]
    assert sorted(places) == list(range(PARTITIONS))
    assert canary.waiting_s(11.0) == dict.fromkeys(range(PARTITIONS), 1.0)
    assert [canary.take(record, 12.5) for record in tagged(deployment)] == [(2.5, 0)] * PARTITIONS
    assert canary.waiting_s(13.0) == dict.fromkeys(range(PARTITIONS), 0.0)


def test_it_opens_nothing_and_is_not_exported(deployment: MemoryDeployment) -> None:
    """Whatever the passive sources are."""
    for key, value in Canary(PARTITIONS).next_messages(0):
        deployment.producer.send(value, key)
    deployment.export()
    assert len(tagged(deployment)) == PARTITIONS
    assert list(deployment.store.reader.without_session()) == []
    assert [deployment.broker.values(name) for name in ("sessions", "state")] == [[], []]


def test_what_does_not_come_is_lost_once_a_later_one_has_come(deployment: MemoryDeployment) -> None:
    """Those of other canaries are passed over; a topic without a reader gets no more than so many."""
    canary, other = Canary(PARTITIONS), Canary(PARTITIONS)
    canary.next_messages(0)
    for key, value in [*other.next_messages(1), *canary.next_messages(2)]:
        deployment.producer.send(value, key)
    found = [canary.take(record, 3) for record in tagged(deployment)]
    assert sorted(each for each in found if each is not None) == [(1, 1)] * PARTITIONS
    assert found.count(None) == PARTITIONS
    sent = [len(canary.next_messages(4)) for _ in range(WAITING_MAX + 5)]
    assert sent == [PARTITIONS] * WAITING_MAX + [0] * 5
