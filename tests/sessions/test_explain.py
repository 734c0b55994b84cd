"""Explanations name the rule, the numbers and the record behind what the real processor decided."""

import json
from typing import Any

import pytest

from processor.codec.isotime import format_time
from processor.core.model import Flag, Policy, Rules
from processor.sessions.forms.explain import Known, explain, limits_for
from processor.sessions.forms.shapes import Explanation
from processor.sessions.model import SessionView
from processor.sessions.ports import SESSIONS, TAGGED
from processor.sessions.projection.decoding import decode_part
from processor.sessions.projection.feed import OutputRecord
from processor.sessions.summary import SessionFold, new_session
from processor.upstream.words import Said, filled
from tests.sessions.outputs import CODEC, START_MS
from tests.view.stage import Log

MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
RULES = Rules(templates={"therapy": Policy(gap_ms=20 * MINUTE_MS)})


def message(minute: float, of: float | None = None, **fields: Any) -> bytes:
    """Return a message that comes in a minute, and is of another one if `of` says so."""
    at_ms = START_MS + int((minute if of is None else of) * MINUTE_MS)
    spine = {
        "schema_version": "1.0.1",
        "record_id": f"00000000-0000-4000-8000-{int(minute * 1000):012d}",
        "user_id": "ann",
        "timestamp": format_time(at_ms),
        "source": "ui",
    }
    return json.dumps({**spine, **fields}).encode()


def command(minute: float, word: str, **fields: Any) -> bytes:
    return message(minute, command=word, performer_id="carer", **fields)


def explained(values: list[bytes], *, quiet_minute: float | None = None) -> list[Explanation]:
    """Return what is explained of the first session that the processor makes of `values`."""
    log = Log(rules=RULES)
    taken = [each for value in values for each in log.process(value)]
    if quiet_minute is not None:
        taken += log.pass_time(int(quiet_minute * MINUTE_MS))
    part = decode_part(
        CODEC,
        [
            OutputRecord(kind, record.partition, record.offset, record.timestamp_ms, record.value)
            for kind, record in taken
            if kind in (TAGGED, SESSIONS)
        ],
    )
    session_id = next(event.row.session_id for event in part.events)
    assert session_id is not None
    fold = SessionFold(new_session(session_id, "ann", 0, START_MS))
    events = [event for event in part.events if event.row.session_id == session_id]
    for event in events:
        fold.add_event(event.view)
    rows = [each.row for each in part.messages if each.row.session_id == session_id]
    view = SessionView(fold.row(), lambda: iter(rows), lambda: iter([event.row for event in events]))
    known = Known(
        limits_for(view.session.template, None, RULES),
        RULES.skew_ms,
        {TAGGED: "a3cp.tagged", SESSIONS: "a3cp.sessions"},
        lambda row: CODEC.reasons(CODEC.untag(row.value or b"")[1]),
    )
    told = list(explain(view, known))
    for each in told:  # The words are those of the phrase, and other languages have it too.
        assert filled(Said(each.phrase, each.values)) == each.words != filled(Said(each.phrase, each.values), "de")
    return told


def told(explanations: list[Explanation]) -> list[tuple[str, str, str | None]]:
    return [(each.what, each.rule, each.flag) for each in explanations]


ENDS = [
    (
        "a silence ends a session at its last activity",
        [message(0), message(10), message(90)],
        "R3",
        {"silence_ms": 80 * MINUTE_MS, "gap_ms": HOUR_MS},
        "Ended at its last activity. The silence had lasted 1 h 20 min, and it may last 1 h 0 min (settings).",
    ),
    (
        "a template has a gap of its own",
        [command(0, "start", template="therapy"), message(1), message(21.5)],
        "R3",
        {"silence_ms": int(20.5 * MINUTE_MS), "gap_ms": 20 * MINUTE_MS},
        "Ended at its last activity. The silence had lasted 20 min 30 s, and it may last 20 min (template therapy).",
    ),
    (
        "a pause ends when nobody resumes",
        [command(0, "start"), command(1, "pause"), message(25 * 60)],
        "R8",
        {"pause_ms": 1499 * MINUTE_MS, "pause_max_ms": 24 * HOUR_MS},
        "Ended at its last activity. The pause had lasted 24 h 59 min, and it may last 24 h 0 min (settings).",
    ),
    (
        "a session may last so long",
        [message(minute) for minute in range(0, 1500, 50)],
        "R2",
        {"length_ms": 1450 * MINUTE_MS, "max_session_ms": 24 * HOUR_MS},
        (
            "It ended at its last activity: with what came next it would have lasted 24 h 10 min, "
            "and it may last 24 h 0 min (settings)."
        ),
    ),
    ("a command ends it", [message(0), command(1, "end")], "R7", {}, "Ended by a command of carer."),
    (
        "a start that wants a new one ends it",
        [message(0), command(1, "start", force_new=True)],
        "R7",
        {},
        "Ended at its last activity, since a command asked for a new session.",
    ),
]


