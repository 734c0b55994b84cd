"""What polled records need of the registry is asked for outside the loop; what it has no answer for waits, told."""

from collections.abc import Callable
from typing import Any

import pytest

from processor.codec import Codec, Schemas
from processor.codec.wire import confluent_header
from processor.errors import RegistryUnavailable
from processor.runtime.asking import Asking
from processor.runtime.ports import Cause
from processor.runtime.questions import QUESTIONS_MAX
from processor.runtime.task import Task
from processor.runtime.worker import Worker
from processor.testing import Fault, MemoryLog
from tests.runtime.stage import NAMES, PARTITIONS, RULES, Stage, Told
from tests.strategies import SCHEMA_TEXTS, FakeRegistry, framed

REGISTRY = Cause.REGISTRY


class Failing(FakeRegistry):
    """Does not answer for some ids, and perhaps not for registering."""

    def __init__(self, *texts: str, fails: set[int] = frozenset()) -> None:  # type: ignore[assignment]
        super().__init__(*texts)
        self.fails = set(fails)
        self.takes_none = False

    def schema_text(self, schema_id: int) -> str | None:
        text = super().schema_text(schema_id)
        if schema_id in self.fails:
            raise RegistryUnavailable(f"schema registry does not answer for schema id {schema_id}", remedy="start it")
        return text

    def register(self, subject: str, text: str) -> int:
        if self.takes_none and "sessions" in subject:
            raise RegistryUnavailable(f"schema registry does not answer for a schema under {subject}")
        return super().register(subject, text)


class Asked:
    """A worker whose questions are answered when the test says so, or at once."""

    def __init__(self, stage: Stage, registry: FakeRegistry | None, *, at_once: bool = True, **options: Any) -> None:
        self.stage, self.clock, self.told = stage, stage.clock, Told()
        self.works: list[Callable[[], None]] = []
        schemas = Schemas(SCHEMA_TEXTS, source=registry, monotonic_s=stage.clock.monotonic_s)
        codec = Codec(schemas)
        self.log = MemoryLog(stage.broker, raw=NAMES.raw, state=NAMES.state, **options)
        start = (lambda work: work()) if at_once else self.works.append
        self.asking = Asking(schemas, self.log, self.told, stage.clock, raw=NAMES.raw, start=start, patience_s=0.0)

        def task_of(partition: int) -> Task:
            return Task(partition, PARTITIONS, codec=codec, rules=RULES, topics=NAMES, record_bytes_max=2 << 20)

        self.worker = Worker(
            self.log, task_of, stage.clock, self.told, batch_records_max=10_000, punctuate_ms=100,
            sleep=lambda _: None, asking=self.asking,
        )  # fmt: skip

    def steps(self, count: int = 3, *, ms: int = 0) -> "Asked":
        for _ in range(count):
            self.worker.step()
            self.clock.time_ms += ms
        return self


def partition_of(stage: Stage, user_id: str) -> int:
    before = [len(log) for log in stage.broker.topics[NAMES.raw]]
    stage.broker.produce(NAMES.raw, user_id, framed(user_id))
    return next(p for p, log in enumerate(stage.broker.topics[NAMES.raw]) if len(log) > before[p])


def users(stage: Stage, topic: str = NAMES.tagged) -> list[int]:
    return [len(log) for log in stage.broker.topics[topic]]


def test_a_schema_is_asked_for_once_and_outside_of_any_transaction() -> None:
    """Many records, one question each for the schema, its tagged form and the events."""
    stage, registry = Stage(), FakeRegistry(SCHEMA_TEXTS["A3CPMessage"])
    for number in range(50):
        stage.broker.produce(NAMES.raw, f"u{number}", framed(f"u{number}"))
    asked = Asked(stage, registry)
    ask, opened = registry.schema_text, []

    def watched(schema_id: int) -> str | None:
        opened.append(bool(asked.log._open))
        return ask(schema_id)

    registry.schema_text = watched  # type: ignore[method-assign]
    asked.steps(4)
    assert opened == [False]
    assert sum(users(stage)) == 50
    assert [subject for subject, _ in registry.subjects] == ["a3cp.tagged-value", "a3cp.sessions-value"]
    assert asked.told.waits == {}


def test_a_registry_that_fails_for_an_id_holds_one_partition_back() -> None:
    """Its earlier records are tagged; the record that waits is named; the others go on; the answer lets it go on."""
    stage, registry = Stage(), Failing(*[SCHEMA_TEXTS["A3CPMessage"]] * 2, fails={2})
    here = partition_of(stage, "anna")
    stage.send(here, framed("anna", 2), b"anna")
    stage.send(here, framed("anna"), b"anna")
    for number in range(40):
        stage.say(f"u{number}")
    behind = stage.broker.topics[NAMES.raw][here][3:]
    asked = Asked(stage, registry).steps()
    assert users(stage)[here] == 1
    assert sum(users(stage)) == 1 + 40 - len(behind)
    assert stage.broker.committed[here] == 1
    position, why, remedy = asked.told.waits[here, REGISTRY]
    assert (position, remedy) == (f"{NAMES.raw}[{here}]@1", "start it")
    assert why == "schema registry does not answer for schema id 2"
    assert set(asked.told.waits) == {(here, REGISTRY)}
    assert asked.told.failures == []
    questions = registry.asked
    asked.steps(ms=10)
    assert registry.asked == questions  # Not at each turn.
    registry.fails.clear()
    asked.steps(10, ms=500)
    assert sum(users(stage)) == 43
    assert asked.told.waits == {}


