"""Messages that come late: rule R5 and, where a claim decides, R9. Gap 100 ms, late horizon 700 ms."""

from dataclasses import replace

from processor.core.model import RECENT_SESSIONS_MAX, Policy
from tests.core.playing import PASSIVE, RULES, Ask, Say, Table, play, scenes

A_THEN_B: Table = [
    (Say(0), "start:A tag:A1"),
    (Say(50), "tag:A2"),
    (Say(500), "end:A@50(timeout) start:B tag:B1"),
]
A_ENDED: Table = [
    (Say(0), "start:A tag:A1"),
    (Ask(50, "end"), "end:A@50(command)"),
]


@scenes(
    {
        "inside the span of a closed session": [*A_THEN_B, (Say(20), "tag:A3(late) end:A@50(timeout)#1")],
        "the span's last ms": [*A_THEN_B, (Say(50), "tag:A3(late) end:A@50(timeout)#1")],
        "after the span by less than the gap: it lengthens the session": [
            *A_THEN_B,
            (Say(149), "tag:A3(late) end:A@149(timeout)#1"),
        ],
        "after the span by exactly the gap": [*A_THEN_B, (Say(150), "tag:A3(late) end:A@150(timeout)#1")],
        "after the span by more than the gap: a session of its own": [
            *A_THEN_B,
            (Say(151), "start:C(late) tag:C1(late) end:C@151(late)"),
        ],
        "before the span by less than the gap": [*A_THEN_B, (Say(-99), "tag:A3(late) end:A@50(timeout)#1")],
        "before the span by exactly the gap": [*A_THEN_B, (Say(-100), "tag:A3(late) end:A@50(timeout)#1")],
        "before the span by more than the gap": [
            *A_THEN_B,
            (Say(-101), "start:C(late) tag:C1(late) end:C@-101(late)"),
        ],
        "what lengthened a session widens it": [
            *A_THEN_B,
            (Say(150), "tag:A3(late) end:A@150(timeout)#1"),
            (Say(250), "tag:A4(late) end:A@250(timeout)#2"),
        ],
        "within the gap before the open session's start is not late": [*A_THEN_B, (Say(400), "tag:B2")],
        "one ms earlier is": [*A_THEN_B, (Say(399), "start:C(late) tag:C1(late) end:C@399(late)")],
        "the open session goes on as if nothing had happened": [
            *A_THEN_B,
            (Say(20), "tag:A3(late) end:A@50(timeout)#1"),
            (Say(600), "tag:B2"),
            (Say(701), "end:B@600(timeout) start:C tag:C1"),
        ],
        "a late session is joined by the next late message": [
            *A_THEN_B,
            (Say(300), "start:C(late) tag:C1(late) end:C@300(late)"),
            (Say(310), "tag:C2(late) end:C@310(late)#1"),
            (Say(210), "tag:C3(late) end:C@310(late)#2"),
        ],
        "of two sessions that could hold it, the one that started last": [
            (Say(0), "start:A tag:A1"),
            (Say(101), "end:A@0(timeout) start:B tag:B1"),
            (Say(400), "end:B@101(timeout) start:C tag:C1"),
            (Say(50), "tag:B2(late) end:B@101(timeout)#1"),
        ],
        "unless the other one's span holds it": [
            (Say(0), "start:A tag:A1"),
            (Say(101), "end:A@0(timeout) start:B tag:B1"),
            (Say(400), "end:B@101(timeout) start:C tag:C1"),
            (Say(0), "tag:A2(late) end:A@0(timeout)#1"),
        ],
        "a closed session has the gap of its template": [
            (Ask(0, "start", template="brief"), "start:A(command)"),
            (Say(500), "end:A@0(timeout) start:B tag:B1"),
            (Say(40), "tag:A1(late) end:A@40(timeout)#1"),
            (Say(81), "start:C(late) tag:C1(late) end:C@81(late)"),
        ],
        "with no session open, older than the last end is late": [
            *A_ENDED,
            (Say(-100), "tag:A2(late) end:A@50(command)#1"),
            (Say(-101), "start:B(late) tag:B1(late) end:B@-101(late)"),
        ],
        "a user's first message is never late": [(Say(-5_000, arrives=0), "start:A tag:A1")],
        "a late message does not make a session longer than the maximum": [
            (Say(0, policy=Policy(gap_ms=2_000)), "start:A tag:A1 policy"),
            (Ask(990, "end"), "end:A@990(command)"),
            (Ask(1_500, "start", template="brief"), "start:B(command)"),
            (Ask(1_500, "end"), "end:B@1500(command)"),
            (Say(1_000), "tag:A2(late) end:A@1000(command)#1"),
            (Say(1_001), "start:C(late) tag:C1(late) end:C@1001(late)"),
        ],
    }
)
def test_r5_late_messages(steps, caused):
    """R5: a late message joins the recent closed session whose span, widened by the gap, holds it, or has its own."""
    assert play(steps) == caused


