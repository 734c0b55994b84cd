"""What people and modules ask for: rules R7 and R8. Gap 100 ms, pause time-out 300 ms."""

from processor.core.ids import session_id
from processor.core.model import IdFormat, Policy
from tests.core.playing import EPOCH_MS, RULES, USER, Ask, Say, Tick, play, scenes

OF_ANOTHER = session_id("otto", EPOCH_MS, "r1", IdFormat.DATED)
OF_OURS = session_id(USER, EPOCH_MS, "never seen", IdFormat.DATED)


@scenes(
    {
        "it opens a session": [(Ask(0, "start"), "start:A(command)"), (Say(100), "tag:A1")],
        "the gap counts from it": [
            (Ask(0, "start"), "start:A(command)"),
            (Say(101), "end:A@0(timeout) start:B tag:B1"),
        ],
        "it changes nothing while a session is open": [
            (Say(0), "start:A tag:A1"),
            (Ask(100, "start"), "unchanged:A(already_active)"),
            (Ask(200, "start"), "unchanged:A(already_active)"),
            (Ask(301, "start"), "end:A@200(timeout) start:B(command)"),
        ],
        "while paused neither": [
            (Ask(0, "start"), "start:A(command)"),
            (Ask(0, "pause"), "pause:A@0"),
            (Ask(300, "start"), "unchanged:A(already_active)"),
            (Ask(301, "start"), "end:A@300(pause_timeout) start:B(command)"),
        ],
        "by force it opens another": [
            (Say(0), "start:A tag:A1"),
            (Ask(50, "start", force_new=True), "end:A@0(superseded) start:B(command)"),
            (Say(60), "tag:B1"),
        ],
        "by force, with no session open": [(Ask(0, "start", force_new=True), "start:A(command)")],
        "by force, out of a pause": [
            (Say(0), "start:A tag:A1"),
            (Ask(10, "pause"), "pause:A@10"),
            (Ask(50, "start", force_new=True), "end:A@10(superseded) start:B(command)"),
            (Say(60), "tag:B1"),
        ],
        "an old one by force starts where the other ended": [
            (Say(0), "start:A tag:A1"),
            (Say(50), "tag:A2"),
            (Ask(20, "start", force_new=True), "end:A@50(superseded) start:B(command)"),
            (Say(49), "tag:A3(late) end:A@50(superseded)#1"),
            (Say(50), "tag:B1"),
        ],
        "an old one with none open starts where the last ended": [
            (Say(0), "start:A tag:A1"),
            (Ask(50, "end"), "end:A@50(command)"),
            (Ask(20, "start"), "start:B(command)"),
            (Say(49), "tag:A2(late) end:A@50(command)#1"),
            (Say(150), "tag:B1"),
        ],
        "an old one with an old session open changes nothing": [
            (Say(0), "start:A tag:A1"),
            (Ask(-5_000, "start"), "unchanged:A(already_active)"),
            (Say(100), "tag:A2"),
        ],
        "a user's first record may be old": [
            (Ask(-5_000, "start", arrives=0), "start:A(command)"),
            (Tick(10), "end:A@-5000(timeout)"),
        ],
        "sent again, it starts nothing again": [
            (Ask(0, "start", force_new=True, content="x"), "start:A(command)"),
            (Ask(0, "start", force_new=True, content="x"), "unchanged:A(duplicate)"),
            (Ask(10, "end"), "end:A@10(command)"),
            (Ask(0, "start", force_new=True, content="x"), "reject(already_closed)"),
        ],
        "sent again by a clock that is ahead, when its session is over": [
            (Ask(9_000, "start", arrives=0, content="x"), "start:A(command)"),
            (Ask(9_000, "start", arrives=101, content="x"), "end:A@0(timeout) reject(already_closed)"),
            (Say(102), "start:B tag:B1"),
        ],
        "the session that it names does not matter": [
            (Ask(0, "start", session="nobody's"), "start:A(command)"),
            (Ask(0, "start", session="nobody's"), "unchanged:A(already_active)"),
        ],
    }
)
def test_r7_start(steps, caused):
    """R7: `start` opens a session unless one is open; with `force_new` it always does."""
    assert play(steps) == caused


