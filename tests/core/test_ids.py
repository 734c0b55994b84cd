"""Session ids: rule R6 and ADR 0003."""

import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processor.core.ids import belongs_to, is_of, owner_of, session_id, started_ms
from processor.core.model import IdFormat, Started
from tests.core.playing import RULES, Ask, Say, Scene, play

texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)
times = st.integers(0, 253_402_300_799_999)


@pytest.mark.parametrize(
    ("user_id", "owner"),
    [
        ("anna", "anna"),
        ("anna~0123abcd", "anna"),
        ("anna~x~0123abcd", "anna~x"),
        ("a\nb~01234567", "a\nb"),
        ("anna~0123ABCD", "anna~0123ABCD"),
        ("anna~0123abc", "anna~0123abc"),
        ("anna~0123abcd\n", "anna~0123abcd\n"),
        ("~0123abcd", "~0123abcd"),
    ],
)
def test_whose_a_lane_is(user_id, owner):
    """A lane is `<owner>~<8 hex digits>`; every other user id is its own person's."""
    assert owner_of(user_id) == owner
    assert is_of(user_id, owner)
    assert is_of(user_id, user_id)
    assert not is_of(user_id, "ann")


def test_r6_golden():
    """R6: ids are the same on every machine and in every version; these were made with sha256sum."""
    start_ms = 1_800_000_000_123
    assert (
        session_id("maria", start_ms, "r1", IdFormat.DATED) == "sess_20270115_080000_dd54c00f5bad7254cca2f9f23f104b11"
    )
    assert session_id("maria", start_ms, "r1", IdFormat.SHORT) == "sess_dd54c00f5bad7254"


@given(texts, times, texts)
def test_r6_dated(user_id, start_ms, record_id):
    """R6: a dated id is readable, tells its user's sessions from others', and never holds the user id."""
    made = session_id(user_id, start_ms, record_id, IdFormat.DATED)
    assert re.fullmatch(r"sess_\d{8}_\d{6}_[0-9a-f]{32}", made)
    assert made == session_id(user_id, start_ms, record_id, IdFormat.DATED)
    assert belongs_to(made, user_id)
    assert not belongs_to(made, user_id + "x")


@given(texts, times, times, texts)
def test_r6_dated_ids_sort_by_time(user_id, one_ms, other_ms, record_id):
    """R6: ids sort as their start times do, to the second."""
    one, other = (session_id(user_id, at_ms, record_id, IdFormat.DATED) for at_ms in (one_ms, other_ms))
    if one_ms // 1000 < other_ms // 1000:
        assert one < other


@given(texts, times, texts)
def test_r6_short(user_id, start_ms, record_id):
    """R6: a short id is upstream's form, and may be anybody's."""
    made = session_id(user_id, start_ms, record_id, IdFormat.SHORT)
    assert re.fullmatch(r"sess_[0-9a-f]{16}", made)
    assert belongs_to(made, "anybody")


@pytest.mark.parametrize(
    "candidate", ["", "sess_", "x" * 53, "session-20270115-080000-00000000000000000000000000000000"]
)
def test_r6_other_texts_may_be_anybodys(candidate):
    """R7: what is no dated id is never another user's, only not found."""
    assert belongs_to(candidate, "maria")


@pytest.mark.parametrize("id_format", IdFormat)
def test_r6_ids_of_remembered_sessions_differ(id_format):
    """R6: sessions with one start, opened by records with one record_id, have different ids, each time the same."""
    rules = replace(RULES, id_format=id_format)

    def started() -> list[Started]:
        scene = Scene(rules)
        for incoming in (
            Say(0, record_id="r"),
            Ask(0, "start", force_new=True, record_id="r"),
            Ask(0, "start", force_new=True, record_id="r"),
            Ask(0, "end"),
            Ask(0, "start", record_id="r"),
        ):
            scene.play(incoming)
        return [event for event in scene.events if isinstance(event, Started)]

    def ids() -> list[str]:
        return [event.session_id for event in started()]

    def before() -> list[str | None]:
        return [event.previous_session_id for event in started()]

    assert len(set(ids())) == 4
    assert before() == [None, *ids()[:-1]]
    assert ids() == ids()


def test_r6_the_session_before():
    """A start names the remembered session that started last before it, also when it comes late."""
    scene = Scene()
    for incoming in (Say(0), Say(200), Say(400), Ask(410, "end"), Say(420), Say(-300), Say(-50, arrives=420)):
        scene.play(incoming)
    before = {event.start_ms: event.previous_session_id for event in scene.events if isinstance(event, Started)}
    by_start = {event.start_ms: event.session_id for event in scene.events if isinstance(event, Started)}
    starts = sorted(by_start)
    assert [before[start] for start in starts] == [None, None, *(by_start[start] for start in starts[1:-1])]


def test_r6_forgotten_sessions_have_no_successor():
    """R14: after the horizon nothing is known of the session before."""
    scene = Scene()
    assert play([Say(0), Say(9_000)])[1] == "end:A@0(timeout) forget start:B tag:B1"
    for incoming in (Say(0), Say(9_000)):
        scene.play(incoming)
    started = [event for event in scene.events if isinstance(event, Started)]
    assert started[1].previous_session_id is None


@given(texts, st.integers(0, 253_402_300_799_999), texts)
def test_r6_a_dated_id_tells_when_its_session_started(user_id, start_ms, record_id):
    """R6: by the second; so an old id that all have forgotten can still be told from one that was made up."""
    assert started_ms(session_id(user_id, start_ms, record_id, IdFormat.DATED)) == start_ms // 1000 * 1000


@pytest.mark.parametrize(
    "candidate",
    [
        "sess_dd54c00f5bad7254",
        "sess_20270115_080000_DD54C00F5BAD7254CCA2F9F23F104B11",
        "sess_20270230_080000_dd54c00f5bad7254cca2f9f23f104b11",
        "sess_20270115_250000_dd54c00f5bad7254cca2f9f23f104b11",
    ],
)
def test_r6_other_texts_tell_no_start(candidate):
    """R6: a short id, another spelling, a day or an hour that there is not."""
    assert started_ms(candidate) is None