@scenes(
    {
        "touched exactly a horizon ago": [
            (Say(0), "start:A tag:A1"),
            (Say(700), "end:A@0(timeout) start:B tag:B1"),
            (Say(0), "tag:A2(late) end:A@0(timeout)#1"),
        ],
        "one ms less": [
            (Say(0), "start:A tag:A1"),
            (Say(699), "end:A@0(timeout) start:B tag:B1"),
            (Say(0), "tag:A2(late) end:A@0(timeout)#1"),
        ],
        "one ms more": [
            (Say(0), "start:A tag:A1"),
            (Say(650), "end:A@0(timeout) start:B tag:B1"),
            (Say(701), "tag:B2"),
            (Say(1), "start:C(late) tag:C1(late) end:C@1(late)"),
        ],
        "a message that joins it keeps it within reach": [
            (Say(0), "start:A tag:A1"),
            (Say(650), "end:A@0(timeout) start:B tag:B1"),
            (Say(0), "tag:A2(late) end:A@0(timeout)#1"),
            (Say(750), "tag:B2"),
            (Say(0), "tag:A3(late) end:A@0(timeout)#2"),
        ],
        "with none open, the newest is that of all closed sessions": [
            *A_ENDED,
            (Say(700), "start:B tag:B1"),
            (Ask(751, "end"), "end:B@751(command)"),
            (Say(50), "start:C(late) tag:C1(late) end:C@50(late)"),
        ],
        "a late start too takes away what has gone out of reach": [
            (Say(0), "start:A tag:A1"),
            (Say(650), "end:A@0(timeout) start:B tag:B1"),
            (Say(750), "tag:B2"),
            (Ask(750, "note", session="A"), "reject(already_closed)"),
            (Say(300), "start:C(late) tag:C1(late) end:C@300(late)"),
            (Ask(750, "note", session="A"), "reject(not_found)"),
        ],
        "a start exactly a horizon later leaves it known": [
            (Say(0), "start:A tag:A1"),
            (Ask(0, "end"), "end:A@0(command)"),
            (Ask(650, "start"), "start:B(command)"),
            (Ask(650, "end"), "end:B@650(command)"),
            (Ask(700, "start"), "start:C(command)"),
            (Ask(700, "note", session="A"), "reject(already_closed)"),
        ],
        "a start one ms later does not": [
            (Say(0), "start:A tag:A1"),
            (Ask(0, "end"), "end:A@0(command)"),
            (Ask(650, "start"), "start:B(command)"),
            (Ask(650, "end"), "end:B@650(command)"),
            (Ask(701, "start"), "start:C(command)"),
            (Ask(701, "note", session="A"), "reject(not_found)"),
        ],
        "as far as the next start, a session that has gone out of reach is still known by name": [
            (Say(0), "start:A tag:A1"),
            (Say(650), "end:A@0(timeout) start:B tag:B1"),
            (Say(750), "tag:B2"),
            (Ask(750, "note", session="A"), "reject(already_closed)"),
            (Say(860), "end:B@750(timeout) start:C tag:C1"),
            (Ask(860, "note", session="A"), "reject(not_found)"),
        ],
    }
)
def test_r5_the_late_horizon(steps, caused):
    """R5: a session is found while the user's newest event time is at most the horizon after its last change."""
    assert play(steps) == caused


