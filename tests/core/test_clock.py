"""What time does by itself: rules R4 and R14. Gap 100 ms, quiet period 10 ms, late horizon 700 ms, pause 300 ms."""

from dataclasses import replace

from processor.core.deadlines import due_ms, punctuate
from processor.core.model import Policy, UserState
from tests.core.playing import EPOCH_MS, PASSIVE, RULES, Ask, Say, Scene, Step, Tick, play, scenes


@scenes(
    {
        "one ms early": [(Say(0), "start:A tag:A1"), (Tick(99), "")],
        "exactly the gap is still inside": [(Say(0), "start:A tag:A1"), (Tick(100), "")],
        "one ms more is certain": [(Say(0), "start:A tag:A1"), (Tick(101), "end:A@0(timeout)")],
        "it is told once": [(Say(0), "start:A tag:A1"), (Tick(101), "end:A@0(timeout)"), (Tick(500), "")],
        "records that still arrive are no silence: one ms before the quiet period is over": [
            (Say(0, arrives=1_000), "start:A tag:A1"),
            (Tick(1_009), ""),
        ],
        "the quiet period is over": [
            (Say(0, arrives=1_000), "start:A tag:A1"),
            (Tick(1_010), "end:A@0(timeout)"),
        ],
        "any record of the user counts as arriving": [
            (Say(0, arrives=1_000), "start:A tag:A1"),
            (Ask(0, "end", session="nobody's", arrives=1_005), "reject(not_found)"),
            (Tick(1_014), ""),
            (Tick(1_015), "end:A@0(timeout)"),
        ],
        "a backlog that arrives all at once closes nothing early": [
            (Say(0, arrives=5_000), "start:A tag:A1"),
            (Tick(5_001), ""),
            (Say(100, arrives=5_001), "tag:A2"),
            (Tick(5_002), ""),
            (Say(201, arrives=5_002), "end:A@100(timeout) start:B tag:B1"),
        ],
        "a pause has its own time-out: exactly that is inside": [
            (Ask(0, "start"), "start:A(command)"),
            (Ask(0, "pause"), "pause:A@0"),
            (Tick(300), ""),
            (Tick(301), "end:A@0(pause_timeout)"),
        ],
    }
)
def test_r4_the_clock_announces_what_is_certain(steps, caused):
    """R4: the clock ends an idle session once the gap and the quiet period have passed."""
    assert play(steps) == caused


@scenes(
    {
        "a message within the gap goes on with the session": [
            (Say(0), "start:A tag:A1"),
            (Tick(101), "end:A@0(timeout)"),
            (Say(100, arrives=102), "reopen:A tag:A2"),
            (Tick(200), ""),
            (Tick(201), "end:A@100(timeout)#1"),
        ],
        "one ms later it does not": [
            (Say(0), "start:A tag:A1"),
            (Tick(101), "end:A@0(timeout)"),
            (Say(101), "start:B tag:B1"),
        ],
        "inside its span too": [
            (Say(0), "start:A tag:A1"),
            (Say(50), "tag:A2"),
            (Tick(151), "end:A@50(timeout)"),
            (Say(20), "reopen:A tag:A3"),
            (Tick(171), "end:A@50(timeout)#1"),
        ],
        "before its start too": [
            (Say(0), "start:A tag:A1"),
            (Tick(101), "end:A@0(timeout)"),
            (Say(-100), "reopen:A tag:A2"),
        ],
        "a late one leaves it ended": [
            (Say(0), "start:A tag:A1"),
            (Tick(101), "end:A@0(timeout)"),
            (Say(-101), "start:B(late) tag:B1(late) end:B@-101(late)"),
            (Tick(300), ""),
        ],
        "a passive one is counted, but does not go on with it": [
            (Say(0), "start:A tag:A1"),
            (Tick(101), "end:A@0(timeout)"),
            (Say(100, source=PASSIVE), "tag:A2 end:A@0(timeout)#1"),
            (Tick(300), ""),
            (Say(101), "start:B tag:B1"),
        ],
        "a command within the gap goes on with it": [
            (Say(0), "start:A tag:A1"),
            (Tick(101), "end:A@0(timeout)"),
            (Ask(100, "note"), "reopen:A note:A"),
            (Tick(200), ""),
            (Tick(201), "end:A@100(timeout)#1"),
        ],
        "so does one that has nothing to do": [
            (Say(0), "start:A tag:A1"),
            (Tick(101), "end:A@0(timeout)"),
            (Ask(50, "start"), "reopen:A unchanged:A(already_active)"),
        ],
        "an end within the gap gives the end its reason": [
            (Say(0), "start:A tag:A1"),
            (Tick(101), "end:A@0(timeout)"),
            (Ask(100, "end"), "end:A@100(command)#1"),
        ],
        "so does a new start by force": [
            (Say(0), "start:A tag:A1"),
            (Tick(101), "end:A@0(timeout)"),
            (Ask(100, "start", force_new=True), "end:A@0(superseded)#1 start:B(command)"),
        ],
        "a pause that timed out goes on too": [
            (Say(0), "start:A tag:A1"),
            (Ask(10, "pause"), "pause:A@10"),
            (Tick(311), "end:A@10(pause_timeout)"),
            (Say(310), "reopen:A tag:A2(while_paused)"),
            (Ask(310, "resume"), "resume:A(after 300)"),
        ],
        "a rejected command leaves it ended": [
            (Say(0), "start:A tag:A1"),
            (Tick(101), "end:A@0(timeout)"),
            (Ask(50, "note", session="nobody's"), "reject(not_found)"),
            (Ask(101, "note", session="A"), "reject(already_closed)"),
        ],
        "a late message to another session leaves it ended": [
            (Say(0), "start:A tag:A1"),
            (Say(200), "end:A@0(timeout) start:B tag:B1"),
            (Tick(301), "end:B@200(timeout)"),
            (Say(0), "tag:A2(late) end:A@0(timeout)#1"),
            (Tick(500), ""),
        ],
    }
)
def test_r4_an_announced_session_goes_on(steps, caused):
    """R4: a message within the gap belongs to the session although the clock has announced its end (ADR 0004)."""
    assert play(steps) == caused


