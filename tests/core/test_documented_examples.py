"""The examples of docs/sessions.md, with the default settings: what the document says happens."""

from processor.core.model import DAY_MS, HOUR_MS, Rules
from tests.core.playing import Ask, Say, Table, Tick, play, scenes

MINUTE_MS = 60_000


def at(hours: int, minutes: int = 0, ms: int = 0, *, day: int = 0) -> int:
    """Return a time of day, ms; scenes begin at 00:00 of day 0."""
    return day * DAY_MS + hours * HOUR_MS + minutes * MINUTE_MS + ms


def _every_half_hour_for_a_day() -> Table:
    return [(Say(at(8) + n * 30 * MINUTE_MS), "start:A tag:A1" if n == 0 else f"tag:A{n + 1}") for n in range(49)]


@scenes(
    {
        "R1": [
            (Say(at(9)), "start:A tag:A1"),
            (Say(at(10)), "tag:A2"),
            (Say(at(11, 0, 1)), f"end:A@{at(10)}(timeout) start:B tag:B1"),
        ],
        "R2": [
            *_every_half_hour_for_a_day(),
            (Say(at(8, 20, day=1)), f"end:A@{at(8, day=1)}(max_duration) start:B tag:B1"),
        ],
        "R3": [
            (Say(at(9)), "start:A tag:A1"),
            (Say(at(9, 10)), "tag:A2"),
            (Say(at(10, 30)), f"end:A@{at(9, 10)}(timeout) start:B tag:B1"),
        ],
        "R4": [
            (Say(at(9)), "start:A tag:A1"),
            (Tick(at(10, 0, 1)), f"end:A@{at(9)}(timeout)"),
            (Say(at(9, 50), arrives=at(10, 0, 5_000)), "reopen:A tag:A2"),
            (Tick(at(10, 50)), ""),
            (Tick(at(10, 50, 1)), f"end:A@{at(9, 50)}(timeout)#1"),
        ],
        "R5": [
            (Say(at(9)), "start:A tag:A1"),
            (Say(at(11)), f"end:A@{at(9)}(timeout) start:B tag:B1"),
            (Say(at(9, 40), arrives=at(11, 1)), f"tag:A2(late) end:A@{at(9, 40)}(timeout)#1"),
            (Say(at(7), arrives=at(11, 2)), f"start:C(late) tag:C1(late) end:C@{at(7)}(late)"),
            (Say(at(10, 30), arrives=at(11, 3)), "tag:B2"),
        ],
        "R5, refined": [
            (Say(at(9)), "start:A tag:A1"),
            (Ask(at(9, 30), "end"), f"end:A@{at(9, 30)}(command)"),
            (Say(at(9, 31), claims="A"), f"tag:A2(late) end:A@{at(9, 31)}(command)#1"),
            (Say(at(9, 32)), "start:B tag:B1"),
            (Say(at(9, 33), claims="A"), "tag:B2(session_mismatch)"),
            (Say(at(9, 15), arrives=at(9, 34)), f"tag:A3(late) end:A@{at(9, 31)}(command)#2"),
        ],
        "R7": [
            (Ask(at(9), "start"), "start:A(command)"),
            (Ask(at(9, 10), "start"), "unchanged:A(already_active)"),
            (Ask(at(9, 20), "end"), f"end:A@{at(9, 20)}(command)"),
            (Ask(at(9, 21), "note", session="A"), "reject(already_closed)"),
        ],
        "R8": [
            (Say(at(9)), "start:A tag:A1"),
            (Ask(at(9, 10), "pause"), f"pause:A@{at(9, 10)}"),
            (Say(at(12)), "tag:A2(while_paused)"),
            (Ask(at(12, 30), "resume"), f"resume:A(after {at(3, 20)})"),
            (Say(at(13, 31)), f"end:A@{at(12, 30)}(timeout) start:B tag:B1"),
        ],
        "R9": [
            (Say(at(9), claims="sess_x"), "start:A tag:A1(session_mismatch)"),
            (Say(at(9, 1), claims="A"), "tag:A2"),
        ],
        "R10": [
            (Say(at(9, 5), arrives=at(9)), "start:A tag:A1"),
            (Say(at(9, 5, 1), arrives=at(9)), "tag:A2(clock_skew)"),
            (Say(at(0, day=3_000_000), arrives=at(9, 1)), "tag:A3(clock_skew)"),
        ],
        "R11": [
            (Say(at(9), record_id="r1", content="hello"), "start:A tag:A1"),
            (Say(at(9), record_id="r1", content="hello"), "tag:A2(duplicate)"),
            (Say(at(9), record_id="r1", content="intent"), "tag:A3"),
        ],
        "R14": [
            (Say(at(9)), "start:A tag:A1"),
            (Tick(at(10, 0, 1)), f"end:A@{at(9)}(timeout)"),
            (Say(at(9, 30), arrives=at(10, day=1)), "reopen:A tag:A2"),
            (Say(at(9, 40), arrives=at(11, day=2)), f"end:A@{at(9, 30)}(timeout)#1 forget start:B tag:B1"),
        ],
        "R15": [
            (Say(at(9)), "start:A tag:A1"),
            (Say(at(9, 30), source="model_trainer"), "tag:A2"),
            (Say(at(10, 10)), f"end:A@{at(9)}(timeout) start:B tag:B1"),
            (Say(at(13), source="model_trainer"), "tag:-(no_session)"),
        ],
    }
)
def test_documented_examples(steps, caused):
    """Each example timeline in docs/sessions.md is true."""
    assert play(steps, Rules()) == caused