@scenes(
    {
        "it ends the session when it comes": [(Say(0), "start:A tag:A1"), (Ask(50, "end"), "end:A@50(command)")],
        "an old one ends it at its last activity": [
            (Say(0), "start:A tag:A1"),
            (Say(50), "tag:A2"),
            (Ask(20, "end"), "end:A@50(command)"),
        ],
        "at exactly the gap": [(Say(0), "start:A tag:A1"), (Ask(100, "end"), "end:A@100(command)")],
        "one ms later there is nothing to end": [
            (Say(0), "start:A tag:A1"),
            (Ask(101, "end"), "end:A@0(timeout) reject(not_found)"),
        ],
        "one ms later, by name": [
            (Say(0), "start:A tag:A1"),
            (Ask(101, "end", session="A"), "end:A@0(timeout) reject(already_closed)"),
        ],
        "by name": [(Say(0), "start:A tag:A1"), (Ask(50, "end", session="A"), "end:A@50(command)")],
        "a session without messages": [
            (Ask(0, "start"), "start:A(command)"),
            (Ask(0, "end"), "end:A@0(command)"),
        ],
        "a paused session": [
            (Say(0), "start:A tag:A1"),
            (Ask(10, "pause"), "pause:A@10"),
            (Ask(310, "end"), "end:A@310(command)"),
        ],
        "sent again, it does not end the next session": [
            (Say(0), "start:A tag:A1"),
            (Ask(50, "end", content="x"), "end:A@50(command)"),
            (Ask(50, "end", content="x"), "reject(not_found)"),
            (Say(60), "start:B tag:B1"),
            (Ask(50, "end", content="x"), "unchanged:B(duplicate)"),
        ],
        "sent again by name": [
            (Say(0), "start:A tag:A1"),
            (Ask(50, "end", session="A", content="x"), "end:A@50(command)"),
            (Say(60), "start:B tag:B1"),
            (Ask(50, "end", session="A", content="x"), "reject(already_closed)"),
        ],
        "beyond the maximum": [
            *[(Say(at), "start:A tag:A1" if not at else f"tag:A{at // 100 + 1}") for at in range(0, 1_001, 100)],
            (Ask(1_100, "end"), "end:A@1100(command)"),
        ],
    }
)
def test_r7_end(steps, caused):
    """R7: `end` ends the open session, or the named one if that is open."""
    assert play(steps) == caused


@scenes(
    {
        "note, context, step, status and tag are told and prolong": [
            (Say(0), "start:A tag:A1"),
            (Ask(100, "note"), "note:A"),
            (Ask(200, "context"), "context:A"),
            (Ask(300, "step"), "step:A"),
            (Ask(400, "status"), "status:A"),
            (Ask(500, "tag"), "tag:A"),
            (Say(600), "tag:A2"),
        ],
        "touch prolongs, and that is all": [
            (Say(0), "start:A tag:A1"),
            (Ask(100, "touch"), "unchanged:A(touched)"),
            (Ask(150, "pause"), "pause:A@150"),
            (Ask(200, "touch"), "unchanged:A(touched)"),
            (Ask(300, "resume"), "resume:A(after 150)"),
            (Tick(401), "end:A@300(timeout)"),
            (Ask(400, "touch"), "reopen:A unchanged:A(touched)"),
            (Ask(501, "touch"), "end:A@400(timeout)#1 reject(not_found)"),
        ],
        "an old note does not": [
            (Say(0), "start:A tag:A1"),
            (Ask(-50, "note"), "note:A"),
            (Say(101), "end:A@0(timeout) start:B tag:B1"),
        ],
        "a note sent again is told once": [
            (Say(0), "start:A tag:A1"),
            (Ask(10, "note", content="x"), "note:A"),
            (Ask(10, "note", content="x"), "unchanged:A(duplicate)"),
        ],
        "a clock that is ahead counts as the time of arrival": [
            (Say(0), "start:A tag:A1"),
            (Ask(121, "note", arrives=100), "note:A"),
            (Say(200), "tag:A2"),
        ],
        "as far as the skew allows it counts as it is": [
            (Say(0), "start:A tag:A1"),
            (Ask(120, "note", arrives=100), "end:A@0(timeout) reject(not_found)"),
        ],
    }
)
def test_r7_notes(steps, caused):
    """R7: a note is an event of the open session."""
    assert play(steps) == caused


@scenes(
    {
        "a user without sessions": [(Ask(0, "end"), "reject(not_found)")],
        "a user without sessions, by name": [(Ask(0, "end", session="sess_x"), "reject(not_found)")],
        "a session that never was": [
            (Say(0), "start:A tag:A1"),
            (Ask(1, "end", session="sess_x"), "reject(not_found)"),
        ],
        "one that may have been": [(Say(0), "start:A tag:A1"), (Ask(1, "end", session=OF_OURS), "reject(not_found)")],
        "another user's": [(Say(0), "start:A tag:A1"), (Ask(1, "end", session=OF_ANOTHER), "reject(user_mismatch)")],
        "another user's, with no memory at all": [(Ask(1, "end", session=OF_ANOTHER), "reject(user_mismatch)")],
        "a closed one": [
            (Say(0), "start:A tag:A1"),
            (Say(200), "end:A@0(timeout) start:B tag:B1"),
            (Ask(201, "note", session="A"), "reject(already_closed)"),
            (Say(300), "tag:B2"),
        ],
        "a closed one, with none open": [
            (Say(0), "start:A tag:A1"),
            (Ask(1, "end"), "end:A@1(command)"),
            (Ask(2, "resume", session="A"), "reject(already_closed)"),
        ],
        "a rejected command does not prolong": [
            (Say(0), "start:A tag:A1"),
            (Ask(100, "note", session="sess_x"), "reject(not_found)"),
            (Say(101), "end:A@0(timeout) start:B tag:B1"),
        ],
        "a closed session, named when the current one is over too": [
            (Say(0), "start:A tag:A1"),
            (Say(200), "end:A@0(timeout) start:B tag:B1"),
            (Ask(301, "note", session="A"), "end:B@200(timeout) reject(already_closed)"),
        ],
    }
)
def test_r7_rejections(steps, caused):
    """R7: a command that names a session which is not the open one changes nothing, and says why."""
    assert play(steps) == caused


