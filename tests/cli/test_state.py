"""What `a3cp state show` prints of a state, without a Kafka."""

import json

from processor.cli.state import state_fields
from processor.codec.wire import AVRO
from processor.core.model import EndReason, Policy, Session, UserState
from tests.broker.fleet import BASE_MS

OPEN = Session("s2", BASE_MS, BASE_MS + 5, 7, b"\xaa" * 32, "school", BASE_MS + 4, 10)
ENDED = Session("s1", 5, 6, 1, b"\xbb" * 32, None, None, 0, 6, EndReason.PAUSE_TIMEOUT, 3, 99)
STATE = UserState(OPEN, (ENDED,), b"12345678abcdefgh", Policy(gap_ms=1, template="brief"), BASE_MS + 9, AVRO, 70)


def test_everything_that_is_remembered_is_printed() -> None:
    """No field of the state is left out: times are text, bytes are digits, places are positions."""
    told = json.loads(json.dumps(state_fields(STATE, "a3cp.raw[3]")))
    assert len(told) == len(UserState._fields)
    assert set(told["current"]) == set(told["closed"][0])
    assert len(told["current"]) == len(Session._fields)
    assert told["last_record"] == "a3cp.raw[3]@70"
    assert told["recent"] == ["3132333435363738", "6162636465666768"]
    assert told["policy"] == {"gap_ms": 1, "max_session_ms": None, "pause_ms": None, "template": "brief"}
    assert told["encoding"] == "Avro single-object"
    assert (told["current"]["messages"], told["current"]["digest"]) == (7, "aa" * 32)
    assert told["current"]["paused_at"] == "2025-06-15T15:06:40.004Z"
    assert (told["current"]["end_time"], told["current"]["touched_at"]) == (None, None)
    (closed,) = told["closed"]
    assert (closed["end_time"], closed["end_reason"], closed["ends_told"]) == (
        "1970-01-01T00:00:00.006Z",
        "pause_timeout",
        3,
    )


def test_a_user_with_limits_alone() -> None:
    """Nothing but a policy is remembered of many users; what is not there is null or empty."""
    told = state_fields(UserState(None, (), b"", Policy(), 0, 0, -1), "a3cp.raw[3]")
    assert (told["current"], told["closed"], told["recent"], told["last_record"]) == (None, [], [], None)
    assert told["encoding"] is None
