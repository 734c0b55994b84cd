"""What a tag says: rules R9, R10, R11, R12 and what the core carries of R16."""

from hashlib import sha256

import pytest

from processor.core.memory import has_seen
from processor.core.model import RECENT_RECORDS_MAX, Ended, Flag, Policy, Rules, Tagged, UserState, flag_words
from tests.core.playing import Ask, Say, Scene, Tick, play, scenes


@scenes(
    {
        "right": [(Say(0), "start:A tag:A1"), (Say(1, claims="A"), "tag:A2")],
        "unknown": [(Say(0), "start:A tag:A1"), (Say(1, claims="sess_x"), "tag:A2(session_mismatch)")],
        "unknown on the first message": [(Say(0, claims="sess_x"), "start:A tag:A1(session_mismatch)")],
        "the session before": [
            (Say(0), "start:A tag:A1"),
            (Say(101, claims="A"), "end:A@0(timeout) start:B tag:B1(session_mismatch)"),
            (Say(102, claims="A"), "tag:B2(session_mismatch)"),
        ],
        "right about a closed one": [
            (Say(0), "start:A tag:A1"),
            (Say(300), "end:A@0(timeout) start:B tag:B1"),
            (Say(10, claims="A"), "tag:A2(late) end:A@10(timeout)#1"),
        ],
        "wrong about a closed one": [
            (Say(0), "start:A tag:A1"),
            (Say(300), "end:A@0(timeout) start:B tag:B1"),
            (Say(10, claims="B"), "tag:A2(late,session_mismatch) end:A@10(timeout)#1"),
        ],
    }
)
def test_r9_claims(steps, caused):
    """R9: a claim that is right is kept, one that is not is flagged."""
    assert play(steps) == caused


@scenes(
    {
        "one ms less than the skew": [
            (Say(0), "start:A tag:A1"),
            (Say(119, arrives=100), "end:A@0(timeout) start:B tag:B1"),
        ],
        "exactly the skew is believed": [
            (Say(0), "start:A tag:A1"),
            (Say(120, arrives=100), "end:A@0(timeout) start:B tag:B1"),
        ],
        "a user's first message, exactly the skew": [(Say(120, arrives=100), "start:A tag:A1")],
        "a user's first message, one ms more": [(Say(121, arrives=100), "start:A tag:A1(clock_skew)")],
        "one ms more counts as the time of arrival": [
            (Say(0), "start:A tag:A1"),
            (Say(121, arrives=100), "tag:A2(clock_skew)"),
            (Say(200), "tag:A3"),
            (Say(301), "end:A@200(timeout) start:B tag:B1"),
        ],
        "the year 9999 does not block its user": [
            (Say(253_402_300_799_999 - 1_800_000_000_000, arrives=0), "start:A tag:A1(clock_skew)"),
            (Say(100), "tag:A2"),
            (Say(201), "end:A@100(timeout) start:B tag:B1"),
        ],
        "epoch 0 is just old": [
            (Say(0), "start:A tag:A1"),
            (Say(-1_800_000_000_000), "start:B(late) tag:B1(late) end:B@-1800000000000(late)"),
            (Say(100), "tag:A2"),
        ],
        "epoch 0 first": [
            (Say(-1_800_000_000_000, arrives=0), "start:A tag:A1"),
            (Say(0), "end:A@-1800000000000(timeout) start:B tag:B1"),
            (Say(-1_800_000_000_000), "start:C(late) tag:C1(late) end:C@-1800000000000(late)"),
        ],
    }
)
def test_r10_clock_skew(steps, caused):
    """R10: event time further ahead of the append time than the skew counts as the append time."""
    assert play(steps) == caused


@scenes(
    {
        "the same content": [
            (Say(0, content="x"), "start:A tag:A1"),
            (Say(0, content="x"), "tag:A2(duplicate)"),
            (Say(0, content="x"), "tag:A3(duplicate)"),
        ],
        "the same record_id alone proves nothing": [
            (Say(0, record_id="r"), "start:A tag:A1"),
            (Say(0, record_id="r"), "tag:A2"),
        ],
        "in the next session": [
            (Say(0, content="x"), "start:A tag:A1"),
            (Say(200, content="x"), "end:A@0(timeout) start:B tag:B1(duplicate)"),
        ],
        "late": [
            (Say(0, content="x"), "start:A tag:A1"),
            (Say(200), "end:A@0(timeout) start:B tag:B1"),
            (Say(0, content="x"), "tag:A2(duplicate,late) end:A@0(timeout)#1"),
        ],
        "with 31 other records in between": [
            (Say(0, content="x"), "start:A tag:A1"),
            *[(Say(0), f"tag:A{n}") for n in range(2, RECENT_RECORDS_MAX + 1)],
            (Say(0, content="x"), f"tag:A{RECENT_RECORDS_MAX + 1}(duplicate)"),
        ],
        "with 32 it is not recognised": [
            (Say(0, content="x"), "start:A tag:A1"),
            *[(Say(0), f"tag:A{n}") for n in range(2, RECENT_RECORDS_MAX + 2)],
            (Say(0, content="x"), f"tag:A{RECENT_RECORDS_MAX + 2}"),
        ],
        "commands are records too": [
            (Say(0, content="x"), "start:A tag:A1"),
            *[(Ask(0, "note"), "note:A") for _ in range(RECENT_RECORDS_MAX)],
            (Say(0, content="x"), "tag:A2"),
        ],
        "every message is numbered, in each session from 1": [
            (Say(0), "start:A tag:A1"),
            (Say(1), "tag:A2"),
            (Say(200), "end:A@1(timeout) start:B tag:B1"),
            (Say(0), "tag:A3(late) end:A@1(timeout)#1"),
            (Say(201), "tag:B2"),
        ],
    }
)
def test_r11_numbers_and_repeats(steps, caused):
    """R11: each message has its number in its session; a repeat is flagged and numbered too (ADR 0005)."""
    assert play(steps) == caused


