"""Where sessions begin and end: rules R1, R2 and R3. Gap 100 ms, maximum 1,000 ms."""

from dataclasses import replace

from processor.core.model import DAY_MS, HOUR_MS, Policy, Rules
from tests.core.playing import PASSIVE, RULES, Ask, Say, Table, Tick, play, scenes


@scenes(
    {
        "the first message starts a session": [(Say(0), "start:A tag:A1")],
        "one ms less than the gap is inside": [(Say(0), "start:A tag:A1"), (Say(99), "tag:A2")],
        "a silence of exactly the gap is inside": [(Say(0), "start:A tag:A1"), (Say(100), "tag:A2")],
        "one ms more ends it at its last activity": [
            (Say(0), "start:A tag:A1"),
            (Say(101), "end:A@0(timeout) start:B tag:B1"),
        ],
        "the gap counts from the latest activity": [
            (Say(0), "start:A tag:A1"),
            (Say(90), "tag:A2"),
            (Say(190), "tag:A3"),
            (Say(291), "end:A@190(timeout) start:B tag:B1"),
        ],
        "the latest activity is the latest event time, not the last to arrive": [
            (Say(0), "start:A tag:A1"),
            (Say(90), "tag:A2"),
            (Say(10), "tag:A3"),
            (Say(190), "tag:A4"),
        ],
        "earlier than the start by less than the gap": [(Say(0), "start:A tag:A1"), (Say(-99), "tag:A2")],
        "earlier by exactly the gap": [(Say(0), "start:A tag:A1"), (Say(-100), "tag:A2")],
        "earlier by more than the gap is late": [
            (Say(0), "start:A tag:A1"),
            (Say(-101), "start:B(late) tag:B1(late) end:B@-101(late)"),
            (Say(50), "tag:A2"),
        ],
        "an earlier message does not move the start": [
            (Say(0), "start:A tag:A1"),
            (Say(-100), "tag:A2"),
            (Say(-101), "start:B(late) tag:B1(late) end:B@-101(late)"),
        ],
    }
)
def test_r1_one_session_until_a_longer_silence(steps, caused):
    """R1: a user has one open session; only a silence longer than the gap starts another."""
    assert play(steps) == caused


def _every_90_ms_until(end_ms: int) -> Table:
    return [(Say(at), "start:A tag:A1" if at == 0 else f"tag:A{at // 90 + 1}") for at in range(0, end_ms, 90)]


@scenes(
    {
        "one ms less than the maximum is inside": [*_every_90_ms_until(1_000), (Say(999), "tag:A13")],
        "exactly the maximum is inside": [*_every_90_ms_until(1_000), (Say(1_000), "tag:A13")],
        "one ms more starts the next": [
            *_every_90_ms_until(1_000),
            (Say(1_001), "end:A@990(max_duration) start:B tag:B1"),
        ],
        "exactly the gap is no silence, so the length is the reason": [
            *_every_90_ms_until(1_000),
            (Say(1_090), "end:A@990(max_duration) start:B tag:B1"),
        ],
        "where a silence ends it too, silence is the reason": [
            *_every_90_ms_until(1_000),
            (Say(1_091), "end:A@990(timeout) start:B tag:B1"),
        ],
        "between the two, it joins the later: sessions do not grow past the maximum": [
            *_every_90_ms_until(1_000),
            (Say(1_005), "end:A@990(max_duration) start:B tag:B1"),
            (Say(1_004), "tag:B2"),
        ],
        "inside the span of the session that was too long, it joins that": [
            *_every_90_ms_until(1_000),
            (Say(1_005), "end:A@990(max_duration) start:B tag:B1"),
            (Say(990), "tag:A13(late) end:A@990(max_duration)#1"),
        ],
        "notes prolong a session until the next message": [
            *_every_90_ms_until(1_000),
            (Ask(1_050, "note"), "note:A"),
            (Say(1_051), "end:A@1050(max_duration) start:B tag:B1"),
        ],
        "up to a note's time nothing is cut off": [
            *_every_90_ms_until(1_000),
            (Ask(1_050, "note"), "note:A"),
            (Say(1_050), "tag:A13"),
        ],
        "a start that comes too late for the session opens the next": [
            *_every_90_ms_until(1_000),
            (Ask(1_000, "start"), "unchanged:A(already_active)"),
            (Ask(1_001, "start"), "end:A@1000(max_duration) start:B(command)"),
        ],
        "the end that the clock had announced is told again with the reason that holds": [
            *_every_90_ms_until(1_000),
            (Tick(1_091), "end:A@990(timeout)"),
            (Say(1_001, arrives=1_091), "end:A@990(max_duration)#1 start:B tag:B1"),
        ],
    }
)
def test_r2_a_session_has_a_maximum_length(steps, caused):
    """R2: the first activity beyond the maximum starts the next session, whatever the day."""
    assert play(steps) == caused


