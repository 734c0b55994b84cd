"""One partition: what each record causes, what is set aside, and what is remembered."""

import json
from hashlib import sha256
from typing import Any

import pytest

from processor.codec.headers import REROUTED
from processor.codec.state import decode_state
from processor.runtime.partitioner import partition_of
from tests.broker.audit import compacted, read_memory
from tests.broker.fleet import BASE_MS, message
from tests.runtime.stage import CODEC, NAMES, PARTITIONS, RULES, Stage

GAP_MS = RULES.gap_ms
HERE = partition_of(b"maria", PARTITIONS)
ELSEWHERE = (HERE + 1) % PARTITIONS


def test_each_message_goes_out_tagged_with_its_boundaries() -> None:
    """In order, each with its session, and the boundaries between them as events; one state record a commit."""
    stage = Stage()
    values = [stage.say("maria", at_ms) for at_ms in (0, GAP_MS, 2 * GAP_MS + 1)]
    stage.member().finish()
    views = stage.views(NAMES.tagged)
    assert [view.session_seq for view in views] == [1, 2, 1]
    assert [CODEC.strip(value or b"") for value in stage.broker.values(NAMES.tagged)] == values
    assert stage.kinds() == ["started", "ended", "started"]
    assert len(stage.broker.values(NAMES.state)) == 1
    assert stage.audit().tagged == 3


@pytest.mark.parametrize(
    ("value", "stage_word", "says"),
    [
        (None, "decode", "tombstone"),
        (b"", "decode", "empty"),
        (b'{"user_id":', "decode", "JSON"),
        (b"\xff\xfe\xfd", "decode", ""),
        (b"{}", "validate", "user_id is missing"),
        (message(" ", BASE_MS), "validate", "user_id is blank"),
        (message("x" * 257, BASE_MS), "validate", "257 bytes"),
        (message("maria", BASE_MS).replace(b'"timestamp"', b'"time"'), "validate", "timestamp is missing"),
        (message("maria", BASE_MS, command="dance"), "validate", "command is unknown"),
        (b'{"user_id":"\\ud800","timestamp":"2025-06-15T12:00:00Z"}', "decode", ""),
    ],
)  # fmt: skip
def test_what_cannot_be_tagged_is_set_aside_unchanged(value: bytes | None, stage_word: str, says: str) -> None:
    """The dead letter holds the bytes that came, and says where they were and why; the next message is tagged."""
    stage = Stage()
    stage.send(HERE, value, b"any key", [("trace", b"7")])
    stage.say("maria")
    stage.member().finish()
    ((kept, headers),) = stage.dead()
    assert kept == value
    assert headers["trace"] == "7"
    assert headers["a3cp-dlq-topic"] == NAMES.raw
    assert (headers["a3cp-dlq-partition"], headers["a3cp-dlq-offset"]) == (str(HERE), "0")
    assert headers["a3cp-dlq-timestamp"] == str(BASE_MS)
    assert headers["a3cp-dlq-stage"] == stage_word
    assert headers["a3cp-dlq-sha256"] == sha256(value or b"").hexdigest()
    assert says in headers["a3cp-dlq-message"]
    assert stage.audit().tagged == 1


AVRO_BODY = b"\x0a1.0.1\x48"


@pytest.mark.parametrize(
    ("value", "header", "says"),
    [
        (AVRO_BODY, "__value_schema_id", "stands in Confluent's header __value_schema_id, which is not read; let"),
        (AVRO_BODY, "apicurio.value.globalId", "Apicurio's header apicurio.value.globalId"),
        (AVRO_BODY, "apicurio.value.contentId", "apicurio.registry.as-confluent=true"),
        (b"\0" * 20, "__value_schema_id", "value's schema stands in Confluent's header"),
        (AVRO_BODY, "__key_schema_id", "value is text, but no JSON object"),
        (b'{"user_id":', "__value_schema_id", "JSON"),
        (None, "__value_schema_id", "tombstone"),
        (AVRO_BODY, "traceparent", "value is text, but no JSON object"),
    ],
)  # fmt: skip
def test_a_schema_in_a_header_is_told_as_such(value: bytes | None, header: str, says: str) -> None:
    """The value itself begins with its first field, so its bytes do not show what it is; its headers do."""
    stage = Stage()
    stage.send(HERE, value, b"any key", [(header, b"\x01" + bytes(16))])
    stage.member().finish()
    ((_, headers),) = stage.dead()
    assert says in headers["a3cp-dlq-message"]
    assert headers["a3cp-dlq-stage"] == "decode"


