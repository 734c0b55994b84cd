"""The demo's day, processed in memory: what it shows, and that its checks would notice if something were wrong."""

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from itertools import chain
from typing import Any

import pytest

from processor.audit.outcomes import audit
from processor.core.model import CommandName, EndReason, Flag, IdFormat, Rules, StartReason
from processor.demo.day import lifelike_day
from processor.demo.outcome import Check, DayOutcome, check, read_outcome
from processor.demo.script import Sent
from processor.errors import RecordError
from processor.kafka.deadletters.letter import read_letters
from processor.runtime.ports import TopicRecord
from processor.settings.documents import example_messages
from tests.broker.audit import HeldTopics, Partitions, Row, Topics, read_memory
from tests.sessions.views import CODEC, NOW_MS, PARTITIONS, SCHEMAS, TOPICS, run_day


def the_day() -> list[Sent]:
    return lifelike_day(NOW_MS, SCHEMAS, PARTITIONS, IdFormat.DATED)


def processed(sent: Iterable[Sent]) -> Topics:
    return read_memory(run_day(sent), TOPICS)


class Reading:
    """A topic in memory, read as `Reader` reads one."""

    def __init__(self, name: str, rows: Partitions) -> None:
        self._name, self._rows = name, rows

    def read_all(self) -> Iterator[TopicRecord]:
        for row in chain.from_iterable(self._rows):
            yield TopicRecord(self._name, row.partition, row.offset, row.append_ms, row.key, row.value, row.headers)


def outcome_of(topics: Topics) -> DayOutcome:
    tagged, events = Reading(TOPICS.tagged, topics.tagged), Reading(TOPICS.sessions, topics.sessions)
    letters: Any = Reading(TOPICS.dlq, topics.dlq)
    return read_outcome(CODEC, tagged.read_all(), events.read_all(), read_letters(letters))


def checks_of(topics: Topics) -> list[Check]:
    report = audit(HeldTopics(topics, TOPICS), CODEC, TOPICS, Rules(), now_ms=NOW_MS + 100_000)
    return check(DAY, outcome_of(topics), report, TOPICS)


DAY = the_day()
HELD = processed(DAY)
OUTCOME = outcome_of(HELD)


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
    assert sum(bool(row.headers) for rows in HELD.raw for row in rows) == sum(r.partition is not None for r in DAY) > 0
    is_open = OUTCOME.open_sessions()
    assert {event.user_id for event in OUTCOME.events if event.session_id in is_open} == {"robin-15"}


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
    assert [found for found in checks_of(HELD) if not found.kept] == []


def without(partitions: Partitions, wanted: Callable[[Row], bool]) -> Partitions:
    """Return `partitions` without the first record that is `wanted`."""
    lost = next(row for rows in partitions for row in rows if wanted(row))
    return [[row for row in rows if row is not lost] for rows in partitions]


def lose_a_message(topics: Topics) -> Topics:
    return replace(topics, tagged=without(topics.tagged, lambda row: b"no_session" not in (row.value or b"")))


def tag_one_twice(topics: Topics) -> Topics:
    rows = next(rows for rows in topics.tagged if rows)
    again = rows[-1]._replace(offset=rows[-1].offset + 1)
    return replace(topics, tagged=[[*each, again] if each is rows else each for each in topics.tagged])


def lose_an_answer(topics: Topics) -> Topics:
    return replace(topics, sessions=without(topics.sessions, lambda row: b"rejected" in (row.value or b"")))


def lose_a_state(topics: Topics) -> Topics:
    return replace(topics, state=[[] for _ in topics.state])


@pytest.mark.parametrize(
    ("damage", "noticed"),
    [(lose_a_message, {0, 2}), (tag_one_twice, {2}), (lose_an_answer, {0, 1, 4}), (lose_a_state, {4})],
)
def test_the_checks_notice(damage: Callable[[Topics], Topics], noticed: set[int]) -> None:
    """A lost or doubled message, a silent command, a lost state: a check fails for each, and says what is wrong."""
    found = checks_of(damage(HELD))
    assert {index for index, check in enumerate(found) if not check.kept} == noticed


def test_what_never_came_is_missed() -> None:
    """A message that was sent and is not in the log at all is noticed by the count: the topics agree without it."""
    is_one = DAY.index(next(record for record in DAY if record.command_id is None))
    found = checks_of(processed(DAY[:is_one] + DAY[is_one + 1 :]))
    assert not found[0].kept
    assert "a3cp audit" not in found[0].found


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
