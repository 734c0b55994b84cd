"""What every `Log` promises, tested on the fake and on Kafka alike: the worker relies on nothing else."""

from collections.abc import Iterator

import pytest

from processor.errors import Aborted, OutcomeUnknown, OwnershipLost
from processor.runtime.ports import Revoked
from processor.testing import ManualClock, MemoryBroker
from tests.broker.fleet import await_true
from tests.contracts.worlds import PARTITIONS, KafkaWorld, Member, MemoryWorld

REFUSED = (Aborted, OutcomeUnknown, OwnershipLost)


@pytest.fixture(params=["memory", pytest.param("kafka", marks=pytest.mark.broker)])
def world(request: pytest.FixtureRequest) -> Iterator[MemoryWorld | KafkaWorld]:
    if request.param == "memory":
        yield MemoryWorld(MemoryBroker(ManualClock(), partitions=PARTITIONS))
        return
    on_kafka = KafkaWorld(request.getfixturevalue("kafka"), request.getfixturevalue("topics"))
    yield on_kafka
    on_kafka.close()


def test_records_come_in_order_once_their_state_is_restored(world: MemoryWorld | KafkaWorld) -> None:
    """Each partition's records come in offset order, all of them, and none before its restore is finished."""
    for partition in range(PARTITIONS):
        world.produce(partition, b"a", b"b", b"c")
    records = Member(world).await_records(3 * PARTITIONS, records_max=2)
    for partition in range(PARTITIONS):
        assert [record.value() for record in records if record.partition() == partition] == [b"a", b"b", b"c"]


def test_a_commit_shows_outputs_and_moves_positions_together(world: MemoryWorld | KafkaWorld) -> None:
    """What a closed member committed is visible, and its successor reads on after it with the state that it left."""
    world.produce(1, b"a", b"b")
    first = Member(world)
    first.tag(first.await_records(2))
    first.log.commit()
    first.log.close()
    assert world.values("tagged", 1) == [b"a", b"b"]
    world.produce(1, b"c")
    second = Member(world)
    assert [record.value() for record in second.await_records(1)] == [b"c"]
    assert second.states[1] == [(b"user", b"state")]
    assert second.states[0] == []


def test_what_is_not_committed_never_happened(world: MemoryWorld | KafkaWorld) -> None:
    """After `recover` all partitions come anew, their records are polled again, and no output is seen."""
    world.produce(2, b"a", b"b")
    member = Member(world)
    member.tag(member.await_records(2))
    member.log.recover()
    records = member.await_records(2)
    assert [record.value() for record in records] == [b"a", b"b"]
    assert world.values("tagged", 2) == []
    member.tag(records)
    member.log.commit()
    assert world.values("tagged", 2) == [b"a", b"b"]


def test_outputs_and_positions_stand_in_one_transaction(world: MemoryWorld | KafkaWorld) -> None:
    """Who fails when all is sent but the end of the transaction has moved no position either."""
    world.produce(2, b"a", b"b")
    member = Member(world, world.member_that_fails())
    member.tag(member.await_records(2))
    with pytest.raises(OutcomeUnknown):
        member.log.commit()
    member.log.recover()
    assert world.values("tagged", 2) == []
    assert [record.value() for record in member.await_records(2)] == [b"a", b"b"]


def test_deletions_are_restored(world: MemoryWorld | KafkaWorld) -> None:
    """A restore gives values and tombstones in the order of the log."""
    state = world.topic("state")
    world.produce(0, b"a")
    first = Member(world)
    first.await_records(1)
    first.log.send([(state, b"1", b"x", 0, None), (state, None, b"x", 0, None), (state, b"2", b"y", 0, None)])
    first.log.commit()
    first.log.close()
    second = Member(world)
    second.await_restored()
    latest = {key: value for key, value in second.states[0] if value is not None or key == b"x"}
    assert latest == {b"x": None, b"y": b"2"} or latest == {b"y": b"2"}