@pytest.mark.parametrize("field", [{"frame_data": "AAAA"}, {"is_partial": True}, {"image": "data:image/png;base64,AA"}])
def test_what_must_not_be_kept_is_withheld(field: dict[str, Any]) -> None:
    """Raw media and partial transcripts leave only their hash and size in the dead letters."""
    stage = Stage()
    value = message(" ", BASE_MS, **field)
    stage.send(0, value)
    stage.member().finish()
    ((kept, headers),) = stage.dead()
    assert kept is not None
    assert json.loads(kept)["sha256"] == sha256(value).hexdigest()
    assert headers["a3cp-dlq-withheld"]
    assert b"AAAA" not in kept


@pytest.mark.parametrize("command", [None, "note"])
def test_what_would_be_too_large_is_set_aside(command: str | None) -> None:
    """A message whose tagged form, or a command whose event, does not fit changes nothing but the dead letters."""
    stage = Stage(record_bytes_max=4_000)
    stage.say("maria", 0)
    more = {"command": command, "note": "x" * 2_900} if command else {"text": "x" * 2_750}
    stage.say("maria", 1, **more)
    stage.say("maria", 2)
    stage.member().finish()
    ((_, headers),) = stage.dead()
    assert headers["a3cp-dlq-stage"] == "size"
    assert [view.session_seq for view in stage.views(NAMES.tagged)] == [1, 2]


def test_a_dead_letter_always_fits() -> None:
    """However large the value, the key and the headers: what does not fit is left out, hash and size are kept."""
    stage = Stage(record_bytes_max=8_000)
    stage.send(0, b"x" * 50_000)
    stage.send(0, b"y", b"k" * 50_000)
    stage.send(0, b"z", None, [("big", b"h" * 50_000)])
    stage.member().finish()
    for kept, headers in stage.dead():
        assert headers["a3cp-dlq-withheld"] == "too large"
        assert len(kept or b"") + sum(map(len, headers.values())) < 8_000
    assert [headers["a3cp-dlq-size"] for _, headers in stage.dead()] == ["50000", "1", "1"]


def test_a_state_never_outgrows_its_topic() -> None:
    """With the longest names of templates that are taken, as many sessions as are kept; longer names are set aside."""
    stage = Stage(record_bytes_max=8_000)
    limits = dict.fromkeys(("gap_ms", "max_session_ms", "pause_ms"), 1_000_000_000)
    stage.say("maria", 0, source="user_profile_store", session_policy={**limits, "template": "p" * 256})
    for number in range(40):
        stage.say("maria", 60 * number, command="start", force_new=True, template="t" * 256)
        stage.say("maria", 60 * number, command="pause")
    stage.say("maria", 0, command="start", force_new=True, template="t" * 257)
    stage.member().finish()
    ((_, headers),) = stage.dead()
    assert headers["a3cp-dlq-stage"] == "validate"
    assert "257 bytes, at most 256" in headers["a3cp-dlq-message"]
    assert stage.kinds().count("started") == 40
    assert 2_500 < max(len(value or b"") for value in stage.broker.values(NAMES.state)) < 8_000


def test_a_misplaced_record_is_rerouted_once() -> None:
    """To the partition of its user, under the right key, with a header that says where it was; and tagged there."""
    stage = Stage()
    stage.send(ELSEWHERE, message("maria", BASE_MS), None, [("trace", b"7")])
    member = stage.member().finish()
    (copy,) = stage.broker.topics[NAMES.raw][HERE]
    assert copy.raw_key == b"maria"
    assert copy.raw_headers == [("trace", b"7"), (REROUTED, f"{NAMES.raw}[{ELSEWHERE}]@0".encode())]
    assert not stage.broker.topics[NAMES.tagged][ELSEWHERE]
    assert len(stage.broker.topics[NAMES.tagged][HERE]) == 1
    assert sum(tally.rerouted for tally in member.told.tallies) == 1
    assert stage.audit().rerouted == 1


