"""The deployment in memory keeps the promises of a real one, so that tests over it mean something."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from processor.codec.isotime import format_time
from processor.errors import BrokerUnavailable
from processor.in_memory import MemoryDeployment, Replica
from processor.sessions.ports import SessionFilter, Snapshot
from processor.view.standing import Standing

GAP_MS = 3_600_000


@pytest.fixture
def deployment(tmp_path: Path) -> Iterator[MemoryDeployment]:
    with MemoryDeployment(tmp_path) as deployment:
        yield deployment


def start(replica: MemoryDeployment | Replica, user_id: str) -> str:
    """Start a session, and return its id as the replica's view tells it."""
    command = replica.sender.command(user_id, "start", performer_id="system")
    outcome = replica.view.memory.expect(command.record_id, user_id)
    replica.sender.send(command, lambda _: None)
    event = outcome.result(0)
    assert event.session_id is not None
    return event.session_id


def say(deployment: MemoryDeployment, user_id: str, **fields: Any) -> None:
    spine = {"schema_version": "1.0.1", "record_id": "07e4c9ff-9b8e-4d3e-bc7c-000000000001", "user_id": user_id}
    message = {**spine, "timestamp": format_time(deployment.clock.now_ms()), "source": "ui", **fields}
    deployment.sender.message(json.dumps(message).encode(), user_id=user_id)


def test_the_view_reflects_an_outcome_once_it_is_told(deployment: MemoryDeployment) -> None:
    """A read after the answer sees what the answer said."""
    session_id = start(deployment, "ann")
    assert deployment.view.memory.standing("ann", session_id) is Standing.ACTIVE
    assert deployment.view.memory.open_session("ann") == session_id


def test_two_replicas_see_the_same(deployment: MemoryDeployment) -> None:
    """Each follows the log by itself; one that is behind knows less, until it has caught up."""
    other = deployment.replica()
    other.is_behind = True
    session_id = start(deployment, "ann")
    assert other.view.memory.standing("ann", session_id) is None
    other.is_behind = False
    deployment.run()
    assert other.view.memory.standing("ann", session_id) is Standing.ACTIVE
    assert deployment.view.memory.standing("ben", start(other, "ben")) is Standing.ACTIVE


def test_a_restarted_replica_reads_again_what_it_knew(deployment: MemoryDeployment) -> None:
    """It knows sessions, their fields and the outcomes of commands, whether exported or not."""
    session_id = start(deployment, "ann")
    say(deployment, "ann")
    deployment.export()
    later = start(deployment, "ben")
    view = deployment.restarted().view
    assert view is deployment.view
    assert view.progress.is_ready()
    assert view.memory.standing("ann", session_id) is view.memory.standing("ben", later) is Standing.ACTIVE
    held = view.session(session_id)
    assert held is not None
    assert (held.row.held_count, held.is_whole) == (1, True)


def test_what_is_sent_without_a_processor_waits_in_the_log(deployment: MemoryDeployment) -> None:
    """The next processor restores what the killed one left, and carries it out."""
    first = start(deployment, "ann")
    deployment.processor_is_away = True
    command = deployment.sender.command("ann", "end", performer_id="system")
    outcome = deployment.view.memory.expect(command.record_id, "ann")
    deployment.sender.send(command, lambda _: None)
    assert not outcome.done()
    deployment.processor_is_away = False
    assert outcome.result(0).session_id == first
    assert deployment.view.memory.standing("ann", first) is Standing.CLOSED


def test_nothing_goes_on_while_the_broker_is_away(deployment: MemoryDeployment) -> None:
    """Neither sending nor asking; what was known is known still."""
    session_id = start(deployment, "ann")
    deployment.broker_is_away = True
    with pytest.raises(BrokerUnavailable):
        start(deployment, "ben")
    with pytest.raises(BrokerUnavailable):
        deployment.ends()
    assert deployment.view.memory.standing("ann", session_id) is Standing.ACTIVE
    deployment.broker_is_away = False
    start(deployment, "ben")


def test_silence_ends_a_session(deployment: MemoryDeployment) -> None:
    """Time passes when the test says so."""
    say(deployment, "ann")
    session_id = deployment.view.memory.open_session("ann")
    assert session_id is not None
    deployment.advance(GAP_MS + deployment.settings.quiet_ms + 1)
    assert deployment.view.memory.standing("ann", session_id) is Standing.CLOSED


def test_a_session_that_is_stored_while_it_is_read(deployment: MemoryDeployment, monkeypatch: Any) -> None:
    """The store was asked just before it had the session, and the tail just after it had let it go."""
    session_id, held = start(deployment, "ann"), deployment.store.reader.held
    asked: list[Sequence[str]] = []

    def held_before(session_ids: Sequence[str]) -> Snapshot:
        snapshot = held(session_ids)
        if not asked:
            asked.append(session_ids)
            deployment.export()
        return snapshot

    monkeypatch.setattr(deployment.store.reader, "held", held_before)
    assert deployment.view.session(session_id) is not None


def test_export_stores_all_there_is_once(deployment: MemoryDeployment) -> None:
    """The store holds messages and events, and a second export adds what is new."""
    say(deployment, "ann", transcript="hello")
    deployment.export()
    say(deployment, "ann", transcript="again")
    deployment.export()
    deployment.export()
    (session,) = deployment.store.reader.sessions(SessionFilter(), limit=9)
    assert session.held_count == 2
    held = deployment.view.session(session.session_id)
    assert held is not None
    assert held.row.held_count == 2
