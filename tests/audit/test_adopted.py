"""The audit of topics that a mirror has filled: its letters and states name another cluster's offsets."""

import pytest

from processor.audit.outcomes import audit
from processor.audit.report import AuditReport
from processor.codec.headers import DLQ_START
from processor.codec.state import decode_state, encode_state
from processor.runtime.adopting import Adopted
from processor.runtime.growing import moved
from processor.runtime.ports import TopicRecord
from tests.audit.topics import MemoryTopics
from tests.runtime.stage import CODEC, NAMES, RULES, Stage, fill

OFFSET = f"{DLQ_START}offset"


def elsewhere(letter: TopicRecord) -> TopicRecord:
    """Return a letter whose record is at another offset here, as markers make it."""
    headers = [(name, b"%d" % (2 * int(text or b"0") + 7) if name == OFFSET else text) for name, text in letter.headers]
    return letter._replace(headers=headers)


def adopted(seed: int) -> MemoryTopics:
    """Return topics that were mirrored, adopted, and not worked on since."""
    stage = Stage()
    fill(stage, 400, seed)
    stage.member(batch_records_max=10).finish()
    topics = MemoryTopics(stage.broker, NAMES)
    for partition in range(topics.partitions):
        raw, states, letters = (topics.logs[name][partition] for name in (NAMES.raw, NAMES.state, NAMES.dlq))
        topics.mirrored[partition] = Adopted(len(raw), len(states), len(letters))
        letters[:] = map(elsewhere, letters)
        latest = {record.key: record for record in states}
        for record in latest.values():
            if record.value is not None:
                value = encode_state(moved(decode_state(record.value)))
                states.append(record._replace(offset=len(states), value=value))
    return topics


def audited(topics: MemoryTopics) -> AuditReport:
    return audit(topics, CODEC, NAMES, RULES)


@pytest.mark.parametrize("seed", range(3))
def test_what_was_adopted_is_sound(seed: int) -> None:
    """Letters are found by their content, and states need no offset. Without the marks nobody knows, which is told."""
    topics = adopted(seed)
    report = audited(topics)
    assert (report.problems, [note for note in report.notes if "without an offset" in note]) == ([], [])
    assert report.states_compared == report.states > 5
    assert min(report.dead, report.rerouted) > 5
    topics.mirrored.clear()
    unmarked = audited(topics)
    assert unmarked.problem_count > 10
    assert [note for note in unmarked.notes if "states without an offset. If a3cp topics adopt wrote them" in note]


def test_what_the_mirror_left_out_is_found() -> None:
    """A dead letter, or the record that it sets aside."""
    topics = adopted(0)
    partition = max(range(topics.partitions), key=lambda number: len(topics.logs[NAMES.dlq][number]))
    gone = topics.logs[NAMES.dlq][partition].pop()
    assert [problem.what for problem in audited(topics).problems if "neither tagged nor set aside" in problem.what]
    topics = adopted(0)
    raw = topics.logs[NAMES.raw][partition]
    raw[:] = [record for record in raw if record.value != gone.value]
    assert [problem.what for problem in audited(topics).problems if "sets aside a record" in problem.what]