@scenes(
    {
        "by a record, one ms before the horizon": [
            (Say(0, arrives=0), "start:A tag:A1"),
            (Say(99, arrives=799), "tag:A2"),
        ],
        "by a record, exactly at the horizon": [
            (Say(0, arrives=0), "start:A tag:A1"),
            (Say(99, arrives=800), "tag:A2"),
        ],
        "by a record, one ms after it": [
            (Say(0, arrives=0), "start:A tag:A1"),
            (Say(99, arrives=801), "end:A@0(timeout) forget start:B tag:B1"),
        ],
        "by the clock, one ms before horizon and quiet period": [
            (Say(0), "start:A tag:A1"),
            (Tick(101), "end:A@0(timeout)"),
            (Tick(810), ""),
        ],
        "by the clock, when both are over": [
            (Say(0), "start:A tag:A1"),
            (Tick(101), "end:A@0(timeout)"),
            (Tick(811), "forget"),
            (Say(99, arrives=811), "start:B tag:B1"),
        ],
        "between horizon and quiet period a record finds nothing either": [
            (Say(0), "start:A tag:A1"),
            (Tick(101), "end:A@0(timeout)"),
            (Tick(801), ""),
            (Say(99, arrives=801), "forget start:B tag:B1"),
        ],
        "a clock that comes late tells one thing at a time": [
            (Say(0), "start:A tag:A1"),
            (Tick(9_000), "end:A@0(timeout)"),
            (Tick(9_000), "forget"),
        ],
        "old event times do not make it earlier: what counts is arrival": [
            (Say(0, arrives=5_000), "start:A tag:A1"),
            (Say(1, arrives=5_700), "tag:A2"),
            (Say(2, arrives=6_401), "end:A@1(timeout) forget start:B tag:B1"),
        ],
        "after an end by command the horizon counts from the last arrival": [
            (Say(0), "start:A tag:A1"),
            (Ask(10, "end"), "end:A@10(command)"),
            (Tick(720), ""),
            (Say(5, arrives=710), "tag:A2(late) end:A@10(command)#1"),
            (Tick(1_420), ""),
            (Tick(1_421), "forget"),
        ],
        "an end in the future, as far as skew allows, counts": [
            (Say(0), "start:A tag:A1"),
            (Ask(30, "end", arrives=10), "end:A@30(command)"),
            (Say(30, arrives=730), "tag:A2(late) end:A@30(command)#1"),
            (Say(30, arrives=1_431), "forget start:B tag:B1"),
        ],
        "a paused session is not forgotten before its pause times out": [
            (Say(0), "start:A tag:A1"),
            (Ask(0, "pause"), "pause:A@0"),
            (Ask(0, "note", arrives=1_000), "note:A"),
            (Say(0, arrives=1_700), "tag:A2(while_paused)"),
            (Ask(0, "resume", arrives=2_401), "end:A@0(pause_timeout) forget reject(not_found)"),
        ],
        "from the end of the pause on": [
            (Say(0), "start:A tag:A1"),
            (Ask(0, "pause"), "pause:A@0"),
            (Say(10, arrives=1_000), "tag:A2(while_paused)"),
            (Say(10, arrives=1_701), "end:A@10(pause_timeout) forget start:B tag:B1"),
        ],
        "a command too finds nothing": [
            (Say(0), "start:A tag:A1"),
            (Ask(801, "end", session="A"), "end:A@0(timeout) forget reject(not_found)"),
        ],
        "a repeat is not recognised any more": [
            (Say(0, content="x"), "start:A tag:A1"),
            (Say(0, content="x"), "tag:A2(duplicate)"),
            (Ask(1, "end"), "end:A@1(command)"),
            (Say(0, content="x", record_id="again", arrives=702), "forget start:B tag:B1"),
        ],
        "a passive message at the horizon": [
            (Say(0), "start:A tag:A1"),
            (Say(801, source=PASSIVE), "end:A@0(timeout) forget tag:-(no_session)"),
        ],
        "the user's limits survive, by record": [
            (Say(0, policy=Policy(gap_ms=250)), "start:A tag:A1 policy"),
            (Say(951), "end:A@0(timeout) forget start:B tag:B1"),
            (Say(1_201), "tag:B2"),
        ],
        "the user's limits survive, by clock": [
            (Say(0, policy=Policy(gap_ms=250)), "start:A tag:A1 policy"),
            (Tick(251), "end:A@0(timeout)"),
            (Tick(961), "forget"),
            (Tick(9_000), ""),
            (Say(9_001), "start:B tag:B1"),
            (Say(9_251), "tag:B2"),
        ],
        "an erasure waits for nothing, and takes the user's limits too": [
            (Say(0, policy=Policy(gap_ms=250)), "start:A tag:A1 policy"),
            (Ask(1, "erase"), "erase"),
            (Tick(9_000), ""),
            (Say(9_001, claims="A"), "start:B tag:B1(session_mismatch)"),
            (Say(9_251), "end:B@9001(timeout) start:C tag:C1"),
        ],
        "an erasure of an open session tells no end, and one of nobody changes nothing": [
            (Ask(0, "erase"), "erase"),
            (Say(1, content="x"), "start:A tag:A1"),
            (Ask(2, "erase"), "erase"),
            (Say(3, content="x"), "start:B tag:B1"),
            (Ask(4, "end"), "end:B@4(command)"),
        ],
    }
)
def test_r14_forgetting(steps, caused):
    """R14: after the late horizon a user's sessions are forgotten, by the times of arrival alone (ADR 0004)."""
    assert play(steps) == caused