@pytest.mark.parametrize(("title", "values", "rule", "numbers", "words"), ENDS, ids=[row[0] for row in ENDS])
def test_an_end_is_explained(title: str, values: list[bytes], rule: str, numbers: dict[str, int], words: str) -> None:
    """Each reason has its rule, its numbers and a sentence."""
    (end,) = [each for each in explained(values) if each.what == "ended"]
    assert (end.rule, end.numbers, end.words) == (rule, numbers, words)
    assert end.record.position.startswith("a3cp.sessions[")


def test_an_end_of_the_clock_that_is_taken_back_and_told_again_is_explained() -> None:
    """What the clock announced, a message within the gap takes back (R4); then silence ends it anew."""
    log = [message(0)]
    first = explained(log, quiet_minute=70)
    assert told(first) == [("started", "R1", None), ("ended", "R3", None)]
    assert first[1].numbers == {"silence_ms": 70 * MINUTE_MS, "gap_ms": HOUR_MS}


def test_a_late_message_is_explained_with_the_end_that_it_changes() -> None:
    """It belongs where its own time says, and the end is told again."""
    found = explained([message(0), message(120), message(121, of=40)])
    assert told(found) == [
        ("started", "R1", None),
        ("ended", "R3", None),
        ("ended", "R5", None),
        ("message", "R5", "late"),
    ]
    assert found[2].numbers == {"revision": 1, "messages": 2}
    assert found[3].seq == 2


FLAGS = [
    ("duplicate", "R11", [message(0), message(0)], {"first_seq": 1}),
    ("while_paused", "R8", [message(0), command(1, "pause"), message(2)], {}),
    ("session_mismatch", "R9", [message(0, session_id="sess_other")], {}),
    ("nonconforming", "R16", [message(0, schema_version=None)], {}),
]


@pytest.mark.parametrize(("flag", "rule", "values", "numbers"), FLAGS, ids=[row[0] for row in FLAGS])
def test_a_flag_is_explained(flag: str, rule: str, values: list[bytes], numbers: dict[str, int]) -> None:
    """Each flag of a tag has its rule."""
    (found,) = [each for each in explained(values) if each.what == "message"]
    assert (found.rule, found.flag, found.numbers) == (rule, flag, numbers)
    assert found.record.position.startswith("a3cp.tagged[")


def test_a_clock_that_was_ahead_is_explained() -> None:
    """By how much it was ahead, and how much is believed."""
    taken = Log(rules=RULES).process(message(0))
    part = decode_part(CODEC, [OutputRecord(k, r.partition, r.offset, 0, r.value) for k, r in taken if k == TAGGED])
    row = part.messages[0].row
    ahead = row._replace(timestamp_ms=row.append_ms + 400_000, notices=Flag.CLOCK_SKEW)
    view = SessionView(new_session("s", "ann", 0, START_MS), lambda: iter([ahead]), lambda: iter(()))
    known = Known(limits_for(None, None, RULES), RULES.skew_ms, {TAGGED: "t", SESSIONS: "s"})
    (found,) = explain(view, known)
    assert (found.rule, found.flag) == ("R10", "clock_skew")
    assert found.numbers == {"ahead_ms": 400_000, "skew_ms": 300_000}
    assert found.words.startswith("Its time was 6 min 40 s ahead; more than 5 min is not believed.")


def test_what_a_nonconforming_message_lacks_is_said() -> None:
    """In plain words."""
    (found,) = [each for each in explained([message(0, schema_version=None)]) if each.what == "message"]
    assert found.words.endswith("it does not say which version of A3CP it follows.")


def test_commands_that_changed_nothing_are_explained() -> None:
    """Who asks why nothing happened reads it here; notes are no decision of a rule."""
    values = [command(0, "start"), command(1, "start"), command(2, "note", session_notes="well"), command(3, "resume")]
    assert [(each.what, each.words) for each in explained(values)][1:] == [
        ("unchanged", "A command changed nothing: the session was already running."),
        ("unchanged", "A command changed nothing: the session was not paused."),
    ]


def test_other_limits_than_those_known_now_are_not_claimed() -> None:
    """A session that ended earlier than the limits of today allow had others; then no limit is named."""
    shorter = RULES
    values = [command(0, "start", template="therapy"), message(1), message(30)]
    log = Log(rules=shorter)
    taken = [each for value in values for each in log.process(value)]
    part = decode_part(
        CODEC, [OutputRecord(k, r.partition, r.offset, r.timestamp_ms, r.value) for k, r in taken if k == SESSIONS]
    )
    ended = next(event for event in part.events if event.row.kind == "ended")
    view = SessionView(new_session("s", "ann", 0, START_MS), lambda: iter(()), lambda: iter([ended.row]))
    (found,) = explain(view, Known(limits_for(None, None, RULES), 0, {TAGGED: "t", SESSIONS: "s"}))
    assert found.words == "Ended at its last activity, after a silence of 29 min."


def test_whose_limits_hold_is_said() -> None:
    """Template first, then the user's own, then the settings."""
    own = Policy(gap_ms=5, pause_ms=6)
    found = limits_for("therapy", own, RULES)
    assert [limit[1:] for limit in found] == [(None, "therapy"), ("settings", None), ("own", None)]
