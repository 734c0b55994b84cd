"""A webhook is signed, and repeated until the receiver takes it or the time is over."""

import datetime
import socket
from collections.abc import Callable
from email.utils import format_datetime

import pytest

from processor.errors import UsageError, WebhookFailed
from processor.hooks.signing import key_of, signature
from processor.hooks.webhook import Webhook
from tests.hooks.receiver import SECRET, Answers, Came, Receiver, json_answer


def _in_turn(*answers: Answers) -> Callable[[Came], Answers]:
    rest = list(answers)
    return lambda _: rest.pop(0)


def _webhook(receiver: Receiver, waits: list[float] | None = None, *, secret: str = SECRET, **times: float) -> Webhook:
    return Webhook(receiver.url, secret, wait=(waits if waits is not None else []).append, **times)


def test_the_signature_of_the_specification() -> None:
    """The example of Standard Webhooks gives the signature that stands there."""
    key = key_of("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    body = b'{"test": 2432232314}'
    assert signature(key, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, body) == (
        "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    )


@pytest.mark.parametrize("secret", [SECRET, "any text, ü too", "x" * 100])
def test_what_is_sent_is_signed(secret: str) -> None:
    """The receiver computes the same signature from the body as it came, the id and the time."""
    with Receiver(lambda _: json_answer({"note": "fine"})) as receiver:
        assert _webhook(receiver, secret=secret).send({"what": "ä"}, "id-1") == {"note": "fine"}
    (came,) = receiver.came
    assert came.is_signed_with(secret)
    assert not came.is_signed_with("another")
    assert (came.id, came.payload, came.headers["Content-Type"]) == ("id-1", {"what": "ä"}, "application/json")


@pytest.mark.parametrize("status", [408, 425, 429, 500, 503, 599])
def test_a_failure_that_may_pass_is_tried_again(status: int) -> None:
    """The id stays the same, each try is signed, and the waits grow."""
    waits: list[float] = []
    with Receiver(_in_turn(*[Answers(status)] * 3, Answers(204))) as receiver:
        assert _webhook(receiver, waits).send({}, "id-1") is None
    assert {came.id for came in receiver.came} == {"id-1"}
    assert all(came.is_signed_with(SECRET) for came in receiver.came)
    assert [longest / 2 <= wait <= longest for wait, longest in zip(waits, [0.5, 1, 2], strict=True)] == [True] * 3


@pytest.mark.parametrize("status", [302, 400, 401, 404, 410, 422])
def test_a_refusal_is_not_repeated(status: int) -> None:
    """The receiver, or who wrote the address, is wrong; another try would not mend that."""
    with (
        Receiver(lambda _: Answers(status, headers={"Location": "/elsewhere"})) as receiver,
        pytest.raises(WebhookFailed, match=f"refuses it: its answer has the status {status}"),
    ):
        _webhook(receiver).send({}, "id-1")
    assert len(receiver.came) == 1


def test_the_receiver_says_how_long_to_wait() -> None:
    """Retry-After is kept to, in seconds and as a date; what is neither counts as not given."""
    waits: list[float] = []
    date = format_datetime(datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=30), usegmt=True)
    answers = (Answers(503, headers={"Retry-After": asked}) for asked in ("7", date, "soon"))
    with Receiver(_in_turn(*answers, Answers())) as receiver:
        _webhook(receiver, waits).send({}, "id-1")
    assert waits[0] == 7
    assert 25 < waits[1] <= 30
    assert waits[2] <= 2


def test_the_time_is_bounded() -> None:
    """It gives up rather than wait beyond its time; so it does at once when it is asked to wait longer than that."""
    with (
        Receiver(lambda _: Answers(500)) as receiver,
        pytest.raises(WebhookFailed, match=r"after (1 try|[23] tries) in 0\.8 s: its answer has the status 500"),
    ):
        _webhook(receiver, patience_s=0.8).send({}, "id-1")
    with (
        Receiver(lambda _: Answers(429, headers={"Retry-After": "3600"})) as receiver,
        pytest.raises(WebhookFailed, match="after 1 try"),
    ):
        _webhook(receiver).send({}, "id-1")


def test_nobody_answers() -> None:
    """A closed port and a receiver that says nothing are failures, and neither error holds the address."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/token-in-the-path"
        with pytest.raises(WebhookFailed, match=r"no whole answer within 0\.2 s|ReadTimeout") as failed:
            Webhook(url, SECRET, timeout_s=0.2, patience_s=0).send({}, "id-1")
    assert "token" not in str(failed.value)
    with pytest.raises(WebhookFailed, match=r"no answer \(ConnectError\)"):
        Webhook(url, SECRET, patience_s=0).send({}, "id-1")


@pytest.mark.parametrize(
    ("body", "kind", "taken"),
    [
        (b"ok", "text/plain", None),
        (b"", "application/json", None),
        (b'{"score": 1}', "application/json; charset=utf-8", {"score": 1}),
        (b'{"score": 1}', "text/html", None),
    ],
)
def test_answers(body: bytes, kind: str, taken: object) -> None:
    """What says that it is JSON is read; anything else is as good as no answer."""
    with Receiver(lambda _: Answers(200, body, {"Content-Type": kind})) as receiver:
        assert _webhook(receiver).send({}, "id-1") == taken


@pytest.mark.parametrize(
    ("body", "why"),
    [(b'{"score"', "is none"), (b"[" * 100_000, "is none"), (b'"' + b"x" * (1 << 20) + b'"', "more than")],
)
def test_answers_that_are_wrong(body: bytes, why: str) -> None:
    """Broken JSON and an answer that is too large are failures, told without their content."""
    with (
        Receiver(lambda _: Answers(200, body, {"Content-Type": "application/json"})) as receiver,
        pytest.raises(WebhookFailed, match=why),
    ):
        _webhook(receiver).send({}, "id-1")
    assert len(receiver.came) == 1


@pytest.mark.parametrize("url", ["", "hooks", "ftp://host/x", "http://", "http://host:port", "http://host:99999/"])
def test_addresses_that_are_none(url: str) -> None:
    """A wrong address is told before anything is sent."""
    with pytest.raises(UsageError, match="URL of a webhook is none"):
        Webhook(url, SECRET)


@pytest.mark.parametrize(("secret", "why"), [("", "empty"), ("whsec_", "empty"), ("whsec_secret!", "no base64")])
def test_secrets_that_are_none(secret: str, why: str) -> None:
    """A wrong secret is told, and not quoted."""
    with pytest.raises(UsageError, match=why) as error:
        Webhook("http://127.0.0.1", secret)
    assert "secret!" not in str(error.value)
