"""More partitions: each user's sessions go on as if nothing had happened, and the audit knows where they went."""

from collections import defaultdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processor.audit.outcomes import audit
from processor.audit.report import AuditReport
from processor.audit.verifying import verify_topics
from processor.codec.state import decode_state
from processor.codec.tagged import TaggedView
from processor.runtime.growing import Grown, moves, next_partition, parent_of, partitions_at
from processor.runtime.partitioner import partition_of
from tests.audit.topics import MemoryTopics
from tests.broker.fleet import day
from tests.runtime.stage import CODEC, NAMES, PARTITIONS, RULES, Stage, fill

HOUR_MS = 3_600_000


def process(stage: Stage, *, minutes: int = 0) -> None:
    """Run a worker until all is processed, and so many minutes more."""
    member = stage.member(batch_records_max=10).finish()
    for _ in range(minutes):
        stage.clock.time_ms += 60_000
        member.worker.step()
    member.log.close()


def audited(stage: Stage) -> AuditReport:
    return audit(MemoryTopics(stage.broker, NAMES), CODEC, NAMES, RULES, now_ms=stage.clock.now_ms())


def say(stage: Stage, seed: int, first: int, after: int) -> None:
    """Send the part of a lively day from record `first` to before record `after`; nothing of it is misplaced."""
    for number, (user, value) in enumerate(day(seed, after, 12, gap_ms=RULES.gap_ms)):
        if number >= first:
            stage.broker.produce(NAMES.raw, user, value)


def by_user(stage: Stage) -> dict[str, list[TaggedView]]:
    """Return the tags of each user, in the order of their numbers in the log: a new partition comes later."""
    tags = defaultdict(list)
    for view in stage.views(NAMES.tagged):
        tags[view.user_id].append(view)
    return dict(tags)


@pytest.mark.parametrize("seed", range(4))
def test_tags_are_those_of_a_system_that_did_not_grow(seed: int) -> None:
    """Ids, numbers and flags, before and after; twice more partitions, then three times."""
    grown, calm = Stage(), Stage()
    for stage in grown, calm:
        for number, partitions in enumerate((8, 24, None)):
            say(stage, seed, number * 150, (number + 1) * 150)
            process(stage)
            if partitions is not None and stage is grown:
                stage.grow(partitions)
    assert grown.broker.partitions == 24
    assert by_user(grown) == by_user(calm)
    assert sum(len(log) > 0 for log in grown.broker.topics[NAMES.tagged][PARTITIONS:]) > 3
    report = audited(grown)
    assert report.problems == []
    assert report.states_compared == report.states > 5
    assert (report.waiting, report.tagged) == (0, audited(calm).tagged)


@pytest.mark.parametrize("minutes", [0, 3, 90])
@pytest.mark.parametrize("seed", range(4))
def test_the_audit_follows_those_who_move(seed: int, minutes: int) -> None:
    """With dead letters, misplaced records, commands, and a clock that ends sessions and forgets users."""
    stage = Stage()
    for turn, partitions in enumerate((8, 16, 16)):
        fill(stage, 150, 100 * turn + seed)
        process(stage, minutes=minutes)
        if partitions != stage.broker.partitions:
            stage.grow(partitions)
    topics = MemoryTopics(stage.broker, NAMES)
    report = audited(stage)
    assert report.problems == []
    assert report.waiting == 0
    assert min(report.dead, report.answered, report.rerouted, report.sessions, report.ends) > 0
    assert [problem for one in verify_topics(topics, CODEC, NAMES) for problem in one.problems] == []


@pytest.mark.parametrize("seed", range(4))
def test_what_waits_follows_its_user(seed: int) -> None:
    """Records that were not processed when the partitions came are sent on, once; so is what old producers send."""
    stage = Stage()
    fill(stage, 150, seed)
    process(stage)
    fill(stage, 90, 50 + seed)
    member = stage.member(batch_records_max=5)
    for _ in range(8):  # The rest waits, copies of misplaced records among it.
        member.worker.step()
    assert not member.done
    member.log.close()
    stage.grow(8)
    old = Stage()  # A producer that does not know yet.
    fill(old, 60, 90 + seed)
    for log in old.broker.topics[NAMES.raw]:
        for record in log:
            stage.send(record.number, record.raw_value, record.raw_key)
    process(stage)
    report = audited(stage)
    assert report.problems == []
    assert report.rerouted > 20
    assert report.tagged + report.dead + report.answered + report.rerouted == report.raw