GAP_250 = Policy(gap_ms=250)


@scenes(
    {
        "the user's own gap, set by a profile update": [
            (Say(0, policy=GAP_250), "start:A tag:A1 policy"),
            (Say(249), "tag:A2"),
            (Say(499), "tag:A3"),
            (Say(750), "end:A@499(timeout) start:B tag:B1"),
        ],
        "a profile update sets the limits from the next record on": [
            (Say(0), "start:A tag:A1"),
            (Say(200, policy=GAP_250), "end:A@0(timeout) start:B tag:B1 policy"),
            (Say(450), "tag:B2"),
        ],
        "a passive profile update without a session leaves the limits alone behind": [
            (Say(0, source=PASSIVE, policy=GAP_250), "tag:-(no_session) policy"),
            (Say(300), "start:A tag:A1"),
            (Say(550), "tag:A2"),
        ],
        "a shorter gap holds for the open session too": [
            (Say(0), "start:A tag:A1"),
            (Say(10, source=PASSIVE, policy=Policy(gap_ms=40)), "tag:A2 policy"),
            (Say(40), "tag:A3"),
            (Say(81), "end:A@40(timeout) start:B tag:B1"),
        ],
        "a longer gap takes back a silence that nobody noticed": [
            (Say(0), "start:A tag:A1"),
            (Say(150, source=PASSIVE, policy=GAP_250), "tag:-(no_session) policy"),
            (Say(250), "tag:A2"),
        ],
        "a longer gap takes back a silence that the clock announced": [
            (Say(0), "start:A tag:A1"),
            (Tick(101), "end:A@0(timeout)"),
            (Say(150, source=PASSIVE, policy=GAP_250), "tag:-(no_session) policy"),
            (Say(250), "reopen:A tag:A2"),
        ],
        "a shorter maximum cuts nothing off that lies inside the session": [
            (Say(0), "start:A tag:A1"),
            (Say(90), "tag:A2"),
            (Say(180, policy=Policy(max_session_ms=50)), "tag:A3 policy"),
            (Say(180), "tag:A4"),
            (Say(60), "tag:A5"),
            (Say(181), "end:A@180(max_duration) start:B tag:B1"),
        ],
        "a profile update replaces the one before": [
            (Say(0, policy=GAP_250), "start:A tag:A1 policy"),
            (Say(1, policy=Policy(max_session_ms=500)), "tag:A2 policy"),
            (Say(102), "end:A@1(timeout) start:B tag:B1"),
        ],
        "an empty one takes the user's limits back": [
            (Say(0, policy=GAP_250), "start:A tag:A1 policy"),
            (Say(1, policy=Policy()), "tag:A2 policy"),
            (Say(102), "end:A@1(timeout) start:B tag:B1"),
        ],
        "a session's template": [
            (Ask(0, "start", template="long"), "start:A(command)"),
            (Say(250), "tag:A1"),
            (Say(501), "end:A@250(timeout) start:B tag:B1"),
            (Say(602), "end:B@501(timeout) start:C tag:C1"),
        ],
        "a template of the user's": [
            (Say(0, policy=Policy(template="long")), "start:A tag:A1 policy"),
            (Say(250), "tag:A2"),
        ],
        "the user's own value goes before his template's": [
            (Say(0, policy=Policy(gap_ms=40, template="long")), "start:A tag:A1 policy"),
            (Say(41), "end:A@0(timeout) start:B tag:B1"),
        ],
        "the session's template goes before the user's own value": [
            (Say(0, policy=GAP_250), "start:A tag:A1 policy"),
            (Ask(1, "start", template="brief", force_new=True), "end:A@0(superseded) start:B(command)"),
            (Say(42), "end:B@1(timeout) start:C tag:C1"),
        ],
        "a template that nobody has described leaves the general limits": [
            (Ask(0, "start", template="unheard of"), "start:A(command)"),
            (Say(100), "tag:A1"),
            (Say(201), "end:A@100(timeout) start:B tag:B1"),
        ],
        "a template's maximum": [
            (Ask(0, "start", template="brief"), "start:A(command)"),
            *[(Say(at), f"tag:A{at // 40}") for at in (40, 80, 120, 160, 200)],
            (Say(201), "end:A@200(max_duration) start:B tag:B1"),
        ],
    }
)
def test_r2_limits_by_user_and_template(steps, caused):
    """R2: limits come from the session's template, the user's policy, its template, the settings, in this order."""
    assert play(steps) == caused