def test_caught_up_means_that_all_was_polled(world: MemoryWorld | KafkaWorld) -> None:
    """A partition is caught up once its last record was polled, and no longer when more records come."""
    world.produce(3, b"a", b"b", b"c")
    member = Member(world)
    member.await_records(1, records_max=1)
    assert not member.log.caught_up(3)
    assert member.log.lag()[3] == 2
    member.run_until("caught up", lambda: all(member.log.caught_up(p) for p in range(PARTITIONS)))
    assert member.log.lag() == dict.fromkeys(range(PARTITIONS), 0)
    world.produce(3, b"d", b"e")
    member.await_records(1, records_max=1)
    assert not member.log.caught_up(3)
    member.run_until("caught up again", lambda: member.log.caught_up(3))


def test_what_is_held_back_comes_again_once_it_may(world: MemoryWorld | KafkaWorld) -> None:
    """What was polled before it counts, the other partitions go on, and none of it is lost or comes twice."""
    world.produce(0, b"a", b"b", b"c")
    world.produce(1, b"x")
    member = Member(world)
    records = member.await_records(4)
    member.log.hold_back(0, 1)
    member.tag([record for record in records if record.partition() == 1 or record.offset() < 1])
    member.log.commit()
    world.produce(0, b"d")
    world.produce(1, b"y")
    member.run_until("the other goes on", lambda: world.values("tagged", 1) == [b"x", b"y"])
    assert world.values("tagged", 0) == [b"a"]
    assert not member.log.caught_up(0)
    assert member.log.lag()[0] >= 3
    member.log.go_on(0)
    member.log.go_on(0)
    member.run_until("it goes on", lambda: world.values("tagged", 0) == [b"a", b"b", b"c", b"d"])
    member.run_until("caught up", lambda: member.log.caught_up(0))


def test_all_that_was_polled_may_be_held_back(world: MemoryWorld | KafkaWorld) -> None:
    """Then nothing of the partition is committed; its successor reads it."""
    world.produce(0, b"a", b"b")
    world.produce(1, b"x")
    first = Member(world)
    records = first.await_records(3)
    first.log.hold_back(0, 0)
    first.tag([record for record in records if record.partition() == 1])
    first.log.commit()
    first.log.close()
    second = Member(world)
    second.run_until("read by the next", lambda: world.values("tagged", 0) == [b"a", b"b"])
    assert world.values("tagged", 1) == [b"x"]


def test_recovering_ends_the_holding_back(world: MemoryWorld | KafkaWorld) -> None:
    """All comes anew, from the committed position on."""
    world.produce(0, b"a", b"b")
    member = Member(world)
    member.await_records(2)
    member.log.hold_back(0, 1)
    member.log.recover()
    assert [record.value() for record in member.await_records(2)] == [b"a", b"b"]


def test_an_undone_batch_is_read_whole_once_it_may_go_on(world: MemoryWorld | KafkaWorld) -> None:
    """What was polled before what is held back was undone with the batch, and comes again before it."""
    world.produce(0, b"a", b"b")
    first = Member(world)
    records = first.await_records(2)
    first.log.hold_back(0, 1)
    first.tag(records[:1])
    second = Member(world)
    second.turn()
    try:
        first.log.commit()
    except Aborted:
        first.log.go_on(0)
        first.run_until("all of it", lambda: world.values("tagged", 0) == [b"a", b"b"], second)
        return
    assert world.values("tagged", 0) == [b"a"]


def test_a_successor_with_nothing_to_read_is_caught_up(world: MemoryWorld | KafkaWorld) -> None:
    """Sessions of users who stay silent must end after a restart too: no record is needed to be caught up."""
    world.produce(0, b"a")
    first = Member(world)
    first.run_until("caught up", lambda: first.log.caught_up(0))
    first.log.close()
    second = Member(world)
    second.await_restored()
    second.run_until("caught up", lambda: all(second.log.caught_up(p) for p in range(PARTITIONS)))
    second.log.recover()
    second.await_restored()
    second.run_until("caught up after a recovery", lambda: all(second.log.caught_up(p) for p in range(PARTITIONS)))


def test_what_waits_behind_an_open_transaction_is_lag(world: MemoryWorld | KafkaWorld) -> None:
    """A partition is not caught up while records wait, though nothing more of it can be read at the moment."""
    world.produce(1, b"a")
    member = Member(world)
    member.run_until("caught up", lambda: all(member.log.caught_up(p) for p in range(PARTITIONS)))
    commit = world.hide(1, b"b")
    world.produce(1, b"c", b"d")
    member.run_until("it is seen", lambda: member.log.lag()[1] == 3)
    assert [member.log.caught_up(p) for p in range(PARTITIONS)] == [True, False, True, True]
    assert world.values("tagged", 1) == [b"a"]
    commit()
    member.run_until("it goes on", lambda: world.values("tagged", 1) == [b"a", b"b", b"c", b"d"])
    member.run_until("caught up again", lambda: member.log.caught_up(1))
    assert member.log.lag()[1] == 0


