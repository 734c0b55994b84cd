"""Which service a client speaks to."""

import pytest

from processor.client.service.opening import backend_of
from processor.errors import UsageError


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """Begin with no variable that says where the service is."""
    monkeypatch.delenv("A3CP_URL", raising=False)
    monkeypatch.delenv("A3CP_TOKEN", raising=False)


def test_a_service_elsewhere() -> None:
    """An HTTP URL is taken as it is, the token goes with each request."""
    assert backend_of("https://sessions.example/a/", "secret").start() == (
        "https://sessions.example/a", {"Authorization": "Bearer secret"}, None, None
    )  # fmt: skip


def test_the_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without arguments A3CP_URL and A3CP_TOKEN hold; what the caller says goes before them."""
    monkeypatch.setenv("A3CP_URL", "http://one:1")
    monkeypatch.setenv("A3CP_TOKEN", "of one")
    assert backend_of(None, None).start()[:2] == ("http://one:1", {"Authorization": "Bearer of one"})
    assert backend_of("http://two:2", "of two").start()[:2] == ("http://two:2", {"Authorization": "Bearer of two"})


@pytest.mark.parametrize("url", ["sessions.example:8080", "ftp://sessions.example", "http://", "http:"])
def test_no_url(url: str) -> None:
    """What is no such URL is refused, with the forms that are."""
    with pytest.raises(UsageError, match="use http://host:port, kafka://host:port or memory://"):
        backend_of(url, None)


@pytest.mark.parametrize("token", ["of one\n", "of\x00one", "of öne"])
def test_no_token(token: str) -> None:
    """What no header can hold is told as what it is, not as a service that does not answer."""
    with pytest.raises(UsageError, match="the token holds a line end"):
        backend_of("http://one:1", token)