def test_r2_defaults():
    """R2, R4, R5, R8 and R10: the defaults of the design."""
    rules = Rules()
    assert (rules.gap_ms, rules.max_session_ms, rules.pause_ms) == (HOUR_MS, DAY_MS, DAY_MS)
    assert (rules.late_horizon_ms, rules.quiet_ms, rules.skew_ms) == (DAY_MS, 10_000, 300_000)


def test_r2_midnight_does_not_split():
    """R2: a session goes on past midnight, in whatever time zone."""
    rules = replace(RULES, gap_ms=DAY_MS, max_session_ms=3 * DAY_MS)
    caused = play([Say(hours * HOUR_MS) for hours in range(0, 49, 8)], rules)
    assert caused == ["start:A tag:A1", *(f"tag:A{n}" for n in range(2, 8))]


@scenes(
    {
        "the next message notices": [
            (Say(0), "start:A tag:A1"),
            (Say(50), "tag:A2"),
            (Say(500), "end:A@50(timeout) start:B tag:B1"),
        ],
        "the clock notices": [
            (Say(0), "start:A tag:A1"),
            (Say(50), "tag:A2"),
            (Tick(400), "end:A@50(timeout)"),
            (Say(500), "start:B tag:B1"),
        ],
        "a command notices": [
            (Say(0), "start:A tag:A1"),
            (Say(50), "tag:A2"),
            (Ask(400, "note"), "end:A@50(timeout) reject(not_found)"),
            (Say(500), "start:B tag:B1"),
        ],
        "a start notices": [
            (Say(0), "start:A tag:A1"),
            (Ask(101, "start"), "end:A@0(timeout) start:B(command)"),
        ],
        "a start does not notice twice": [
            (Say(0), "start:A tag:A1"),
            (Tick(101), "end:A@0(timeout)"),
            (Ask(101, "start"), "start:B(command)"),
        ],
        "a passive message's silence is not told": [
            (Say(0), "start:A tag:A1"),
            (Say(101, source=PASSIVE), "tag:-(no_session)"),
            (Say(102), "end:A@0(timeout) start:B tag:B1"),
        ],
    }
)
def test_r3_silence_ends_at_the_last_activity(steps, caused):
    """R3: end time and reason of a silence are the same, whoever notices it."""
    assert play(steps) == caused