def _after(*steps: Step) -> UserState | None:
    scene = Scene()
    for incoming in steps:
        scene.play(incoming)
    return scene.state


def test_r14_nothing_is_left():
    """R14: a user with neither session nor limits has no state; one with limits keeps them only."""
    assert _after(Say(0, source=PASSIVE)) is None
    assert _after(Ask(0, "note")) is None
    assert _after(Say(0, source=PASSIVE, policy=Policy())) is None
    assert _after(Say(0), Ask(0, "end"), Tick(711)) is None
    assert _after(Say(0), Say(9_000, source=PASSIVE)) is None
    limits_only = _after(Say(0, policy=Policy(gap_ms=7)), Tick(101), Tick(9_000))
    assert limits_only is not None
    assert (limits_only.current, limits_only.closed, limits_only.recent) == (None, (), b"")
    assert due_ms(limits_only, RULES) is None
    assert punctuate(limits_only, EPOCH_MS + 10**9, RULES) == ()
    assert _after(Say(0, source=PASSIVE, policy=Policy(gap_ms=7)), Say(1, source=PASSIVE, policy=Policy())) is None


def test_r4_due_is_the_first_moment_that_matters():
    """R4: one ms before `due_ms` nothing happens, at `due_ms` something does, in every state of a scene."""
    scene = Scene()
    for incoming in (
        Say(0),
        Ask(20, "pause"),
        Say(30),
        Ask(40, "resume"),
        Tick(500),
        Say(120, arrives=600),
        Ask(600, "start"),
        Ask(610, "end"),
        Say(610, arrives=1_300),
    ):
        scene.play(incoming)
        assert scene.state is not None
        due = due_ms(scene.state, RULES)
        assert due is not None
        assert punctuate(scene.state, due - 1, RULES) == ()
        assert len(punctuate(scene.state, due, RULES)) == 1


def test_r4_without_a_quiet_period():
    """R4: a quiet period of 0 leaves the gap alone to decide."""
    rules = replace(RULES, quiet_ms=0)
    steps = (Say(0, arrives=5_000), Tick(4_999), Tick(5_000))
    assert play(steps, rules) == ["start:A tag:A1", "", "end:A@0(timeout)"]