@scenes(
    {
        "messages are tagged": [
            (Say(0), "start:A tag:A1"),
            (Ask(50, "pause"), "pause:A@50"),
            (Say(60), "tag:A2(while_paused)"),
            (Ask(100, "resume"), "resume:A(after 50)"),
            (Say(110), "tag:A3"),
        ],
        "a message from before the pause is not flagged": [
            (Say(0), "start:A tag:A1"),
            (Ask(50, "pause"), "pause:A@50"),
            (Say(49), "tag:A2"),
            (Say(50), "tag:A3(while_paused)"),
            (Say(-100), "tag:A4"),
        ],
        "a late one goes its own way": [
            (Say(0), "start:A tag:A1"),
            (Ask(50, "pause"), "pause:A@50"),
            (Say(-101), "start:B(late) tag:B1(late) end:B@-101(late)"),
        ],
        "the gap does not matter meanwhile": [
            (Say(0), "start:A tag:A1"),
            (Ask(0, "pause"), "pause:A@0"),
            (Say(299), "tag:A2(while_paused)"),
            (Say(300), "tag:A3(while_paused)"),
        ],
        "the pause times out, messages or not": [
            (Say(0), "start:A tag:A1"),
            (Ask(0, "pause"), "pause:A@0"),
            (Say(300), "tag:A2(while_paused)"),
            (Say(301), "end:A@300(pause_timeout) start:B tag:B1"),
        ],
        "exactly the time-out can be resumed": [
            (Say(0), "start:A tag:A1"),
            (Ask(0, "pause"), "pause:A@0"),
            (Ask(300, "resume"), "resume:A(after 300)"),
            (Say(400), "tag:A2"),
        ],
        "one ms more cannot": [
            (Say(0), "start:A tag:A1"),
            (Ask(0, "pause"), "pause:A@0"),
            (Ask(301, "resume"), "end:A@0(pause_timeout) reject(not_found)"),
        ],
        "after the resume the gap counts again": [
            (Say(0), "start:A tag:A1"),
            (Ask(0, "pause"), "pause:A@0"),
            (Ask(200, "resume"), "resume:A(after 200)"),
            (Say(301), "end:A@200(timeout) start:B tag:B1"),
        ],
        "an old pause begins at the last activity": [
            (Say(0), "start:A tag:A1"),
            (Say(90), "tag:A2"),
            (Ask(10, "pause"), "pause:A@90"),
            (Ask(20, "resume"), "resume:A(after 0)"),
        ],
        "what has nothing to do": [
            (Say(0), "start:A tag:A1"),
            (Ask(10, "resume"), "unchanged:A(not_paused)"),
            (Ask(20, "pause"), "pause:A@20"),
            (Ask(30, "pause"), "unchanged:A(already_paused)"),
            (Ask(320, "resume"), "resume:A(after 300)"),
        ],
        "a pause sent again does not pause again": [
            (Say(0), "start:A tag:A1"),
            (Ask(10, "pause", content="x"), "pause:A@10"),
            (Ask(20, "resume"), "resume:A(after 10)"),
            (Ask(10, "pause", content="x"), "unchanged:A(duplicate)"),
            (Say(30), "tag:A2"),
        ],
        "the maximum holds while paused": [
            (Say(0, policy=Policy(pause_ms=2_000)), "start:A tag:A1 policy"),
            (Ask(0, "pause"), "pause:A@0"),
            (Say(1_000), "tag:A2(while_paused)"),
            (Say(1_001), "end:A@1000(max_duration) start:B tag:B1"),
            (Say(1_002), "tag:B2"),
        ],
        "a shorter time-out cuts nothing off that lies inside": [
            (Say(0), "start:A tag:A1"),
            (Ask(0, "pause"), "pause:A@0"),
            (Say(200, policy=Policy(pause_ms=50)), "tag:A2(while_paused) policy"),
            (Say(60), "tag:A3(while_paused)"),
            (Tick(200), ""),
            (Say(200), "tag:A4(while_paused)"),
            (Say(201), "end:A@200(pause_timeout) start:B tag:B1"),
        ],
        "late messages join a session that ended paused": [
            (Say(0), "start:A tag:A1"),
            (Ask(10, "pause"), "pause:A@10"),
            (Say(400), "end:A@10(pause_timeout) start:B tag:B1"),
            (Say(110), "tag:A2(late) end:A@110(pause_timeout)#1"),
        ],
    }
)
def test_r8_pauses(steps, caused):
    """R8: a paused session takes messages, has its own time-out, and leaves the gap alone."""
    assert play(steps) == caused


def test_r7_an_unknown_session_with_a_short_id():
    """R7: a short id does not tell whose it is, so it is just not found (ADR 0003)."""
    short = session_id("otto", EPOCH_MS, "r1", IdFormat.SHORT)
    assert play([Ask(0, "note", session=short)], RULES) == ["reject(not_found)"]