@scenes(
    {
        "after an explicit end, inside the span": [*A_ENDED, (Say(40), "tag:A2(late) end:A@50(command)#1")],
        "the same ms as the end": [*A_ENDED, (Say(50), "tag:A2(late) end:A@50(command)#1")],
        "one ms later starts a session": [*A_ENDED, (Say(51), "start:B tag:B1")],
        "inside the span, although within the gap before the open session's start": [
            *A_ENDED,
            (Say(60), "start:B tag:B1"),
            (Say(50), "tag:A2(late) end:A@50(command)#1"),
            (Say(51), "tag:B2"),
        ],
        "the span's first ms too": [
            *A_ENDED,
            (Say(60), "start:B tag:B1"),
            (Say(0), "tag:A2(late) end:A@50(command)#1"),
            (Say(-1), "tag:B2"),
        ],
        "the same after a start by force": [
            (Say(0), "start:A tag:A1"),
            (Say(50), "tag:A2"),
            (Ask(60, "start", force_new=True), "end:A@50(superseded) start:B(command)"),
            (Say(50), "tag:A3(late) end:A@50(superseded)#1"),
            (Say(51), "tag:B1"),
        ],
        "a result that claims the ended session": [*A_ENDED, (Say(51, claims="A"), "tag:A2(late) end:A@51(command)#1")],
        "by exactly the gap after its end": [*A_ENDED, (Say(150, claims="A"), "tag:A2(late) end:A@150(command)#1")],
        "later than that it starts a session": [*A_ENDED, (Say(151, claims="A"), "start:B tag:B1(session_mismatch)")],
        "a session that is open by then has it": [
            *A_ENDED,
            (Say(60), "start:B tag:B1"),
            (Say(70, claims="A"), "tag:B2(session_mismatch)"),
        ],
        "between the two sessions the claim decides": [
            *A_ENDED,
            (Say(60), "start:B tag:B1"),
            (Say(55, claims="A"), "tag:A2(late) end:A@55(command)#1"),
            (Say(56), "tag:B2"),
        ],
        "a claim does not go before another session's span": [
            *A_ENDED,
            (Say(60), "start:B tag:B1"),
            (Ask(70, "end"), "end:B@70(command)"),
            (Say(65, claims="A"), "tag:B2(late,session_mismatch) end:B@70(command)#1"),
            (Say(80, claims="A"), "tag:A2(late) end:A@80(command)#1"),
        ],
        "a claim goes before a later session's widened span": [
            *A_ENDED,
            (Say(60), "start:B tag:B1"),
            (Ask(70, "end"), "end:B@70(command)"),
            (Say(59, claims="A"), "tag:A2(late) end:A@59(command)#1"),
            (Say(59, claims="B"), "tag:A3(late,session_mismatch) end:A@59(command)#2"),
            (Say(-1), "tag:B2(late) end:B@70(command)#1"),
        ],
        "claims do not make a session longer than the maximum": [
            *A_ENDED,
            *[
                (Say(at, claims="A"), f"tag:A{n + 2}(late) end:A@{at}(command)#{n + 1}")
                for n, at in enumerate(range(100, 1_001, 100))
            ],
            (Say(1_001, claims="A"), "start:B tag:B1(session_mismatch)"),
        ],
    }
)
def test_adr_0002_spans_and_claims(steps, caused):
    """R5 and R9 (ADR 0002): a closed session keeps what lies in its span, and what claims it just after its end."""
    assert play(steps) == caused


def _a_session_every_25_ms(count: int) -> Table:
    letters = "ABCDEFGHIJ"
    first: Table = [(Say(0), "start:A tag:A1")]
    others: Table = [
        (Say(n * 25), f"end:{letters[n - 1]}@{n * 25 - 25}(timeout) start:{letters[n]} tag:{letters[n]}1")
        for n in range(1, count)
    ]
    return first + others


