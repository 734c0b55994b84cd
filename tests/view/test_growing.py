"""A view that begins after the topics were given more partitions: it may read them in any order."""

import random
from typing import Any

import pytest

from processor.runtime.ports import TopicRecord
from processor.sessions.ports import SESSIONS, TAGGED
from processor.view.position import STATE, AsOf, Position
from processor.view.view import View
from tests.runtime.stage import CODEC, NAMES, PARTITIONS, Stage, grown
from tests.view.stage import CLUSTER

KINDS = {NAMES.state: STATE, NAMES.tagged: TAGGED, NAMES.sessions: SESSIONS}


def logs(stage: Stage) -> dict[tuple[str, int], list[TopicRecord]]:
    return {
        (kind, number): [
            TopicRecord(name, number, r.position, r.append_ms, r.raw_key, r.raw_value, r.raw_headers or ()) for r in log
        ]
        for name, kind in KINDS.items()
        for number, log in enumerate(stage.broker.topics[name])
    }


def viewed(stage: Stage, chance: random.Random | None) -> View:
    """Return a view that has read all of the stage's topics: in any order, or one partition after the other."""
    left = logs(stage)
    ends = {source: len(records) for source, records in left.items()}
    view = View(CODEC, None, partitions=stage.broker.partitions, cluster_id=CLUSTER, now_ms=stage.clock.now_ms)
    view.begin(ends)
    while left := {source: records for source, records in left.items() if records}:
        source = min(left, key=lambda each: each[1]) if chance is None else chance.choice(sorted(left))
        count = 10_000 if chance is None else chance.randrange(1, 20)
        view.take(source[0], left[source][:count])
        left[source] = left[source][count:]
    assert view.progress.is_ready()
    return view


def known(view: View, stage: Stage) -> Any:
    """Return what the view says of everybody's sessions."""
    told = {}
    for event in stage.views(NAMES.sessions):
        if event.session_id is not None:
            held = view.session(event.session_id)
            assert held is not None
            standing = view.memory.standing(event.user_id, event.session_id)
            told[event.session_id] = held.row, standing, [row.seq for row in held.messages()], held.position
    return told


@pytest.mark.parametrize("seed", range(4))
def test_the_order_of_partitions_does_not_matter(seed: int) -> None:
    """States, sessions, digests and positions are the same; an old partition's state never comes back."""
    stage = grown(seed)
    calm = viewed(stage, None)
    expected = known(calm, stage)
    assert len(expected) > 10
    assert any(standing is not None and standing.is_open for _, standing, _, _ in expected.values())
    for again in range(3):
        view = viewed(stage, random.Random(10 * seed + again))
        assert known(view, stage) == expected
        for key in {record.raw_key or b"" for record in stage.broker.topics[NAMES.raw][0] if record.raw_key}:
            assert view.memory.state(key.decode()) == calm.memory.state(key.decode())


def test_a_session_as_of_a_position_in_the_new_partition() -> None:
    """What came in the old one counts; as of a position in the old one, what came in the new one does not."""
    stage = grown(0)
    view = viewed(stage, None)
    for session_id, (row, _, numbers, position) in known(view, stage).items():
        held = view.session(session_id)
        assert held is not None
        first = next(iter(held.messages()), None)
        if first is None or first.partition == row.partition:
            continue
        then = view.session(session_id, as_of=AsOf(position))
        assert then is not None
        assert [each.seq for each in then.messages()] == numbers
        before = Position(position.cluster, first.partition, 10_000, 10_000)
        then = view.session(session_id, as_of=AsOf(before))
        assert then is not None
        assert 0 < then.row.held_count < len(numbers)
        assert first.partition < row.partition
        assert row.partition >= PARTITIONS
        return
    raise AssertionError("no session has moved")
