"""The audit of events: silent about all that commands, pauses, limits and the clock make, loud about a changed word."""

import json
import random
from functools import cache

import pytest

from processor.audit.outcomes import audit
from processor.audit.report import AuditReport
from processor.audit.verifying import verify_topics
from processor.codec import Codec
from processor.codec.events import SOURCE, sealed_view, to_json
from processor.codec.wire import confluent_header
from processor.core.model import Policy, Rules
from processor.errors import UsageError
from tests.audit.topics import MemoryTopics
from tests.broker.fleet import BASE_MS
from tests.runtime.stage import CODEC, NAMES, RULES, Stage
from tests.strategies import make_codec

LIVELY = Rules(
    gap_ms=RULES.gap_ms,
    max_session_ms=90_000,
    pause_ms=RULES.pause_ms,
    late_horizon_ms=RULES.late_horizon_ms,
    quiet_ms=RULES.quiet_ms,
    templates={"short": Policy(gap_ms=20_000, pause_ms=30_000, max_session_ms=60_000)},
)
COMMANDS = ("start", "start", "end", "pause", "resume", "resume", "note", "context", "status")
TURNS = 250
SEEDS = 8


@cache
def lived(seed: int) -> Stage:
    """Return a stage where the clock acts between commands, late and passive messages and changes of limits."""
    chance = random.Random(seed)
    stage = Stage(LIVELY)
    member = stage.member()
    sent: list[tuple[str, bytes]] = []
    for _ in range(TURNS):
        user = f"user-{chance.randrange(4)}"
        late_ms = chance.choice([0, 0, 0, 0, 30_000, 100_000, 400_000])
        at_ms = stage.clock.time_ms - BASE_MS - late_ms
        match chance.randrange(12):
            case 0 | 1 | 2 | 3:
                sent.append((user, stage.say(user, at_ms)))
            case 4 | 5 | 6 | 7:
                named = [view.session_id for view in stage.views(NAMES.sessions)[-9:]]
                more = {"session_id": chance.choice(named)} if named and chance.random() < 0.3 else {}
                if chance.random() < 0.3:
                    more |= {"template": "short", "is_training_data": True, "training_intent_label": "drink"}
                force = {"force_new": True} if chance.random() < 0.4 else {}
                sent.append((user, stage.say(user, at_ms, command=chance.choice(COMMANDS), note="n", **more, **force)))
            case 8:
                stage.say(user, at_ms, source="model_trainer")
            case 9:
                stage.say(user, at_ms, source="user_profile_store", session_policy={"gap_ms": 25_000})
            case 10 if sent:
                again, value = chance.choice(sent[-9:])
                stage.broker.produce(NAMES.raw, again, value)
            case _:
                pass
        if chance.random() < 0.7:
            member.finish()
        for _ in range(chance.choice([0, 0, 0, 0, 1, 1, 2] if chance.random() < 0.95 else [8, 60])):
            stage.clock.time_ms += chance.choice([500, 5_000, 15_000])
            member.worker.step()
    member.finish()
    return stage


def audited(topics: MemoryTopics, stage: Stage) -> AuditReport:
    return audit(topics, CODEC, NAMES, LIVELY, now_ms=stage.clock.now_ms())


def spliced(told: dict[str, object]) -> bytes:
    """Return an event as the codec writes it."""
    return json.dumps(told, separators=(",", ":")).encode()


@pytest.mark.parametrize("seed", range(SEEDS))
def test_whatever_the_clock_does_between_is_sound(seed: int) -> None:
    """With templates, policies, pauses, repeats, refused commands and ends taken back: nothing is wrong."""
    stage = lived(seed)
    assert {"reopened", "paused", "rejected", "unchanged"} <= set(stage.kinds())
    assert audited(MemoryTopics(stage.broker, NAMES), stage).problems == []