def test_a_moved_user_that_was_erased() -> None:
    """Before the move and after it: what came before counts no more, and nothing is wrong."""
    stage = Stage()
    users = [f"user-{number}" for number in range(12)]
    for user in users:
        stage.say(user, 1)
        stage.say(user, 2, command="erase")
        stage.say(user, 3)
    process(stage)
    stage.grow(8)
    for user in users:
        stage.say(user, 4)
        stage.say(user, 5, command="erase")
        stage.say(user, 6)
    process(stage)
    report = audited(stage)
    assert report.problems == []
    assert report.states == report.states_compared == len(users)


def test_damage_behind_the_move_is_found() -> None:
    """A message of a session that moved is lost; and a state has another digest than its messages."""
    stage = Stage()
    user = next(name for n in range(99) if partition_of((name := f"user-{n}").encode(), 8) >= PARTITIONS)
    stage.say(user, 1)
    stage.say(user, 2)
    process(stage)
    stage.grow(8)
    topics = MemoryTopics(stage.broker, NAMES)
    assert audit(topics, CODEC, NAMES, RULES).problems == []
    here, there = partition_of(user.encode(), PARTITIONS), partition_of(user.encode(), 8)
    del topics.logs[NAMES.tagged][here][0]
    told = [problem.what for problem in audit(topics, CODEC, NAMES, RULES).problems]
    assert any("missing" in what for what in told)
    topics = MemoryTopics(stage.broker, NAMES)
    del topics.logs[NAMES.state][there][-1]
    told = [problem.what for problem in audit(topics, CODEC, NAMES, RULES).problems]
    assert any("no state" in what for what in told)


def test_an_offset_set_by_hand_takes_the_mark_away() -> None:
    """Then nobody knows of the move. The audit says so, beside what it takes for wrong."""
    stage = Stage()
    for turn in range(2):
        fill(stage, 150, turn)
        process(stage)
        if not turn:
            stage.grow(8)
    topics = MemoryTopics(stage.broker, NAMES)
    assert not [note for note in audit(topics, CODEC, NAMES, RULES).notes if "mark" in note]
    lost = next(number for number in range(PARTITIONS) if topics.logs[NAMES.tagged][number])
    del topics.marks[lost]
    report = audit(topics, CODEC, NAMES, RULES)
    assert report.problems
    (note,) = [note for note in report.notes if "mark" in note]
    assert note.startswith(f"{NAMES.raw}[{lost}] has ")


@given(st.binary(min_size=1, max_size=20), st.integers(1, 30), st.integers(2, 6))
def test_a_user_stays_or_moves_to_a_new_partition(key: bytes, before: int, times: int) -> None:
    """That is why the new number must be a multiple of the old one."""
    old, new = partition_of(key, before), partition_of(key, before * times)
    assert new == old or (new >= before and new % before == old)
    assert parent_of(new, [Grown(before, 0)]) == (None if new < before else old)
    assert next_partition(key, old, [Grown(before, 7)], before * times) == new


def test_how_many_partitions_there_were() -> None:
    """A mark says it of the records before its offset."""
    grown = [Grown(4, 10), Grown(8, 25)]
    assert [partitions_at(offset, grown, 16) for offset in (0, 9, 10, 24, 25)] == [4, 4, 8, 8, 16]
    assert [parent_of(partition, [Grown(4, 0), Grown(8, 0)]) for partition in (3, 5, 13)] == [None, 1, 5]


def test_a_moved_state_knows_no_record_of_its_partition() -> None:
    """Else its first records would be taken for repeats."""
    stage = Stage()
    users = [f"user-{number}" for number in range(20)]
    for user in users:
        stage.say(user, 1)
    process(stage)
    (partition, log) = max(enumerate(stage.broker.topics[NAMES.state]), key=lambda each: len(each[1]))
    states = {record.raw_key or b"": record.raw_value or b"" for record in log}
    outputs = moves(NAMES.state, partition, states, 8)
    gone = [output for output in outputs if output[1] is None]
    come = [output for output in outputs if output[1] is not None]
    assert len(gone) == len(come) > 0
    assert all(output[3] == partition for output in gone)
    for _, value, key, right, _ in come:
        assert right == partition_of(key or b"", 8)
        assert value is not None
        assert decode_state(value).last_offset == -1
        assert decode_state(value)._replace(last_offset=0) == decode_state(states[key or b""])._replace(last_offset=0)
