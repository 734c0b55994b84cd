"""How a client asks, and asks again: over answers that a test has written down, with a time of its own."""

from collections.abc import AsyncGenerator, Iterator
from typing import Any

import httpx
import msgspec
import pytest

from processor.client.service import problems
from processor.client.service.asking import TIMEOUT_S
from processor.client.service.asyncsessions import AsyncSessions
from processor.client.service.exchange import Answer, Request, finished
from processor.client.service.remembered import VALIDITY_S_MAX
from processor.faces.problems import KINDS

SESSION = {"session_id": "sess_1", "user_id": "elias01", "status": "active", "created_at": "2025-06-15T12:34:56.789Z"}
EVENT = {"kind": "unchanged", "record_id": "r", "session_id": "sess_1"}


def told(status: int, body: object, **headers: str) -> Answer:
    """Return an answer with a JSON body."""
    return Answer(status, httpx.Headers({name.replace("_", "-"): value for name, value in headers.items()}),
                  msgspec.json.encode(body))  # fmt: skip


def problem(code: str, **headers: str) -> Answer:
    """Return an answer with a problem."""
    body = {"code": code, "detail": "it is so", "remedy": "do this", "session_id": "sess_1", "request_id": "r1"}
    return told(KINDS[code].status, body, **headers)


class Script:
    """An exchange that gives the answers that it was given, and notes what it was asked; waiting takes no time."""

    def __init__(self, *answers: Answer | Exception | list[str]) -> None:
        self.answers = list(answers)
        self.asked: list[Request] = []
        self.now = 1000.0
        self.pauses: list[float] = []

    def monotonic_s(self) -> float:
        return self.now

    async def answer(self, request: Request, timeout_s: float) -> Answer:
        self.asked.append(request)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        assert isinstance(answer, Answer)
        return answer

    async def lines(self, request: Request, timeout_s: float) -> AsyncGenerator[str | Answer, None]:
        self.asked.append(request)
        for line in self.answers.pop(0):  # type: ignore[union-attr]
            if isinstance(line, Exception):
                raise line
            yield line  # type: ignore[misc]

    async def pause(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds

    async def close(self) -> None:
        pass


def sessions_over(script: Script) -> AsyncSessions:
    """Return what asks by `script`."""
    return AsyncSessions(exchange=script)


def test_each_code_has_a_class() -> None:
    """What the service can tell is an error of its own; the client's own one is that no answer comes."""
    assert set(problems.BY_CODE) - {"unreachable"} == set(KINDS) - {"internal_error", "method_not_allowed"}


@pytest.mark.parametrize("code", sorted(problems.BY_CODE.keys() & KINDS.keys()))
def test_a_problem_is_its_error(code: str) -> None:
    """An error tells what the problem told."""
    with pytest.raises(problems.BY_CODE[code]) as caught:
        finished(sessions_over(Script(problem(code))).get("sess_1"))
    error = caught.value
    assert isinstance(error, problems.ServiceError)
    assert (error.code, error.session_id, error.remedy, error.request_id) == (code, "sess_1", "do this", "r1")
    assert str(error) == "it is so; do this"


@pytest.mark.parametrize(
    "trouble",
    [
        problem("broker_unavailable"), problem("starting"), problem("rate_limited"), problem("in_flight"),
        told(502, "a proxy's page"), told(503, {"detail": "Kafka does not answer"}), httpx.ConnectError("refused"),
        httpx.ReadError("reset"),
    ],
)  # fmt: skip
def test_a_command_is_repeated_with_its_key(trouble: Answer | Exception) -> None:
    """What may succeed later is sent again, the same to the bit, so that the service knows it again."""
    script = Script(trouble, trouble, told(201, SESSION))
    assert finished(sessions_over(script).create("elias01")).session_id == "sess_1"
    assert len(script.asked) == 3
    assert script.asked[0] == script.asked[1] == script.asked[2]
    assert script.asked[0].headers["Idempotency-Key"]


def test_each_call_has_a_key_of_its_own() -> None:
    """Two calls are two commands; a key that the caller gives is used."""
    script = Script(told(201, SESSION))
    sessions = sessions_over(script)
    for key in (None, None, "mine"):
        finished(sessions.create("elias01", idempotency_key=key))
    one, other, mine = (request.headers["Idempotency-Key"] for request in script.asked)
    assert len({one, other, mine}) == 3
    assert mine == "mine"


def test_what_is_refused_is_not_repeated() -> None:
    """A request that will be refused again is sent once."""
    script = Script(problem("session_closed"))
    with pytest.raises(problems.SessionClosed):
        finished(sessions_over(script).end("sess_1"))
    assert len(script.asked) == 1


def test_the_service_says_when() -> None:
    """Retry-After is kept."""
    script = Script(problem("rate_limited", Retry_After="7"), told(200, SESSION))
    finished(sessions_over(script).get("sess_1"))
    assert script.pauses == [7]


def test_repeats_come_to_an_end() -> None:
    """After the time-out the last trouble is told, and no wait goes beyond it."""
    script = Script(httpx.ConnectError("refused"))
    with pytest.raises(
        problems.Unreachable, match=r"the service does not answer \(ConnectError\); see that a3cp serve"
    ):
        finished(sessions_over(script).get("sess_1"))
    assert 10 < len(script.asked) < 40
    assert script.now - 1000 <= TIMEOUT_S


def test_no_outcome_tells_its_key() -> None:
    """A command without an outcome is not repeated by itself; its key is told, so that the caller can."""
    script = Script(problem("no_outcome"))
    with pytest.raises(problems.NoOutcomeYet) as caught:
        finished(sessions_over(script).create("elias01"))
    assert [request.headers["Idempotency-Key"] for request in script.asked] == [caught.value.idempotency_key]


def test_a_read_knows_what_was_commanded() -> None:
    """A read is sent with the position of this client's last command to the session; of another session it is not."""
    script = Script(told(200, EVENT, A3CP_Position="abc:p1:s5.t7"), told(200, SESSION))
    sessions = sessions_over(script)
    for call in (sessions.touch("sess_1"), sessions.get("sess_1"), sessions.get("sess_2")):
        finished(call)
    assert [request.headers.get("A3CP-After") for request in script.asked] == [None, "abc:p1:s5.t7", None]


def test_an_answer_of_somebody_else() -> None:
    """What is no answer of the service is told as such."""
    script = Script(Answer(200, {}, b"<html>"))
    with pytest.raises(problems.ServiceError, match="the answer is not the service's"):
        finished(sessions_over(script).get("sess_1"))


def test_an_id_stays_one_part_of_the_path() -> None:
    """Whatever an id consists of."""
    script = Script(told(200, SESSION))
    finished(sessions_over(script).get("../x?y"))
    assert script.asked[0].path == "/v1/sessions/..%2Fx%3Fy"


def validities(script: Script) -> Iterator[Any]:
    """Yield what validate says, time and again; an error as its class."""
    sessions = sessions_over(script)
    while True:
        try:
            yield finished(sessions.validate("elias01", "sess_1"))
        except problems.ServiceError as error:
            yield type(error)


def test_an_active_session_stays_so_through_a_restart() -> None:
    """The last "active" is repeated for 30 s while the service does not answer; then it is told that it does not."""
    script = Script(told(200, {"status": "active"}), httpx.ConnectError("refused"))
    asked = validities(script)
    assert next(asked) == "active"
    known_at = script.now
    while script.now <= known_at + VALIDITY_S_MAX - 5:
        assert next(asked) == "active"
        script.now += 3
    script.now = known_at + VALIDITY_S_MAX + 1
    assert next(asked) is problems.Unreachable


@pytest.mark.parametrize("after", ["closed", "invalid"])
def test_what_is_over_is_not_repeated(after: str) -> None:
    """Only an "active" is remembered, and only as long as nothing else was said."""
    script = Script(told(200, {"status": "active"}), told(200, {"status": after}), httpx.ConnectError("refused"))
    asked = validities(script)
    assert [next(asked), next(asked), next(asked)] == ["active", after, problems.Unreachable]


def test_a_stream_goes_on_where_it_broke() -> None:
    """After a broken line, a stream asks for what came since, and tells nothing twice."""
    one = ["event: message", "id: p1", 'data: {"seq": 1}', ""]
    two = [": still here", "id: p2", "event: message", 'data: {"seq":', "data: 2}", ""]
    script = Script([*one, httpx.ReadError("reset")], [told(503, {})], two)  # type: ignore[list-item]
    stream = sessions_over(script).live("sess_1")
    seen = [finished(stream.__anext__()), finished(stream.__anext__())]
    finished(stream.aclose())
    assert [(live.kind, live.position, live.data["seq"]) for live in seen] == [
        ("message", "p1", 1),
        ("message", "p2", 2),
    ]
    assert [request.headers.get("Last-Event-ID") for request in script.asked] == [None, "p1", "p1"]


def test_a_stream_that_is_refused() -> None:
    """What is refused is told at once."""
    script = Script([problem("session_not_found")])  # type: ignore[list-item]
    with pytest.raises(problems.SessionNotFound):
        finished(sessions_over(script).live("sess_1").__anext__())
