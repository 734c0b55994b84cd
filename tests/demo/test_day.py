"""The demo's day, processed in memory: what it shows, and that its checks would notice if something were wrong."""

import json
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest

from processor.codec import Codec, Schemas
from processor.codec.schema import SHIPPED
from processor.core.model import CommandName, EndReason, Flag, IdFormat, Rules, StartReason
from processor.demo.day import lifelike_day
from processor.demo.outcome import Outcome, check, read_outcome
from processor.demo.script import Sent
from processor.errors import RecordError
from processor.kafka.deadletters import read_letters
from processor.kafka.reader import ReadRecord
from processor.runtime.task import Task
from processor.runtime.worker import Worker
from processor.settings.documents import example_messages, schema_text
from processor.settings.model import TopicNames
from processor.testing import ManualClock, MemoryBroker, MemoryLog

NOW_MS = 1_763_740_800_000
PARTITIONS = 4
TOPICS = TopicNames(*(f"demo.{name}" for name in TopicNames._fields))
SCHEMAS = Schemas({name: schema_text(name) for name in SHIPPED})
CODEC = Codec(SCHEMAS)


class Nobody:
    """An observer who does not care."""

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *_: None


class Topic:
    """A topic in memory, read as `Reader` reads one."""

    def __init__(self, broker: MemoryBroker, name: str) -> None:
        self._logs = broker.topics[name]

    def read_all(self) -> Iterator[ReadRecord]:
        for log in self._logs:
            for r in log:
                yield ReadRecord(r.number, r.position, r.append_ms, r.raw_key, r.raw_value, r.raw_headers or ())


def the_day() -> list[Sent]:
    return lifelike_day(NOW_MS, SCHEMAS, PARTITIONS, IdFormat.DATED)


def processed(sent: Iterable[Sent]) -> Outcome:
    clock = ManualClock(NOW_MS)
    broker = MemoryBroker(clock, partitions=PARTITIONS)
    for record in sent:
        broker.produce(TOPICS.raw, (record.key or b"").decode(), record.value, partition=record.partition)
    observer: Any = Nobody()
    worker = Worker(
        MemoryLog(broker, raw=TOPICS.raw, state=TOPICS.state),
        lambda p: Task(p, PARTITIONS, codec=CODEC, rules=Rules(), topics=TOPICS, record_bytes_max=1 << 20),
        clock,
        observer,
        batch_records_max=50,
        punctuate_ms=1,
        sleep=lambda _: None,
    )
    for _ in range(100):
        worker.turn()
        clock.time_ms += 1_000
    letters: Any = Topic(broker, TOPICS.dlq)
    outcome = read_outcome(
        CODEC,
        Topic(broker, TOPICS.tagged).read_all(),
        Topic(broker, TOPICS.sessions).read_all(),
        read_letters(letters, TOPICS.dlq),
    )
    outcome.rerouted = sum(bool(r.headers) for r in Topic(broker, TOPICS.raw).read_all())
    return outcome


DAY = the_day()
OUTCOME = processed(DAY)


def test_the_day_shows_every_word() -> None:
    """Each reason, flag and command that users will meet occurs in the demo."""
    ended = {event.reason for event in OUTCOME.events if event.kind == "ended"}
    started = {event.reason for event in OUTCOME.events if event.kind == "started"}
    assert ended == {reason.value for reason in EndReason}
    assert started == {reason.value for reason in StartReason}
    assert {flag for message in OUTCOME.tagged for flag in message.flags} == set(Flag.WORDS)
    commands = {json.loads(r.value)["command"] for r in DAY if r.command_id is not None}
    assert commands == {name.value for name in CommandName}
    assert {letter.stage for letter in OUTCOME.dead} == {"decode", "validate"}
    assert {letter.withheld for letter in OUTCOME.dead} == {None, "raw media", "partial transcript"}
    assert OUTCOME.rerouted == sum(record.partition is not None for record in DAY) > 0
    assert [session.user_id for session in OUTCOME.sessions if session.end is None] == ["robin-15"]


def test_every_kind_of_module_has_its_say() -> None:
    """All that speak on A3CP's bus, and the two encodings that need no registry."""
    assert {record.module for record in DAY} == {
        "ui", "partner_ui", "camera_feed_worker", "audio_feed_worker", "landmark_extractor", "gesture_classifier",
        "sound_classifier", "speech_transcriber", "speech_context_classifier", "visual_environment_classifier",
        "input_broker", "confidence_evaluator", "clarification_planner", "llm_clarifier", "output_expander",
        "output_planner", "feedback_log", "memory_interface", "memory_integrator", "sound_playback",
        "landmark_visualizer", "model_trainer", "model_registry", "retraining_scheduler", "user_profile_store",
        "recorded_schemas",
    }  # fmt: skip
    assert {message.encoding for message in OUTCOME.tagged} == {1, 2}


def test_the_same_moment_gives_the_same_day() -> None:
    """A demo that tells another story at each run is hard to talk about."""
    assert the_day() == DAY


@pytest.mark.parametrize("hour", range(0, 24, 5))
def test_any_hour_will_do(hour: int) -> None:
    """The demo comes out whole at whatever time of the day it is run."""
    sent = lifelike_day(NOW_MS + hour * 3_600_000, SCHEMAS, PARTITIONS, IdFormat.SHORT)
    assert [record.sent_ms for record in sent] == sorted(record.sent_ms for record in sent)


def test_the_checks_pass() -> None:
    """What the processor makes of the day is whole."""
    assert [found for found in check(DAY, OUTCOME) if not found.kept] == []


def lose_one(outcome: Outcome) -> None:
    del outcome.tagged[7], outcome.hashes[7]


def tag_one_twice(outcome: Outcome) -> None:
    outcome.tagged.append(outcome.tagged[7])
    outcome.hashes.append(outcome.hashes[7])


def change_a_byte(outcome: Outcome) -> None:
    session = next(session for session in outcome.sessions if session.end is not None)
    session.hashes[0] = bytes(32)


def start_twice(outcome: Outcome) -> None:
    session = outcome.sessions[0]
    session.events.append(session.events[0])


def leave_a_command_without_answer(outcome: Outcome) -> None:
    index = next(i for i, event in enumerate(outcome.events) if event.command_record_id)
    del outcome.events[index]


@pytest.mark.parametrize(
    ("damage", "noticed"),
    [(lose_one, {0, 2}), (tag_one_twice, {0, 2}), (change_a_byte, {4}), (start_twice, {3}),
     (leave_a_command_without_answer, {1})],
)  # fmt: skip
def test_the_checks_notice(damage: Callable[[Outcome], None], noticed: set[int]) -> None:
    """A lost or doubled message, another byte, a second start, a silent command: a check fails for each."""
    outcome = processed(DAY)
    damage(outcome)
    assert {index for index, found in enumerate(check(DAY, outcome)) if not found.kept} == noticed


def test_the_examples_are_what_modules_send_today() -> None:
    """Most examples are odd in some way, as upstream's own are; those with a user and a time can be tagged."""
    outcomes = {"conforming": 0, "odd": 0, "refused": 0}
    for line in example_messages():
        try:
            message: Any = CODEC.decode(line, NOW_MS)
            outcomes["odd" if message.flags else "conforming"] += 1
        except RecordError:
            outcomes["refused"] += 1
    assert outcomes == {"conforming": 7, "odd": 13, "refused": 15}
