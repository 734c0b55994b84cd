"""Commands that wait for their outcome: each gets its own, once, or is told why there is none."""

from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest

from processor.client.commands import CommandRecord, command_record
from processor.client.outcomes import NoOutcome, Outcome, Outcomes
from processor.codec.events import EventView, from_json, to_json
from processor.errors import A3CPError, BrokerUnavailable, DecodeError, RegistryUnavailable
from processor.runtime.ports import TopicRecord

LONG_S = 60.0


def command(user_id: str, name: str = "start") -> CommandRecord:
    return command_record(user_id, name, performer_id=None, session_id=None, source="test", arguments={})


def answer(to: CommandRecord, kind: str, **fields: Any) -> TopicRecord:
    nothing = EventView(*[None] * len(EventView._fields))  # type: ignore[arg-type]
    event = nothing._replace(
        schema_version="1.0.1",
        record_id="e",
        user_id=to.key.decode(),
        timestamp=1_750_000_000_000,
        source="session_manager",
        kind=kind,
        command_record_id=to.record_id,
        session_id=f"sess_{to.key.decode()}",
        **fields,
    )
    return TopicRecord("a3cp.sessions", 0, 0, 0, to.key, to_json(event))


def of(future: "Future[Outcome]") -> tuple[str, str | None]:
    outcome = future.result(0)
    return outcome.kind, outcome.session_id


def test_each_gets_its_own() -> None:
    """Two commands of one user, one of another, in another order; an event that answers none is passed over."""
    outcomes = Outcomes(from_json)
    first, second, other = command("ann"), command("ann", "end"), command("ben")
    futures = [outcomes.expect(each, LONG_S) for each in (first, second, other)]
    outcomes.take([answer(command("ann"), "started"), answer(other, "started"), answer(second, "ended")])
    assert not futures[0].done()
    outcomes.take([answer(first, "unchanged", reason="already_active")])
    assert [of(future) for future in futures] == [
        ("unchanged", "sess_ann"),
        ("ended", "sess_ann"),
        ("started", "sess_ben"),
    ]


def test_another_consequence_is_no_outcome() -> None:
    """A forced start ends the open session first; that end is not what the command asked for."""
    outcomes = Outcomes(from_json)
    start = command("ann")
    future = outcomes.expect(start, LONG_S)
    outcomes.take([answer(start, "ended")])
    assert not future.done()
    outcomes.take([answer(start, "started")])
    assert of(future) == ("started", "sess_ann")


def test_a_refusal_is_an_outcome() -> None:
    """It says which, and is not accepted."""
    outcomes = Outcomes(from_json)
    end = command("ann", "end")
    future = outcomes.expect(end, LONG_S)
    outcomes.take([answer(end, "rejected", reason="not_found")])
    assert future.result(0)[:3] == (False, "rejected", "not_found")


def test_no_outcome_in_time() -> None:
    """It is said with the reason why nothing came, if there was one; the others wait on."""
    outcomes = Outcomes(from_json)
    away = BrokerUnavailable("no broker")
    outcomes.trouble(away)
    late, patient = outcomes.expect(command("ann"), 0.0), outcomes.expect(command("ben"), LONG_S)
    outcomes.take([])
    with pytest.raises(NoOutcome, match=r"no outcome within 0 s; see that a3cp process runs") as raised:
        late.result(0)
    assert raised.value.__cause__ is away
    assert not patient.done()
    outcomes.close()
    assert isinstance(patient.exception(0), NoOutcome)


@pytest.mark.parametrize(
    ("error", "told"), [(DecodeError("another release's"), None), (RegistryUnavailable("away"), RegistryUnavailable)]
)
def test_an_event_that_cannot_be_read(error: A3CPError, told: type[A3CPError] | None) -> None:
    """Another release's is passed over, since ours is still to come; where the registry is away, that is told."""

    def decode(_: bytes) -> EventView:
        raise error

    outcomes = Outcomes(decode)
    start = command("ann")
    future = outcomes.expect(start, LONG_S)
    outcomes.take([answer(start, "started")])
    assert (type(future.exception(0)) if future.done() else None) is told


def test_what_was_not_sent_fails_at_once() -> None:
    """And once: what comes later changes nothing."""
    outcomes = Outcomes(from_json)
    start = command("ann")
    future = outcomes.expect(start, LONG_S)
    outcomes.fail(start, BrokerUnavailable("no broker"))
    outcomes.take([answer(start, "started")])
    outcomes.fail(start, BrokerUnavailable("again"))
    with pytest.raises(BrokerUnavailable, match="no broker"):
        future.result(0)


def test_many_threads() -> None:
    """Commands are expected by many threads while their outcomes come; none is lost, and none is mixed up."""
    outcomes = Outcomes(from_json)

    def ask(number: int) -> bool:
        start = command(f"user{number % 50}")
        future = outcomes.expect(start, LONG_S)
        outcomes.take([answer(start, "started")])
        return of(future) == ("started", f"sess_user{number % 50}")

    with ThreadPoolExecutor(8) as threads:
        assert all(threads.map(ask, range(400)))