def test_a_seal_among_them_is_no_fault() -> None:
    """It is told by an exporter: the rules know nothing of it, and no session is made of it."""
    stage = lived(0)
    topics = MemoryTopics(stage.broker, NAMES)
    before = [report.session_id for report in verify_topics(topics, CODEC, NAMES)]
    value = to_json(sealed_view("{}", stage.clock.now_ms()))
    for log in filter(None, topics.logs[NAMES.sessions]):
        log.append(log[-1]._replace(offset=log[-1].offset + 1, key=SOURCE.encode(), value=value))
    assert audited(topics, stage).problems == []
    reports = list(verify_topics(topics, CODEC, NAMES))
    assert [report.session_id for report in reports] == before
    assert all(report.is_sound for report in reports)


@pytest.mark.parametrize(
    ("kind", "reason", "field", "changed"),
    [
        ("rejected", "not_found", "reason", "already_closed"),
        ("rejected", None, "performer_id", "somebody"),
        ("rejected", None, "timestamp", "2025-06-15T15:06:41.000Z"),
        ("unchanged", None, "reason", "already_resumed"),
        ("unchanged", None, "start_time", "2025-06-15T15:06:41.000Z"),
        ("paused", None, "timestamp", "2025-06-15T15:06:41.000Z"),
        ("resumed", None, "paused_ms", 7),
        ("note", None, "details", {"note": "other"}),
        ("started", "command", "training_intent_label", "eat"),
        ("started", "message", "previous_session_id", "sess_0"),
        ("ended", "timeout", "reason", "pause_timeout"),
        ("ended", "timeout", "end_time", "2025-06-15T15:06:41.000Z"),
        ("ended", "command", "timestamp", "2025-06-15T15:06:41.000Z"),
        ("ended", "superseded", "timestamp", "2025-06-15T15:06:41.000Z"),
        ("ended", "max_duration", "timestamp", "2025-06-15T15:06:41.000Z"),
        ("ended", "late", "timestamp", "2025-06-15T15:06:41.000Z"),
    ],
)
def test_a_changed_word_is_found_at_its_place(kind: str, reason: str | None, field: str, changed: object) -> None:
    """One field of one event is not what it was: the audit names its position."""
    stage, topics, partition, at, told = next(
        (stage, topics, partition, at, told)
        for stage in map(lived, range(SEEDS))
        for topics in (MemoryTopics(stage.broker, NAMES),)
        for partition, log in enumerate(topics.logs[NAMES.sessions])
        for at, each in enumerate(log)
        if (told := json.loads(each.value or b""))["kind"] == kind and reason in (None, told.get("reason"))
    )
    assert told.get(field) != changed
    log = topics.logs[NAMES.sessions][partition]
    assert spliced(told) == log[at].value  # Nothing else changes.
    log[at] = log[at]._replace(value=spliced({**told, field: changed}))
    where = f"{NAMES.sessions}[{partition}]@{log[at].offset}"
    assert where in [each.where for each in audited(topics, stage).problems]


@pytest.mark.parametrize("topic", ["tagged", "sessions", "raw"])
@pytest.mark.parametrize(
    ("codec", "what"),
    [
        (CODEC, "no schema registry is configured.*set SCHEMA_REGISTRY_URL"),
        (make_codec(), "schema id 99, which the registry does not know.*or register the schema there again"),
    ],
)
def test_what_needs_a_registry_is_not_judged_without_it(topic: str, codec: Codec, what: str) -> None:
    """A proof ends with what to set; it calls nothing wrong that nobody here can read."""
    topics = MemoryTopics(lived(0).broker, NAMES)
    name: str = getattr(NAMES, topic)
    log = next(log for log in topics.logs[name] if log)
    log[0] = log[0]._replace(value=confluent_header(99) + b"x")
    with pytest.raises(UsageError, match=rf"\]@\d+: .* {what}"):
        audit(topics, codec, NAMES, LIVELY)
    if topic != "raw":
        with pytest.raises(UsageError, match=what):
            list(verify_topics(topics, codec, NAMES))