def test_questions_are_repeated_ever_more_rarely() -> None:
    """A registry that stays away is waited for, however long."""
    stage, registry = Stage(), Failing(SCHEMA_TEXTS["A3CPMessage"], fails={1})
    partition_of(stage, "anna")
    asked = Asked(stage, registry)
    asked.steps(3_600, ms=1_000)
    assert 100 < registry.asked < 140
    assert len(asked.told.waits) == 1


def test_an_answer_that_is_slow_holds_back_nothing_else() -> None:
    """Nothing is told before the registry has failed."""
    stage, registry = Stage(), FakeRegistry(SCHEMA_TEXTS["A3CPMessage"])
    here = partition_of(stage, "anna")
    stage.say("ben")
    asked = Asked(stage, registry, at_once=False).steps()
    assert sum(users(stage)) == (1 if partition_of(Stage(), "ben") != here else 0)
    assert asked.told.waits == {}
    for work in asked.works:
        work()
    asked.steps()
    assert sum(users(stage)) == 2


def test_thousands_of_unknown_ids_make_progress() -> None:
    """More than questions can wait: each is a dead letter and was asked for once; the good record after is tagged."""
    stage, registry = Stage(), FakeRegistry(SCHEMA_TEXTS["A3CPMessage"])
    here = partition_of(stage, "anna")
    for number in range(3 * QUESTIONS_MAX):
        stage.send(here, confluent_header(1_000 + number) + b"binary", b"anna")
    stage.send(here, framed("anna"), b"anna")
    Asked(stage, registry).steps(20)
    assert len(stage.dead()) == 3 * QUESTIONS_MAX
    assert all("which the registry does not know" in headers["a3cp-dlq-message"] for _, headers in stage.dead())
    assert users(stage)[here] == 2
    assert registry.asked == 3 * QUESTIONS_MAX + 1


def test_a_partition_that_is_given_up_is_forgotten() -> None:
    """Another worker asks anew; nothing is said of it here any more."""
    stage, registry = Stage(), Failing(SCHEMA_TEXTS["A3CPMessage"], fails={1})
    for number in range(30):
        stage.broker.produce(NAMES.raw, f"u{number}", framed(f"u{number}"))
    first = Asked(stage, registry).steps()
    assert len(first.told.waits) == PARTITIONS
    second = Asked(stage, registry)
    for _ in range(4):
        first.steps(1)
        second.steps(1)
    assert set(first.told.waits) | set(second.told.waits) == {(p, REGISTRY) for p in range(PARTITIONS)}
    assert not set(first.told.waits) & set(second.told.waits)
    registry.fails.clear()
    for _ in range(10):
        first.steps(1, ms=1_000)
        second.steps(1)
    assert sum(users(stage)) == 30


@pytest.mark.parametrize("fault", list(Fault))
def test_a_commit_that_fails_while_something_waits(fault: Fault) -> None:
    """All is tagged once, in order."""
    stage, registry = Stage(), Failing(*[SCHEMA_TEXTS["A3CPMessage"]] * 2, fails={2})
    here = partition_of(stage, "anna")
    stage.send(here, framed("anna", 2), b"anna")
    asked = Asked(stage, registry, faults={0: fault}).steps(8, ms=100)
    assert users(stage)[here] == 1
    assert set(asked.told.waits) == {(here, REGISTRY)}
    registry.fails.clear()
    asked.steps(20, ms=1_000)
    codec = Codec(Schemas(SCHEMA_TEXTS, source=registry))
    tagged = [codec.decode_tagged(value or b"") for value in stage.broker.values(NAMES.tagged)]
    assert [view.session_seq for view in tagged] == [1, 2]


def test_events_that_cannot_be_registered_hold_framed_messages_back() -> None:
    """A message that starts a session needs them; JSON goes on."""
    stage, registry = Stage(), Failing(SCHEMA_TEXTS["A3CPMessage"])
    registry.takes_none = True
    here = partition_of(stage, "anna")
    stage.say("ben")
    asked = Asked(stage, registry).steps()
    position, why, _ = asked.told.waits[here, REGISTRY]
    assert position == f"{NAMES.raw}[{here}]@0"
    assert "a schema under a3cp.sessions-value" in why
    registry.takes_none = False
    asked.steps(10, ms=500)
    assert sum(users(stage)) == 2


@pytest.mark.parametrize("known", [True, False], ids=["a registry that fails", "no registry any more"])
def test_the_clock_waits_for_the_registry_too(known: bool) -> None:
    """After a restart the events' schema is unknown again: the session's end is told once the registry answers."""
    stage, registry = Stage(), Failing(SCHEMA_TEXTS["A3CPMessage"])
    here = partition_of(stage, "anna")
    Asked(stage, registry).steps().log.close()
    registry.takes_none = True
    stage.clock.time_ms += RULES.gap_ms + RULES.quiet_ms + 2_000
    second = Asked(stage, registry if known else None).steps(5, ms=200)
    position, why, _ = second.told.waits[here, REGISTRY]
    assert position == ""
    assert ("does not answer" if known else "no schema registry is configured") in why
    assert second.told.failures == []
    if known:
        registry.takes_none = False
        second.steps(10, ms=500)
        assert len(stage.broker.values(NAMES.sessions)) == 2
        assert second.told.waits == {}


def test_what_nobody_foresaw_is_raised_by_the_loop() -> None:
    """A thread that breaks must not leave a partition waiting for ever."""
    stage, registry = Stage(), FakeRegistry(SCHEMA_TEXTS["A3CPMessage"])

    def broken(schema_id: int) -> str | None:
        raise ZeroDivisionError

    registry.schema_text = broken  # type: ignore[method-assign]
    partition_of(stage, "anna")
    asked = Asked(stage, registry)
    with pytest.raises(ZeroDivisionError):
        asked.steps()
