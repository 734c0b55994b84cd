"""Other limits over stored sessions: with the rules unchanged nothing changes, whatever happened."""

import json
import tempfile
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from processor.codec.isotime import format_time
from processor.core.model import DAY_MS, HOUR_MS
from processor.in_memory import MemoryDeployment
from processor.sessions.ports import EVERYTHING
from processor.sessions.what_if import OtherLimits, WhatIf, histories, what_if
from processor.settings.model import Settings

MINUTE_MS = 60_000
USER = "elias01"

steps = st.lists(
    st.one_of(
        st.tuples(st.just("say"), st.sampled_from([0, 0, 0, -30 * MINUTE_MS, -2 * HOUR_MS, -HOUR_MS])),
        st.tuples(
            st.sampled_from(["start", "renew", "end", "pause", "resume", "note", "touch"]),
            st.sampled_from([0, 0, -30 * MINUTE_MS]),
        ),
        st.tuples(
            st.just("wait"), st.sampled_from([0, 1, 10 * MINUTE_MS, HOUR_MS, HOUR_MS + 1, 3 * HOUR_MS, 25 * HOUR_MS])
        ),
    ),
    max_size=25,
)


class Person:
    """One user of a deployment."""

    def __init__(self, deployment: MemoryDeployment) -> None:
        self.deployment = deployment
        self.count = 0

    def do(self, word: str, ms: int) -> None:
        """Say something or ask for something `ms` from now, or let time pass."""
        self.count += 1
        record_id, at_ms = str(UUID(int=self.count)), self.deployment.clock.now_ms() + ms
        if word == "wait":
            self.deployment.advance(ms)
        elif word == "say":
            message = {
                "schema_version": "1.0.1", "record_id": record_id, "user_id": USER, "source": "ui",
                "timestamp": format_time(at_ms),
            }  # fmt: skip
            self.deployment.sender.message(json.dumps(message).encode())
        else:
            told: dict[str, dict[str, Any]] = {"note": {"note": "n"}, "renew": {"force_new": True}}
            arguments = told.get(word, {})
            name: Any = "start" if word == "renew" else word
            command = self.deployment.sender.command(
                USER, name, record_id=record_id, timestamp_ms=at_ms, performer_id="system", **arguments
            )
            self.deployment.sender.send(command, lambda _: None)

    def asks(self, limits: OtherLimits, since_ms: int = 0) -> WhatIf:
        """Export, and ask."""
        self.deployment.export()
        found = histories(self.deployment.store.reader, EVERYTHING, lambda _: None)
        return what_if(found, self.deployment.settings.rules(), limits, since_ms=since_ms)


@pytest.fixture
def person(tmp_path: Path) -> Any:
    with MemoryDeployment(tmp_path) as deployment:
        yield Person(deployment)


@given(steps)
@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_the_same_rules_change_nothing(steps: list[tuple[str, int]]) -> None:
    """Whatever the processor has made of a history, its own rules make the same of what is stored."""
    with (
        tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as folder,
        MemoryDeployment(Path(folder)) as deployment,
    ):
        person = Person(deployment)
        for word, ms in steps:
            person.do(word, ms)
        told = person.asks(OtherLimits())
        assert (told.split, told.joined, told.not_repeated) == (0, 0, 0)
        assert told.sessions == told.would_be


def test_a_shorter_gap_splits(person: Person) -> None:
    """A silence longer than the other gap would end the session there."""
    for _ in range(3):
        person.do("say", 0)
        person.do("wait", 20 * MINUTE_MS)
    told = person.asks(OtherLimits(gap_ms=15 * MINUTE_MS))
    assert (told.sessions, told.would_be, told.split, told.joined) == (1, 3, 1, 0)
    assert told.splits[0].messages == (1, 1, 1)
    assert told.commands_from == "outcome events"


def test_a_longer_gap_joins(person: Person) -> None:
    """Two sessions with a silence shorter than the other gap between them would be one; a command still ends it."""
    for pause_ms in (2 * HOUR_MS, 2 * HOUR_MS):
        person.do("say", 0)
        person.do("wait", pause_ms)
    person.do("say", 0)
    person.do("end", 0)
    person.do("say", 1)
    told = person.asks(OtherLimits(gap_ms=3 * HOUR_MS))
    assert (told.sessions, told.would_be, told.split, told.joined) == (4, 2, 0, 1)
    assert (len(told.joins[0].session_ids), told.joins[0].messages) == (3, 3)


def test_since(person: Person) -> None:
    """Only sessions that started then or later count; what came before is known all the same."""
    person.do("say", 0)
    person.do("wait", 2 * HOUR_MS)
    since_ms = person.deployment.clock.now_ms()
    person.do("say", 0)
    told = person.asks(OtherLimits(gap_ms=DAY_MS), since_ms)
    assert (told.sessions, told.would_be, told.joined) == (1, 1, 0)


def test_other_rules_were_in_force(tmp_path: Path) -> None:
    """What the present rules do not explain is counted, so that nobody takes the answer for exact."""
    before = Settings(store_url=f"sqlite:///{tmp_path / 'a3cp.db'}", gap_ms=10 * MINUTE_MS)
    with MemoryDeployment(tmp_path, settings=before) as deployment:
        person = Person(deployment)
        for _ in range(2):
            person.do("say", 0)
            person.do("wait", 20 * MINUTE_MS)
        deployment.export()
        found = histories(deployment.store.reader, EVERYTHING, lambda _: None)
        told = what_if(found, Settings().rules(), OtherLimits())
        assert (told.sessions, told.not_repeated) == (2, 1)