@pytest.mark.parametrize("foreign", [b"1", b"", f"{NAMES.raw}[{ELSEWHERE}]@0".encode(), b"other.raw[1]@7"])
def test_a_header_of_somebody_else_decides_nothing(foreign: bytes) -> None:
    """`a3cp-rerouted` may come from another cluster or a client: the record is sent on, or tagged, as without it."""
    stage = Stage()
    stage.send(ELSEWHERE, message("maria", BASE_MS), b"maria", [(REROUTED, foreign)])
    stage.send(HERE, message("maria", BASE_MS + 1), b"maria", [(REROUTED, foreign)])
    stage.member().finish()
    _, copy = stage.broker.topics[NAMES.raw][HERE]
    assert copy.raw_headers == [(REROUTED, foreign), (REROUTED, f"{NAMES.raw}[{ELSEWHERE}]@0".encode())]
    assert [len(log) for log in stage.broker.topics[NAMES.tagged]].count(0) == PARTITIONS - 1
    assert len(stage.broker.topics[NAMES.tagged][HERE]) == 2
    assert stage.audit().rerouted == 1


def test_a_misplaced_record_that_cannot_be_sent_is_set_aside() -> None:
    """With the header and key it would be larger than the raw topic takes."""
    stage = Stage(raw_bytes_max=2_000)
    stage.send(ELSEWHERE, message("maria", BASE_MS, text="x" * 1_000))
    stage.say("maria")
    stage.member().finish()
    ((_, headers),) = stage.dead()
    assert headers["a3cp-dlq-stage"] == "size"
    assert f"partition {HERE}" in headers["a3cp-dlq-message"]


def test_a_second_reader_of_a_log_does_not_write_to_it() -> None:
    """It skips what is misplaced, and reads the copy that the log's own processor has made."""
    stage = Stage()
    stage.send(ELSEWHERE, message("maria", BASE_MS), None)
    stage.member().finish().log.close()
    second = Stage(reroutes=False)
    for partition, log in enumerate(stage.broker.topics[NAMES.raw]):
        for record in log:
            second.send(partition, record.raw_value, record.raw_key, record.raw_headers)
    second.member().finish()
    assert second.broker.values(NAMES.tagged) == stage.broker.values(NAMES.tagged)
    assert list(map(len, second.broker.topics[NAMES.raw])) == list(map(len, stage.broker.topics[NAMES.raw]))


def test_users_are_forgotten_after_the_late_horizon() -> None:
    """A tombstone deletes the state of a user with no open session (rule R14); memory follows."""
    stage = Stage()
    stage.say("maria")
    member = stage.member().finish()
    stage.clock.time_ms += GAP_MS + RULES.quiet_ms + 2_000
    member.finish()
    assert stage.kinds() == ["started", "ended"]
    stage.clock.time_ms += RULES.late_horizon_ms + RULES.quiet_ms + 2_000
    member.finish()
    assert stage.broker.topics[NAMES.state][HERE][-1].raw_value is None
    assert member.worker.tasks[HERE].users == 0
    assert compacted(read_memory(stage.broker, NAMES).state[HERE]) == {}


def test_a_restored_task_equals_the_one_that_lived() -> None:
    """Restore meets live: every partition's states are equal to the byte, and so is the number of open sessions."""
    stage = Stage()
    for number in range(300):
        stage.say(f"user-{number % 23}", number * 7_919 % (9 * GAP_MS))
    lived = stage.member(batch_records_max=7).finish().worker.tasks
    for partition, task in lived.items():
        restored = stage.task(partition)
        restored.restore(
            [(record.raw_key or b"", record.raw_value) for record in stage.broker.topics[NAMES.state][partition]]
        )
        restored.restored()
        assert restored.states == task.states
        assert restored.open_sessions == task.open_sessions
        assert all(decode_state(state) for state in restored.states.values())
    stage.audit()


def test_a_restored_user_is_looked_at_when_due() -> None:
    """After a restore the clock ends an idle session as it would have before; one whose end was told is not open."""
    stage = Stage()
    stage.say("maria")
    lived = stage.member().finish().worker.tasks[HERE]
    restored = stage.task(HERE)
    restored.restore(list(lived.states.items()))
    restored.restored()
    assert restored.open_sessions == 1
    assert restored.punctuate(BASE_MS) == []
    late_ms = BASE_MS + 2 * GAP_MS + RULES.quiet_ms + 2_000
    ((topic, *_),) = outputs = restored.punctuate(late_ms)
    assert topic == NAMES.sessions
    assert outputs == lived.punctuate(late_ms)
    restored.state_records()
    restored.committed()
    ended = stage.task(HERE)
    ended.restore(list(restored.states.items()))
    ended.restored()
    assert ended.open_sessions == restored.open_sessions == 0