@pytest.mark.parametrize(
    ("recent", "seen"),
    [
        (b"", False),
        (b"12345678", True),
        (b"abcdefgh12345678", True),
        (b"x12345678yyyyyyy", False),
        (b"x12345678yyyyyyy12345678", True),
        (b"1111111111111111", False),
    ],
)
def test_r11_fingerprints_are_compared_whole(recent, seen):
    """R11: a fingerprint that only straddles two others is none."""
    assert has_seen(recent, b"12345678" + bytes(24)) is seen


def test_r11_a_whole_fingerprint_right_after_a_straddling_one():
    """R11: fingerprints of equal bytes match in many places; the whole one counts."""
    assert has_seen(b"0000000111111111", b"1" * 32)


@scenes(
    {
        "the codec's flag is kept": [
            (Say(0, flags=Flag.NONCONFORMING), "start:A tag:A1(nonconforming)"),
            (Say(0, flags=Flag.NONCONFORMING, claims="sess_x"), "tag:A2(nonconforming,session_mismatch)"),
            (Say(300, flags=Flag.NONCONFORMING), "end:A@0(timeout) start:B tag:B1(nonconforming)"),
            (Say(0, flags=Flag.NONCONFORMING), "tag:A3(nonconforming,late) end:A@0(timeout)#1"),
        ],
        "a record without an id is tagged": [
            (Say(0, record_id=""), "start:A tag:A1"),
            (Say(0, record_id=""), "tag:A2"),
        ],
    }
)
def test_r16_nonconforming_messages_are_tagged(steps, caused):
    """R16: what the codec found odd is flagged beside the core's own findings."""
    assert play(steps) == caused


def test_flag_words_follow_the_bits():
    """Each flag has its word, in the order of the bits."""
    assert [flag_words(1 << bit) for bit in range(len(Flag.WORDS))] == [(word,) for word in Flag.WORDS]
    assert flag_words(Flag.LATE | Flag.NONCONFORMING | Flag.NO_SESSION) == ("nonconforming", "late", "no_session")
    assert flag_words(0) == ()


def test_r12_the_end_proves_the_session():
    """R12: an end event has the count, and the digest chained over the content hashes from the session's id on."""
    scene = Scene()
    for incoming in (
        Say(0, content="a"),
        Say(1, content="b"),
        Ask(2, "note"),
        Tick(103),
        Say(2, content="c"),
        Tick(900),
    ):
        scene.play(incoming)
    ends = [event for event in scene.events if isinstance(event, Ended)]
    digest = sha256(ends[0].session_id.encode()).digest()
    expected = []
    for count, content in enumerate((b"a", b"b", b"c"), start=1):
        digest = sha256(digest + sha256(content).digest()).digest()
        expected.append((count, digest))
    assert [(end.messages, end.digest) for end in ends] == expected[1:]
    assert [end.revision for end in ends] == [0, 1]


def test_r8_paused_time_is_told():
    """R8: an end tells how long the session was paused: pauses that are over, and the one it ended in."""
    scene = Scene()
    for incoming in (Say(0), Ask(10, "pause"), Ask(30, "resume"), Ask(50, "pause"), Say(90), Say(500), Say(100)):
        scene.play(incoming)
    ends = [event for event in scene.events if isinstance(event, Ended)]
    assert [(end.end_ms - end.start_ms, end.paused_ms) for end in ends] == [(90, 20 + 40), (100, 20 + 50)]


def test_tagged_tells_when_its_session_started():
    """A tag has the session's start and the event time as bounded by R10."""
    scene = Scene()
    for incoming in (Say(0, arrives=0), Say(50, arrives=0)):
        scene.play(incoming)
    tags = [event for event in scene.events if isinstance(event, Tagged)]
    assert [(tag.start_ms - tags[0].start_ms, tag.at_ms - tags[0].start_ms) for tag in tags] == [(0, 0), (0, 0)]


def test_a_tag_without_a_session_is_empty():
    """R15: a message with no session has neither number nor start, and is nobody's activity."""
    scene = Scene()
    scene.play(Say(0, source="model_trainer"))
    (tag,) = scene.events
    assert isinstance(tag, Tagged)
    assert (tag.session_id, tag.seq, tag.start_ms, tag.active) == (None, 0, 0, False)


def test_a_policy_holds_for_commands_alone():
    """A profile update without a session is kept, and a command without a session leaves no trace of itself."""
    scene = Scene()
    scene.play(Say(0, source="model_trainer", policy=Policy(gap_ms=5)))
    scene.play(Ask(1, "note"))
    assert isinstance(scene.state, UserState)
    assert scene.state.policy == Policy(gap_ms=5)


def test_equal_rules_are_equal():
    """Rules are values; the defaults are those of the design."""
    assert Rules() == Rules()
    with pytest.raises(AssertionError):
        Rules(gap_ms=0)
    with pytest.raises(AssertionError):
        Rules(quiet_ms=-1)