@scenes(
    {
        "with eight closed sessions the first is within reach": [
            *_a_session_every_25_ms(9),
            (Say(0), "tag:A2(late) end:A@0(timeout)#1"),
        ],
        "the ninth puts the first out of reach": [
            *_a_session_every_25_ms(10),
            (Say(0), "start:K(late) tag:K1(late) end:K@0(late)"),
        ],
        "what a late message joined stays for longer": [
            *_a_session_every_25_ms(9),
            (Say(0), "tag:A2(late) end:A@0(timeout)#1"),
            (Say(225), "end:I@200(timeout) start:J tag:J1"),
            (Say(25), "start:K(late) tag:K1(late) end:K@25(late)"),
            (Say(0), "tag:A3(late) end:A@0(timeout)#2"),
        ],
        "late sessions take places too, the newcomer always has one": [
            *_a_session_every_25_ms(9),
            (Say(-100), "start:J(late) tag:J1(late) end:J@-100(late)"),
            (Say(-100), "tag:J2(late) end:J@-100(late)#1"),
            (Say(0), "start:K(late) tag:K1(late) end:K@0(late)"),
        ],
    }
)
def test_r5_eight_sessions_are_within_reach(steps, caused):
    """R5: of the closed sessions the `RECENT_SESSIONS_MAX` touched last can be joined."""
    assert RECENT_SESSIONS_MAX == 8
    assert play(steps, replace(RULES, gap_ms=20)) == caused


@scenes(
    {
        "it joins the open session": [(Say(0), "start:A tag:A1"), (Say(100, source=PASSIVE), "tag:A2")],
        "it does not prolong it": [
            (Say(0), "start:A tag:A1"),
            (Say(100, source=PASSIVE), "tag:A2"),
            (Say(101), "end:A@0(timeout) start:B tag:B1"),
        ],
        "it never starts one": [
            (Say(0, source=PASSIVE), "tag:-(no_session)"),
            (Say(1), "start:A tag:A1"),
        ],
        "one ms after the gap it has no session": [
            (Say(0), "start:A tag:A1"),
            (Say(101, source=PASSIVE), "tag:-(no_session)"),
            (Say(100), "tag:A2"),
        ],
        "its claim is a mismatch then": [
            (Say(0), "start:A tag:A1"),
            (Say(101, source=PASSIVE, claims="A"), "tag:-(session_mismatch,no_session)"),
        ],
        "it joins a recent session within the gap after its end": [
            *A_ENDED,
            (Say(150, source=PASSIVE), "tag:A2(late) end:A@50(command)#1"),
            (Say(151, source=PASSIVE), "tag:-(no_session)"),
        ],
        "it does not lengthen a recent session either": [
            *A_THEN_B,
            (Say(100, source=PASSIVE), "tag:A3(late) end:A@50(timeout)#1"),
        ],
        "late, with no session to join": [
            *A_THEN_B,
            (Say(151, source=PASSIVE), "tag:-(late,no_session)"),
            (Say(-101, source=PASSIVE), "tag:-(late,no_session)"),
        ],
        "late, with none open": [*A_ENDED, (Say(-101, source=PASSIVE), "tag:-(late,no_session)")],
        "the maximum does not matter to it": [
            *[(Say(at), "start:A tag:A1" if not at else f"tag:A{at // 100 + 1}") for at in range(0, 1_001, 100)],
            (Say(1_001, source=PASSIVE), "tag:A12"),
            (Ask(1_000, "end"), "end:A@1000(command)"),
            (Say(1_100, source=PASSIVE), "tag:A13(late) end:A@1000(command)#1"),
        ],
        "while paused": [
            (Say(0), "start:A tag:A1"),
            (Ask(0, "pause"), "pause:A@0"),
            (Say(300, source=PASSIVE), "tag:A2(while_paused)"),
            (Say(301, source=PASSIVE), "tag:-(no_session)"),
        ],
    }
)
def test_r15_passive_sources(steps, caused):
    """R15: a passive source's message never opens or prolongs a session."""
    assert play(steps) == caused