def test_an_undone_batch_leaves_no_trace() -> None:
    """`aborted` brings back states, counts and deadlines; the batch can be processed again with the same outcome."""
    stage = Stage()
    stage.say("maria")
    before = stage.member().finish().worker.tasks[HERE]
    states, open_sessions = dict(before.states), before.open_sessions
    stage.say("maria", 2 * GAP_MS)
    stage.say("marc", 0)
    for partition, records in enumerate(stage.broker.topics[NAMES.raw]):
        if partition == HERE:
            new = records[1:]
            first = [*before.process(new), *before.state_records()]
            before.aborted()
            assert (before.states, before.open_sessions) == (states, open_sessions)
            assert [*before.process(new), *before.state_records()] == first
            assert before.committed().tagged == len(new)


def test_an_end_that_was_undone_is_announced_again() -> None:
    """The clock's end of a session, rolled back with its transaction, comes at the next look."""
    stage = Stage()
    stage.say("maria")
    task = stage.member().finish().worker.tasks[HERE]
    now_ms = BASE_MS + GAP_MS + RULES.quiet_ms + 2_000
    first = task.punctuate(now_ms)
    task.state_records()
    task.aborted()
    assert first
    assert task.punctuate(now_ms) == first


def _set_back(stage: Stage) -> None:
    """Set the group's offsets back to the beginning, as kafka-consumer-groups --reset-offsets does."""
    stage.broker.committed.clear()


def _sizes(stage: Stage) -> dict[str, list[int]]:
    return {name: list(map(len, stage.broker.topics[name])) for name in NAMES}


def test_input_that_comes_again_is_skipped_and_counted() -> None:
    """Offsets set back tag nothing twice: no message, no dead letter, no second copy of a misplaced record."""
    stage = Stage()
    for number in range(30):
        stage.say(f"user-{number % 7}", number)
    stage.send(HERE, b"{broken")
    stage.send(ELSEWHERE, message("maria", BASE_MS), None)
    for number in range(7):
        stage.say(f"user-{number}", 100)
    stage.say("maria", 100)
    first = stage.member()
    first.finish().log.close()
    sizes, read = _sizes(stage), first.told.records
    _set_back(stage)
    second = stage.member().finish()
    assert second.told.records == read
    assert sum(tally.repeated for tally in second.told.tallies) == read
    assert (
        max(tally.repeated_offset for tally in second.told.tallies) == max(map(len, stage.broker.topics[NAMES.raw])) - 1
    )
    assert _sizes(stage) == sizes
    stage.say("maria", 200)
    second.finish()
    assert sum(tally.tagged for tally in second.told.tallies) == 1
    stage.audit()


def test_a_raw_topic_that_was_made_anew_is_not_taken_for_input_that_comes_again() -> None:
    """Its offsets begin at 0 again, but its records were appended after all that the states hold: none is skipped."""
    stage = Stage()
    for number in range(5):
        stage.say("maria", number)
    stage.member().finish().log.close()
    for log in stage.broker.topics[NAMES.raw]:
        log.clear()
    _set_back(stage)
    stage.clock.time_ms += 1
    stage.say("maria", 10)
    member = stage.member().finish()
    (tally,) = member.told.tallies
    assert (tally.tagged, tally.repeated) == (1, 0)
    assert [view.session_seq for view in stage.views(NAMES.tagged)] == [1, 2, 3, 4, 5, 6]


def test_what_nobody_remembers_is_not_recognised() -> None:
    """The limit: once the users are forgotten, no state tells that their records were read."""
    stage = Stage()
    stage.say("maria")
    member = stage.member().finish()
    for later_ms in (GAP_MS, RULES.late_horizon_ms):
        stage.clock.time_ms += later_ms + RULES.quiet_ms + 2_000
        member.finish()
    assert not member.worker.tasks[HERE].users
    member.log.close()
    _set_back(stage)
    stage.member().finish()
    assert len(stage.broker.topics[NAMES.tagged][HERE]) == 2
