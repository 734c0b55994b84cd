"""The audit: silent about what the processor wrote, and loud about each kind of damage, at its place."""

import json
from collections.abc import Callable
from hashlib import sha256
from typing import NamedTuple

import pytest

from processor.audit.alignment import align
from processor.audit.outcomes import audit
from processor.audit.report import AuditReport
from processor.audit.verifying import verify_topics
from processor.codec.state import decode_state, encode_state
from processor.runtime.erased import ErasureMark, mark_of
from processor.runtime.ports import TopicRecord
from processor.upstream.words.counting import counted
from tests.audit.topics import MemoryTopics
from tests.broker.fleet import BASE_MS
from tests.runtime.stage import CODEC, NAMES, RULES, Stage, fill

RAW, TAGGED, SESSIONS, STATE, DLQ = NAMES
COUNT = 400


def made(*, clocked: bool = False, seed: int = 3, count: int = COUNT) -> tuple[MemoryTopics, Stage]:
    """Return the topics after a lively day; `clocked` when the clock has ended all, and forgotten the users."""
    stage = Stage()
    fill(stage, count, seed)
    member = stage.member(batch_records_max=10).finish()
    for _ in range(90 if clocked else 0):
        stage.clock.time_ms += 60_000
        member.worker.step()
    return MemoryTopics(stage.broker, NAMES), stage


def found(topics: MemoryTopics, now_ms: int = 0, *, rules: bool = True) -> AuditReport:
    return audit(topics, CODEC, NAMES, RULES if rules else None, now_ms=now_ms)


def verified(topics: MemoryTopics) -> list[str]:
    return [f"{problem}" for report in verify_topics(topics, CODEC, NAMES) for problem in report.problems]


def busiest(topics: MemoryTopics) -> int:
    """Return the partition with the most tagged records."""
    return max(range(topics.partitions), key=lambda partition: len(topics.logs[TAGGED][partition]))


