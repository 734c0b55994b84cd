"""What the log says, and what it must never say."""

import io
import json
from typing import Any, Literal

import pytest

from processor.observe.logs import LEFT_OUT, REDACTED, hashed, make_logger

CANARY = "c4n4ry"


def lines(out: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in out.getvalue().splitlines()]


def test_a_line_has_the_six_parts() -> None:
    """One JSON object a line, with what every line has first and the rest under metadata."""
    out = io.StringIO()
    make_logger("worker", stream=out).info("assigned", operation="rebalance", partitions={2, 1}, ok=True, none=None)
    (line,) = lines(out)
    assert list(line) == ["timestamp", "level", "component", "operation", "message", "metadata"]
    assert line["timestamp"].endswith("Z")
    assert line["metadata"] == {"partitions": [1, 2], "ok": True, "none": None}
    assert (line["level"], line["component"], line["operation"]) == ("info", "worker", "rebalance")


@pytest.mark.parametrize("level", ["info", "warning", "error"])
@pytest.mark.parametrize("log_format", ["json", "console"])
@pytest.mark.parametrize("key", [None, "k"])
def test_no_person_at_info_and_above(level: str, log_format: Literal["json", "console"], key: str | None) -> None:
    """Ids of users, performers and sessions never appear in clear, however deep they are."""
    out = io.StringIO()
    log = make_logger("worker", log_format=log_format, key=key, level="debug", stream=out)
    fields = {"user_id": CANARY, "performer_id": CANARY, "session_id": CANARY, "previous_session_id": CANARY}
    getattr(log, level)("said", **fields, user_ids=[CANARY], record={"inner": [{"user_id": CANARY}]})
    log.bind(user_id=CANARY).error("said again")
    assert out.getvalue()
    assert CANARY not in out.getvalue()


def test_ids_are_hashed_alike_with_a_key_and_users_left_out_without() -> None:
    """With A3CP_LOG_KEY lines of one user can be found together; without, a guess could be tested."""
    out = io.StringIO()
    make_logger("worker", key="k", stream=out).info("said", user_id="u", session_id="s")
    make_logger("worker", stream=out).info("said", user_id="u", session_id="s")
    with_key, without = lines(out)
    assert (with_key["session_id"], with_key["metadata"]) == (hashed("s", b"k"), {"user_id": hashed("u", b"k")})
    assert (without["session_id"], without["metadata"]) == (hashed("s"), {"user_id": LEFT_OUT})
    assert hashed("u", b"k") != hashed("u", b"other")


def test_debug_is_for_ones_own_machine() -> None:
    """At DEBUG ids are in clear, secrets are not."""
    out = io.StringIO()
    make_logger("worker", level="debug", stream=out).debug("said", user_id="u", password=CANARY)
    assert lines(out)[0]["metadata"] == {"user_id": "u", "password": REDACTED}


@pytest.mark.parametrize(
    "fields",
    [
        {"password": CANARY},
        {"sasl.password": CANARY},
        {"conf": {"sasl.jaas.config": CANARY, "ssl.key.pem": CANARY, "basic.auth.user.info": CANARY}},
        {"api_key": CANARY, "key": CANARY, "access_token": CANARY, "client-secret": CANARY},
        {"url": f"http://user:{CANARY}@registry:8081/subjects"},
        {"reason": f"sasl.jaas.config={CANARY} is wrong"},
        {"reason": f"password: '{CANARY} {CANARY}'"},
        {"nested": [{"deep": {"token": [CANARY]}}]},
        {"deep": {"a": {"b": {"c": {"d": {"e": {"f": {"g": CANARY}}}}}}}},
    ],
)
@pytest.mark.parametrize("level", ["debug", "error"])
def test_no_secret_at_any_level(fields: dict[str, Any], level: str) -> None:
    """Whatever is named like a secret, or stands where addresses and messages carry one, is redacted."""
    out = io.StringIO()
    getattr(make_logger("worker", level="debug", stream=out), level)("said", **fields)
    assert out.getvalue()
    assert CANARY not in out.getvalue()


def test_an_error_is_shown_with_its_traceback_but_no_secret() -> None:
    """`exception` tells where it came from; a password in the error's text is redacted."""
    out = io.StringIO()
    try:
        raise ValueError(f"password={CANARY}")
    except ValueError:
        make_logger("worker", stream=out).exception("failed")
    assert "test_logs.py" in lines(out)[0]["metadata"]["traceback"]
    assert CANARY not in out.getvalue().replace(f'f"password={{{CANARY}', "")


def test_console_and_levels() -> None:
    """On a terminal a line is for reading; what is below the level is not there."""
    out = io.StringIO()
    log = make_logger("worker", log_format="console", level="warning", stream=out)
    log.info("not said")
    log.warning("no broker answers", operation="poll", reason="connection refused", backoff_s=0.1)
    assert out.getvalue().split(" ", 1)[1] == (
        'warning worker.poll: no broker answers  reason="connection refused" backoff_s=0.1\n'
    )
    try:
        raise ValueError("x")
    except ValueError:
        log.exception("failed")
    assert "\nTraceback" in out.getvalue()