def test_the_brokers_clock_is_asked_without_a_trace(world: MemoryWorld | KafkaWorld) -> None:
    """What is told lies between two append times, and no reader sees that it was asked, not a restore either."""
    world.produce(0, b"a")
    member = Member(world)
    (before,) = member.await_records(1)
    member.tag([before])
    member.log.commit()
    now_ms = member.log.now_ms()
    world.produce(0, b"b")
    (after,) = member.await_records(1)
    assert before.timestamp()[1] <= now_ms <= after.timestamp()[1]
    member.log.close()
    successor = Member(world)
    successor.await_restored()
    assert successor.states == {0: [(b"user", b"state")], 1: [], 2: [], 3: []}


def test_two_members_share_and_a_leaver_gives_back(world: MemoryWorld | KafkaWorld) -> None:
    """No partition is owned by two; each record is output once, whoever polls it; who leaves is replaced."""
    for partition in range(PARTITIONS):
        world.produce(partition, b"a")
    first = Member(world)
    first.run_until("all", lambda: len(first.owned) == PARTITIONS and not first.restoring)
    second = Member(world)
    first.run_until("shared", lambda: len(first.owned) == len(second.owned) == PARTITIONS // 2, second)
    assert not first.owned & second.owned
    for partition in range(PARTITIONS):
        world.produce(partition, b"b")
    first.run_until("polled", lambda: all(m.log.caught_up(p) for m in (first, second) for p in m.owned), second)
    second.log.close()
    first.run_until("back", lambda: len(first.owned) == PARTITIONS and not first.restoring)
    for partition in range(PARTITIONS):
        world.produce(partition, b"c")

    def all_output() -> bool:
        return all(world.values("tagged", partition) == [b"a", b"b", b"c"] for partition in range(PARTITIONS))

    first.run_until("each once", all_output)


def test_a_commit_while_the_group_moves_on_counts_whole_or_not_at_all(world: MemoryWorld | KafkaWorld) -> None:
    """Whether it is refused or not: in the end each record was output once."""
    world.produce(0, b"a", b"b")
    world.produce(1, b"c")
    first = Member(world)
    first.tag(first.await_records(3))
    second = Member(world)
    second.turn()
    try:
        first.log.commit()
    except Aborted:
        assert world.values("tagged", 0) == []

    def all_output() -> bool:
        return world.values("tagged", 0) == [b"a", b"b"] and world.values("tagged", 1) == [b"c"]

    first.run_until("each once", all_output, second)


@pytest.mark.parametrize("polled", [True, False], ids=["a batch", "an end by the clock"])
def test_a_late_owner_is_fenced(world: MemoryWorld | KafkaWorld, polled: bool) -> None:
    """Whom the group has given up cannot write any more, whether it polled records or only punctuates."""
    world.produce(0, b"a")
    late = Member(world, None if isinstance(world, MemoryWorld) else world.member(expelled_soon=True))
    late.run_until("caught up", lambda: late.log.caught_up(0) and len(late.owned) == PARTITIONS)
    if polled:
        world.produce(0, b"b")
        records = late.await_records(1)
    world.expel(late.log)
    owner = Member(world)
    owner.await_restored_after(late, [b"a", b"b"] if polled else [b"a"])
    if polled:
        late.tag(records)
    else:
        late.log.send([(world.topic("tagged"), b"late", b"user", 0, None)])
    with pytest.raises(REFUSED) as refused:
        late.log.commit()
    assert world.values("tagged", 0) == ([b"a", b"b"] if polled else [b"a"])
    if not isinstance(refused.value, Aborted):
        late.log.recover()

    def knows() -> bool:
        try:
            late.turn()
        except REFUSED:
            late.log.recover()
        return any(isinstance(change, Revoked) and 0 in change.partitions for change in late.changes)

    await_true("it is told", knows)