@pytest.mark.parametrize("clocked", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_what_the_processor_wrote_is_sound(seed: int, clocked: bool) -> None:
    """With dead letters, rerouted records, commands and late messages: each record has one outcome."""
    topics, stage = made(seed=seed, clocked=clocked)
    report = found(topics, stage.clock.now_ms())
    assert report.problems == []
    assert report.waiting == 0
    assert report.tagged + report.dead + report.answered + report.rerouted == report.raw
    assert min(report.dead, report.answered, report.rerouted, report.sessions, report.ends) > 0
    assert report.states_compared == (0 if clocked else report.states)
    assert verified(topics) == []


@pytest.mark.parametrize("seed", range(6))
def test_what_the_clock_did_between_is_sound(seed: int) -> None:
    """Ends that the clock told, took back and told again, between records: not a word of it is wrong."""
    stage = Stage()
    fill(stage, 150, seed)
    member = stage.member(batch_records_max=10).finish()
    for turn in range(3):
        for _ in range(20 * (turn + 1)):
            stage.clock.time_ms += 60_000
            member.worker.step()
        fill(stage, 80, 1_000 + 10 * seed + turn)
        member.finish()
    assert {"reopened", "started", "ended"} <= set(stage.kinds())
    assert found(MemoryTopics(stage.broker, NAMES), stage.clock.now_ms()).problems == []


def erase(stage: Stage, key: bytes, partition: int) -> None:
    """Take a state away as `a3cp erase` does: no worker runs, and each later one restores what this leaves."""
    for each in (key, mark_of(ErasureMark(key, stage.broker.committed[partition]))):
        stage.broker.append((STATE, None, each, partition, None))


def compacted(stage: Stage) -> MemoryTopics:
    """Return the topics after compaction of the state topic: a later state displaces the tombstone of its user."""
    topics = MemoryTopics(stage.broker, NAMES)
    for log in topics.logs[STATE]:
        log[:] = sorted({each.key: each for each in log}.values(), key=lambda each: each.offset)
    return topics


def proven(stage: Stage) -> AuditReport:
    """Return what an audit finds after compaction; `verify` agrees that all is sound."""
    topics = compacted(stage)
    assert verified(topics) == []
    report = found(topics, stage.clock.now_ms())
    assert report.problems == []
    return report


def work(stage: Stage, *, minutes: int = 0) -> None:
    """Let a worker restore, read all and stop, after so many minutes in which nothing comes."""
    member = stage.member(batch_records_max=10).finish()
    for _ in range(minutes):
        stage.clock.time_ms += 60_000
        member.worker.step()
    member.log.close()


def come_back(stage: Stage, user: str) -> None:
    """Let a user say something, and a worker that starts then tag it."""
    stage.clock.time_ms += 1
    stage.say(user, stage.clock.time_ms - BASE_MS)
    work(stage)


def someone() -> tuple[Stage, str, bytes, int]:
    """Return the topics after a lively day, and a user with an open session: id, key and partition."""
    stage = Stage()
    fill(stage, COUNT, 3)
    work(stage)
    topics = MemoryTopics(stage.broker, NAMES)
    partition = busiest(topics)
    states = {each.key: each.value for each in topics.logs[STATE][partition]}
    for key, value in states.items():
        state = None if key is None or value is None else decode_state(value)
        if key is not None and state is not None and state.current is not None and state.current.end_ms is None:
            return stage, key.decode(), key, partition
    raise AssertionError("nobody has an open session")


@pytest.mark.parametrize("is_open", [False, True])
@pytest.mark.parametrize("times", [1, 2])
def test_an_erased_person_is_no_loss(times: int, *, is_open: bool) -> None:
    """Their words stay in raw, their state is gone; and they may come back, also to be erased again."""
    stage, user, key, partition = someone()
    come_back(stage, user)
    work(stage, minutes=0 if is_open else 5)  # In which all sessions end; nobody is forgotten yet.
    for number in range(times):
        erase(stage, key, partition)
        report = proven(stage)
        assert [note for note in report.notes if f"of a person {counted(number + 1, 'time')}" in note]
        come_back(stage, user)
        come_back(stage, user)
        proven(stage)


def test_what_an_erased_person_sends_again_is_no_fault() -> None:
    """The session that was open then is opened a second time: its id is made of the message that opens it."""
    stage, user, key, partition = someone()
    erase(stage, key, partition)
    value = stage.say(user, stage.clock.time_ms - BASE_MS)
    work(stage)
    for _ in range(2):
        erase(stage, key, partition)
        stage.clock.time_ms += 1
        stage.send(partition, value, key)
        work(stage)
    assert proven(stage).opened_twice == 2


def test_an_erasure_excuses_nothing_that_came_later() -> None:
    """A state that is lost, and an event that is told again, after the person has come back."""
    stage, user, key, partition = someone()
    erase(stage, key, partition)
    come_back(stage, user)
    topics = compacted(stage)
    topics.logs[STATE][partition] = [each for each in topics.logs[STATE][partition] if each.key != key]
    told = [what for _, what in found(topics, stage.clock.now_ms()).problems]
    assert any("which is open: it is lost" in what for what in told)
    assert any("is not to be forgotten yet" in what for what in told)
    topics = compacted(stage)
    log = topics.logs[SESSIONS][partition]
    log.append(log[-1]._replace(offset=log[-1].offset + 1, timestamp_ms=stage.clock.now_ms() + 1))
    assert found(topics, stage.clock.now_ms()).problems


@pytest.mark.parametrize("text", [b"1", b"", b"a3cp.raw[0]@0", b"a3cp.raw[99]@1", b"b.raw[0]@77777"])
def test_a_foreign_header_is_nothing_wrong(text: bytes) -> None:
    """A client, or another cluster, may send any header: where nothing is misplaced, it says nothing."""
    topics, stage = made()
    for log in (log for topic in (RAW, TAGGED, DLQ) for log in topics.logs[topic]):
        log[:] = [each._replace(headers=(("a3cp-rerouted", text), *each.headers)) for each in log]
    assert found(topics, stage.clock.now_ms()).problems == []


Damage = Callable[[MemoryTopics, int], None]


def _drop(topic: str, at: int) -> Damage:
    return lambda topics, partition: topics.logs[topic][partition].__delitem__(at)


def _double(topics: MemoryTopics, partition: int) -> None:
    log = topics.logs[TAGGED][partition]
    log.append(log[40]._replace(offset=log[-1].offset + 1))


def _double_in_place(topics: MemoryTopics, partition: int) -> None:
    log = topics.logs[TAGGED][partition]
    log[41:] = [
        log[40]._replace(offset=log[40].offset + 1),
        *(each._replace(offset=each.offset + 1) for each in log[41:]),
    ]


def _swap(topics: MemoryTopics, partition: int) -> None:
    log = topics.logs[TAGGED][partition]
    first, second = log[40], log[41]
    log[40], log[41] = second._replace(offset=first.offset), first._replace(offset=second.offset)


def _replace(topic: str, at: int, old: bytes, new: bytes) -> Damage:
    def damage(topics: MemoryTopics, partition: int) -> None:
        log = topics.logs[topic][partition]
        assert old in (log[at].value or b"")
        log[at] = log[at]._replace(value=(log[at].value or b"").replace(old, new, 1))

    return damage


def _other_headers(topic: str, at: int) -> Damage:
    def damage(topics: MemoryTopics, partition: int) -> None:
        log = topics.logs[topic][partition]
        log[at] = log[at]._replace(headers=(("traceparent", b"00"), *log[at].headers))

    return damage


def _change_event(kind: str, old: bytes, new: bytes) -> Damage:
    def damage(topics: MemoryTopics, partition: int) -> None:
        log = topics.logs[SESSIONS][partition]
        at = next(number for number, each in enumerate(log) if b'"kind":"%s"' % kind.encode() in (each.value or b""))
        _replace(SESSIONS, at, old, new)(topics, partition)

    return damage


def _tell(kind: str, **fields: object) -> Damage:
    """Change what the first event of a kind says, in whichever partition it is."""

    def damage(topics: MemoryTopics, _: int) -> None:
        log, at, told = next(
            (log, at, told)
            for log in topics.logs[SESSIONS]
            for at, each in enumerate(log)
            if (told := json.loads(each.value or b""))["kind"] == kind
        )
        assert {**told, **fields} != told
        log[at] = log[at]._replace(value=json.dumps({**told, **fields}).encode())

    return damage


def _start_again(topics: MemoryTopics, partition: int) -> None:
    log = topics.logs[SESSIONS][partition]
    log.append(log[0]._replace(offset=log[-1].offset + 1))


def _drop_answer(topics: MemoryTopics, _: int) -> None:
    log, at = next(
        (log, at)
        for log in topics.logs[SESSIONS]
        for at, each in enumerate(log)
        if b'"command_record_id"' in (each.value or b"")
    )
    del log[at]


def _illegal_state(topics: MemoryTopics, partition: int) -> None:
    log = topics.logs[STATE][partition]
    log[-1] = log[-1]._replace(value=(log[-1].value or b"")[:-3])


def _count_in_state(topics: MemoryTopics, partition: int) -> None:
    log = topics.logs[STATE][partition]
    state = decode_state(log[-1].value or b"")
    assert state.current is not None
    current = state.current._replace(messages=state.current.messages + 1)
    log[-1] = log[-1]._replace(value=encode_state(state._replace(current=current)))


def _digest_in_state(topics: MemoryTopics, partition: int) -> None:
    log = topics.logs[STATE][partition]
    state = decode_state(log[-1].value or b"")
    assert state.current is not None
    current = state.current._replace(digest=sha256(b"x").digest())
    log[-1] = log[-1]._replace(value=encode_state(state._replace(current=current)))


def _pause_in_state(topics: MemoryTopics, partition: int) -> None:
    """What no event tells and only the fold of the raw records knows."""
    log = topics.logs[STATE][partition]
    state = decode_state(log[-1].value or b"")
    log[-1] = log[-1]._replace(value=encode_state(state._replace(recent=bytes(len(state.recent)))))


def _state_of_another(topics: MemoryTopics, partition: int) -> None:
    log = topics.logs[STATE][partition]
    log[-1] = log[-1]._replace(key=b"somebody-else")


def _no_state(topics: MemoryTopics, partition: int) -> None:
    key = topics.logs[STATE][partition][-1].key
    topics.logs[STATE][partition] = [each for each in topics.logs[STATE][partition] if each.key != key]


def _erased(topics: MemoryTopics, partition: int) -> None:
    """As an erasure leaves it: a tombstone, and the raw records."""
    log = topics.logs[STATE][partition]
    log.append(TopicRecord(STATE, partition, log[-1].offset + 1, 0, log[-1].key, None))


def _letter_without_source(topics: MemoryTopics, partition: int) -> None:
    log = topics.logs[DLQ][partition]
    headers = tuple((n, b"99999" if n == "a3cp-dlq-offset" else c) for n, c in log[-1].headers)
    log.append(log[-1]._replace(offset=log[-1].offset + 1, headers=headers))


def _letter_without_headers(topics: MemoryTopics, partition: int) -> None:
    log = topics.logs[DLQ][partition]
    log.append(TopicRecord(DLQ, partition, log[-1].offset + 1, 0, None, b"x"))


def _letter_twice(topics: MemoryTopics, partition: int) -> None:
    log = topics.logs[DLQ][partition]
    log.append(log[-1]._replace(offset=log[-1].offset + 1))


def _letter_of_a_good_one(topics: MemoryTopics, partition: int) -> None:
    """A record that is tagged is set aside as well."""
    raw = topics.logs[RAW][partition]
    dead = {dict(each.headers)["a3cp-dlq-offset"] for each in topics.logs[DLQ][partition]}
    tagged = {CODEC.strip(each.value or b"") for each in topics.logs[TAGGED][partition]}
    good = next(each for each in raw if str(each.offset).encode() not in dead and each.value in tagged)
    log = topics.logs[DLQ][partition]
    told = {
        "topic": RAW,
        "partition": partition,
        "offset": good.offset,
        "sha256": sha256(good.value or b"").hexdigest(),
    }
    headers = tuple((f"a3cp-dlq-{name}", str(content).encode()) for name, content in told.items())
    log.append(TopicRecord(DLQ, partition, log[-1].offset + 1, 0, good.key, good.value, headers))


def _letter_hash(topics: MemoryTopics, partition: int) -> None:
    log = topics.logs[DLQ][partition]
    headers = tuple((n, b"0" * 64 if n == "a3cp-dlq-sha256" else c) for n, c in log[0].headers)
    log[0] = log[0]._replace(headers=headers)


def _rerouted(topics: MemoryTopics) -> tuple[int, int]:
    for partition, log in enumerate(topics.logs[RAW]):
        for at, each in enumerate(log):
            if any(name == "a3cp-rerouted" for name, _ in each.headers):
                return partition, at
    raise AssertionError("none was rerouted")


def _copy_without_origin(topics: MemoryTopics, _: int) -> None:
    partition, at = _rerouted(topics)
    log = topics.logs[RAW][partition]
    log[at] = log[at]._replace(headers=(("a3cp-rerouted", b"a3cp.raw[0]@77777"),))


def _copy_elsewhere(topics: MemoryTopics, _: int) -> None:
    partition, at = _rerouted(topics)
    record = topics.logs[RAW][partition].pop(at)
    wrong = topics.logs[RAW][(partition + 1) % topics.partitions]
    wrong.append(record._replace(offset=wrong[-1].offset + 1))


def _copies_exchanged(topics: MemoryTopics, _: int) -> None:
    places = [
        (log, at)
        for log in topics.logs[RAW]
        for at, each in enumerate(log)
        if any(name == "a3cp-rerouted" for name, _ in each.headers)
    ]
    (first, one), (second, other) = places[:2]
    headers = first[one].headers
    first[one] = first[one]._replace(headers=second[other].headers)
    second[other] = second[other]._replace(headers=headers)


def _copy_twice(topics: MemoryTopics, _: int) -> None:
    partition, at = _rerouted(topics)
    log = topics.logs[RAW][partition]
    log.append(log[at]._replace(offset=log[-1].offset + 1))


def _tagged_where_it_is(topics: MemoryTopics, partition: int) -> None:
    """A record at the end, of a user whose partition is another."""
    raw, tagged = topics.logs[RAW][partition], topics.logs[TAGGED][partition]
    elsewhere = topics.logs[TAGGED][(partition + 1) % topics.partitions][0]
    raw.append(raw[-1]._replace(offset=raw[-1].offset + 1, value=CODEC.strip(elsewhere.value or b"")))
    tagged.append(elsewhere._replace(offset=tagged[-1].offset + 1))
    topics.done[partition] = raw[-1].offset + 1


def _letter_bytes(topics: MemoryTopics, partition: int) -> None:
    log = topics.logs[DLQ][partition]
    log[0] = log[0]._replace(value=(log[0].value or b"") + b" ")


SPEECH, SPEECJ = b'"modality": "speech"', b'"modality": "speecj"'
FLAGS = b'"session_flags":['
NOT_BY_RULES = "it is not what the rules make of the user's raw records"
# What is done, in the partition with the most messages, and what the audit says, the place before the colon.
DAMAGES: dict[str, tuple[Damage, str]] = {
    "a tagged record missing": (_drop(TAGGED, 40), "a3cp.raw[P]@43: it is neither tagged nor set aside"),
    "the last tagged record missing": (_drop(TAGGED, -1), "it is neither tagged nor set aside"),
    "a tagged record doubled": (_double, "it is message"),
    "a tagged record doubled at once": (_double_in_place, "a second time"),
    "two tagged records swapped": (_swap, "a3cp.tagged[P]@40"),
    "one bit of content": (_replace(TAGGED, 40, SPEECH, SPEECJ), "without the tag are not those of"),
    "no tagged message any more": (_replace(TAGGED, 40, b"{", b"["), "a3cp.tagged[P]@40: it is no tagged message"),
    "a hole in seq": (_replace(TAGGED, 40, b'"session_seq":', b'"session_seq":9'), "missing before it"),
    "one bit of a flag's list": (_replace(TAGGED, 40, FLAGS, FLAGS + b'"late"'), "its tag is not the one"),
    "a wrong digest": (_change_event("ended", b'"digest":"', b'"digest":"f'), "its digest of"),
    "a wrong count": (_change_event("ended", b'"message_count":', b'"message_count":8'), "messages, "),
    "a wrong revision": (_change_event("ended", b'"revision":', b'"revision":7'), "its end has revision"),
    "another reason of an end": (_tell("ended", reason="command"), NOT_BY_RULES),
    "an end at another time": (_tell("ended", end_time="2025-06-15T15:06:41.000Z"), NOT_BY_RULES),
    "another length of an end": (_tell("ended", active_ms=77), NOT_BY_RULES),
    "another label of a start": (_tell("started", training_intent_label="eat"), NOT_BY_RULES),
    "a start by another": (_tell("started", performer_id="somebody"), NOT_BY_RULES),
    "a repeated start": (_start_again, "it starts a second time"),
    "a start missing": (_drop(SESSIONS, 0), "no start of it was told"),
    "an event of no known kind": (_change_event("started", b'"started"', b'"begun"'), "no session has a `begun`"),
    "an answer missing": (_drop_answer, "it is a command, and no event in"),
    "a state cut off": (_illegal_state, "it is no state: "),
    "a state that counts one more": (_count_in_state, "messages, "),
    "a state with another digest": (_digest_in_state, "its digest of"),
    "a state that the rules do not give": (_pause_in_state, "it is not what the rules make of"),
    "a state under another's key": (_state_of_another, "another user's session"),
    "a state taken away": (_erased, "is not to be forgotten yet: it is lost, or a3cp erase"),
    "no state of an open session": (_no_state, "which is open: it is lost, or a3cp erase"),
    "a dead letter without source": (_letter_without_source, "a3cp.raw[P]@99999, and there is no such record"),
    "a dead letter that says nothing": (_letter_without_headers, "it does not say which record"),
    "a dead letter twice": (_letter_twice, "again, as a3cp.dlq[P]@"),
    "a dead letter of what is tagged too": (_letter_of_a_good_one, "it comes from no record that a3cp.raw[P] has"),
    "a dead letter missing": (_drop(DLQ, 0), "neither tagged nor set aside, and cannot be tagged"),
    "a dead letter's hash": (_letter_hash, "its SHA-256 is not that of a3cp.raw[P]@"),
    "a dead letter's bytes": (_letter_bytes, "its key, value or headers are not those of a3cp.raw[P]@"),
    "a dead letter's headers": (_other_headers(DLQ, 0), "its key, value or headers are not those of a3cp.raw[P]@"),
    "a tagged record's headers": (_other_headers(TAGGED, 40), "a3cp.tagged[P]@40: its headers are not those"),
    "copies exchanged": (_copies_exchanged, "nor sent to its user's partition"),
    "a copy in a wrong partition": (_copy_elsewhere, "nor sent to its user's partition"),
    "a misplaced record sent twice": (_copy_twice, "it is a copy of "),
    "a misplaced record tagged where it is": (_tagged_where_it_is, "it is tagged here, and its user's partition is"),
    "a misplaced record without copy": (_copy_without_origin, "nor sent to its user's partition"),
}  # fmt: skip


@pytest.mark.parametrize("name", DAMAGES)
def test_damage_is_found(name: str) -> None:
    """Each kind of damage is told, with the place where it is."""
    topics, stage = made()
    partition = busiest(topics)
    damage, told = DAMAGES[name]
    damage(topics, partition)
    problems = [f"{where}: {what}" for where, what in found(topics, stage.clock.now_ms()).problems]
    assert any(told.replace("[P]", f"[{partition}]") in problem for problem in problems), problems[:5]


IN_OUTPUTS = (
    "a tagged record missing", "a tagged record doubled", "one bit of content", "a hole in seq", "a wrong digest",
    "a wrong count", "a wrong revision", "a repeated start", "a start missing", "no tagged message any more",
)  # fmt: skip


@pytest.mark.parametrize("name", IN_OUTPUTS)
def test_damage_is_found_without_raw(name: str) -> None:
    """What shows in the two output topics alone is found there."""
    topics, _ = made(clocked=True)
    assert verified(topics) == []
    DAMAGES[name][0](topics, busiest(topics))
    assert verified(topics)


def test_one_fault_is_told_in_few_words() -> None:
    """A lost message is told once as lost and once by its session, not by all that comes after it."""
    topics, stage = made()
    _drop(TAGGED, 40)(topics, busiest(topics))
    assert found(topics, stage.clock.now_ms()).problem_count <= 3


def test_every_single_bit_of_a_tagged_record() -> None:
    """Whichever bit of a tagged record is flipped, the audit says so."""
    topics, stage = made(count=60)
    partition = busiest(topics)
    log = topics.logs[TAGGED][partition]
    record = log[5]
    value = record.value or b""
    for at in range(len(value)):
        log[5] = record._replace(value=value[:at] + bytes([value[at] ^ 1 << at % 8]) + value[at + 1 :])
        assert found(topics, stage.clock.now_ms()).problem_count, f"byte {at} of {value!r}"


class Item(NamedTuple):
    """A record to be aligned."""

    offset: int
    content: bytes
    may_stand_alone: bool = False


@pytest.mark.parametrize(
    ("expected", "actual", "told"),
    [
        ("abc", "abc", "a=a b=b c=c"),
        ("abc", "ac", "a=a b=- c=c"),
        ("abc", "abbc", "a=a b=b -=b c=c"),
        ("abc", "axc", "a=a b=x c=c"),
        ("abc", "xabc", "-=x a=a b=b c=c"),
        ("ab", "", "a=- b=-"),
        ("", "ab", "-=a -=b"),
        ("aXb", "ab", "a=a X=- b=b"),
        ("Xa", "x", "X=- a=x"),
        ("aXb", "axb", "a=a X=- -=x b=b"),
        ("aXb", "aXb", "a=a X=X b=b"),
    ],
)
def test_side_by_side(expected: str, actual: str, told: str) -> None:
    """What should have come out beside what did; capitals may have come to nothing here."""
    wanted = (Item(at, each.encode(), each.isupper()) for at, each in enumerate(expected))
    pairs = align(wanted, (Item(at, each.encode()) for at, each in enumerate(actual)))
    shown = [tuple(side.content.decode() if side else "-" for side in (pair.expected, pair.actual)) for pair in pairs]
    assert " ".join(f"{first}={second}" for first, second in shown) == told


def test_what_is_not_processed_yet_is_not_missing() -> None:
    """Records behind the group's offset are counted as waiting, also when a part of their outputs is there already."""
    topics, stage = made()
    partition = busiest(topics)
    raw, tagged = topics.logs[RAW][partition], topics.logs[TAGGED][partition]
    topics.done[partition] = raw[50].offset
    for cut_at in (len(tagged), 60, 40):
        for name in (TAGGED, SESSIONS, STATE):
            topics.certain[name, partition] = 0
        del tagged[cut_at:]
        report = found(topics, stage.clock.now_ms())
        missing = [each for each in report.problems if "neither tagged" in each.what]
        assert (missing != []) == (cut_at == 40 and tagged_before(topics, partition, 50) > 40), report.problems
    assert report.waiting > 0


def tagged_before(topics: MemoryTopics, partition: int, count: int) -> int:
    """Return how many of the first `count` raw records are messages that are not set aside."""
    dead = {dict(each.headers)["a3cp-dlq-offset"] for each in topics.logs[DLQ][partition]}
    return sum(str(each.offset).encode() not in dead for each in topics.logs[RAW][partition][:count])


@pytest.mark.parametrize(("raw_from", "tagged_from"), [(100, 0), (0, 60), (80, 30), (30, 80), (10_000, 0), (0, 10_000)])
def test_what_the_retention_cut_off_is_said_and_not_missing(raw_from: int, tagged_from: int) -> None:
    """Where the beginning of either topic is gone, the rest is compared; a lost record in it is found all the same."""
    topics, stage = made(clocked=True)
    partition = busiest(topics)
    for topic, start in ((RAW, raw_from), (TAGGED, tagged_from)):
        topics.starts[topic, partition] = min(start, len(topics.logs[topic][partition]))
    report = found(topics, stage.clock.now_ms())
    assert report.problems == []
    assert report.waiting == 0
    assert any(f"[{partition}] begins at" in note for note in report.notes)
    _drop(TAGGED, 110)(topics, partition)
    lost = [each for each in found(topics, stage.clock.now_ms()).problems if "neither tagged" in each.what]
    assert len(lost) == (max(raw_from, tagged_from) < 10_000)


def test_sessions_cut_off() -> None:
    """Where the boundary log's beginning is gone, sessions without a start are none to complain of."""
    topics, _ = made(clocked=True)
    for partition in range(topics.partitions):
        topics.starts[SESSIONS, partition] = len(topics.logs[SESSIONS][partition]) // 2
        topics.starts[TAGGED, partition] = len(topics.logs[TAGGED][partition]) // 2
    assert verified(topics) == []


def test_an_open_session_from_before_raw_begins() -> None:
    """Whether its state is lost or was erased, nothing tells any more; of a later one it is still told."""
    topics, stage = made()
    partition = busiest(topics)
    _no_state(topics, partition)
    raw = topics.logs[RAW][partition]
    topics.starts[RAW, partition] = raw[1].offset
    wrong = [each for each in found(topics, stage.clock.now_ms()).problems if "which is open" in each.what]
    assert len(wrong) == 1
    raw[1] = raw[1]._replace(timestamp_ms=stage.clock.now_ms() + 1)
    assert found(topics, stage.clock.now_ms()).problems == []


def test_a_group_without_offsets_is_said() -> None:
    """Outputs are there but the group is unknown: nothing is called missing, and a note says what that means."""
    topics, stage = made()
    topics.done.clear()
    report = found(topics, stage.clock.now_ms())
    assert report.problems == []
    assert any("the group has no offset there" in note for note in report.notes)


def test_rules_that_were_changed() -> None:
    """With other rules the tags differ from the fold's; told to leave those out, the audit finds nothing."""
    topics, stage = made()
    other = RULES.__class__(gap_ms=1_000)
    assert audit(topics, CODEC, NAMES, other, now_ms=stage.clock.now_ms()).problem_count
    assert found(topics, stage.clock.now_ms(), rules=False).problems == []


def test_input_that_was_removed_before_it_was_read_is_wrong() -> None:
    """What the processor noted, and what it has still to read; with what it had read, only a note is due."""
    topics, stage = made()
    partition = busiest(topics)
    assert topics.done[partition] > 5
    topics.starts[RAW, partition] = 5
    assert found(topics, stage.clock.now_ms()).problems == []
    topics.gone[partition] = (2, 4)
    (told,) = found(topics, stage.clock.now_ms()).problems
    assert told == (f"{RAW}[{partition}]@2", "the offsets up to 3 (2) were removed before the processor had read them")
    topics.gone.clear()
    topics.begun[partition] = 3
    report = found(topics, stage.clock.now_ms())
    assert (report.problems, report.never_read) == ([], 3)
    assert (
        f"{RAW}[{partition}] began at 3 when the processor first read it: what was before was never read"
        in report.notes
    )
    topics.starts[RAW, partition] = topics.done[partition] + 7
    told = found(topics, stage.clock.now_ms()).problems[0]
    assert told.where == f"{RAW}[{partition}]@{topics.done[partition]}"
    assert "(7) were removed before the processor has read them" in told.what
