"""Whether a session is open, by states and events in any order between them."""

import itertools

import pytest

from processor.view.standing import KEPT_MS, Ahead, Standing
from processor.view.states import States
from processor.view.view import View
from tests.sessions.outputs import CODEC, message
from tests.view.stage import Log, Taken, command, new_view, take

HOUR_MS = 3_600_000
HISTORIES = {
    "started": ([command("ann", "start", 0)], Standing.ACTIVE),
    "paused": ([command("ann", "start", 0), command("ann", "pause", 1_000)], Standing.PAUSED),
    "paused in the same ms": ([command("ann", "start", 0), command("ann", "pause", 0, number=1)], Standing.PAUSED),
    "resumed": (
        [command("ann", "start", 0), command("ann", "pause", 1_000), command("ann", "resume", 2_000)],
        Standing.ACTIVE,
    ),
    "ended": ([command("ann", "start", 0), command("ann", "end", 1_000)], Standing.CLOSED),
    "ended while paused": (
        [command("ann", "start", 0), command("ann", "pause", 1_000), command("ann", "end", 2_000)],
        Standing.CLOSED,
    ),
}


def written(values: list[bytes]) -> tuple[list[Taken], list[Taken]]:
    """Return the states and the session events that come of `values`."""
    log = Log()
    records = [taken for value in values for taken in log.process(value)]
    return [r for r in records if r.kind == "state"], [r for r in records if r.kind == "sessions"]


@pytest.mark.parametrize("name", HISTORIES)
def test_states_and_events_in_any_order_agree_in_the_end(name: str) -> None:
    """However they are read between each other; and what events have told is so at once, whatever state is there."""
    values, expected = HISTORIES[name]
    states, events = written(values)
    session_id = CODEC.decode_event(events[0].record.value or b"").session_id
    assert session_id is not None
    orders = set(itertools.permutations("s" * len(states) + "e" * len(events)))
    for order in orders:
        view, left, told = new_view(), {"s": iter(states), "e": iter(events)}, 0
        for kind in order:
            take(view, [next(left[kind])])
            told += kind == "e"
            if told == len(events):
                assert view.memory.standing("ann", session_id) is expected, order
                assert view.memory.open_session("ann") == (session_id if expected.is_open else None), order


@pytest.mark.parametrize("name", HISTORIES)
def test_nothing_is_kept_of_events_once_a_state_says_the_same(name: str) -> None:
    """Whichever came first. Each poll looks at what is kept, so it must not add up."""
    states, events = written(HISTORIES[name][0])
    for order in set(itertools.permutations("s" * len(states) + "e" * len(events))):
        known, ahead, left = States(), Ahead(), {"s": iter(states), "e": iter(events)}
        for kind in order:
            record = next(left[kind]).record
            if kind == "s":
                known.put(b"ann", record.value)
                ahead.caught_up(b"ann", known, record.timestamp_ms)
            else:
                ahead.take(CODEC.decode_event(record.value or b""), record.timestamp_ms, known)
        assert list(ahead.sessions(b"ann")) == [], order


def test_events_without_a_state_are_forgotten_the_oldest_first() -> None:
    """Those of a user of whom something is told again stay."""
    ahead, known = Ahead(), States()
    for user_id, word, at_ms in (("ann", "start", 0), ("ben", "start", 1), ("ann", "pause", 2)):
        event = CODEC.decode_event(
            written([command(user_id, "start", 0), command(user_id, word, at_ms)])[1][-1].record.value or b""
        )
        ahead.take(event, at_ms, known)
    ahead.trim(KEPT_MS + 1)
    assert list(ahead.sessions(b"ben")) == []
    assert len(list(ahead.sessions(b"ann"))) == 1
    ahead.trim(KEPT_MS + 2)
    assert list(ahead.sessions(b"ann")) == []


def test_a_session_that_the_clock_has_ended_is_reopened() -> None:
    """By events alone, by states alone, and by both: closed after silence, open again, closed for good."""
    for kinds in (("state",), ("sessions",), ("sessions", "state")):
        log, view = Log(), new_view()

        def follow(records: list[Taken], kinds: tuple[str, ...] = kinds, view: View = view) -> None:
            for kind in kinds:
                take(view, [taken for taken in records if taken.kind == kind])

        follow(log.process(message("ann", 0)))
        session_id = view.memory.open_session("ann")
        assert session_id is not None
        follow(log.pass_time(2 * HOUR_MS))
        assert view.memory.standing("ann", session_id) is Standing.CLOSED
        assert view.memory.open_session("ann") is None
        follow(log.process(message("ann", HOUR_MS // 2)))
        assert view.memory.standing("ann", session_id) is Standing.ACTIVE
        assert view.memory.open_session("ann") == session_id
        follow(log.process(command("ann", "end", HOUR_MS // 2 + 1)))
        assert view.memory.standing("ann", session_id) is Standing.CLOSED
