"""Why no broker lets a client in: its address answers, but certificate, password or token are not what it wants."""

import re
import time
from collections.abc import Mapping
from typing import Any, Final

from confluent_kafka import KafkaError
from confluent_kafka.admin import AdminClient

_TRY_S: Final = 2.0
_POLL_S: Final = 0.05
_KEPT_OUT: Final = frozenset({KafkaError._SSL, KafkaError._AUTHENTICATION, KafkaError.SASL_AUTHENTICATION_FAILED})
_WHERE: Final = re.compile(r"^\S+://\S+: | \(after \d+ms in state \w+\)$|error:\w+:")


def why_kept_out(conf: Mapping[str, Any]) -> str | None:
    """Return the client's words for why it is not let in. Returns None if it is, or if nobody is there.

    The client tells this only to a callback, and goes on trying; the call that waits for an answer just takes too long.
    So it is asked once more, for two seconds at most.
    """
    told: list[KafkaError] = []
    heard: dict[str, Any] = {**conf, "error_cb": told.append}
    client = AdminClient(heard)
    until_s = time.monotonic() + _TRY_S
    while not told and time.monotonic() < until_s:
        client.poll(_POLL_S)
    return next(filter(None, map(reason, told)), None)


def reason(error: KafkaError) -> str | None:
    """Return why the broker does not let the client in, for people. Returns None if the error is of another kind."""
    text = _WHERE.sub("", error.str())
    is_of_tls = error.code() == KafkaError._TRANSPORT and "SSL" in text
    if is_of_tls and "Disconnected" in text:  # Which words the client has for this depends on who is first.
        return "the connection was closed as TLS began, as a PLAINTEXT broker listener does"
    return text if is_of_tls or error.code() in _KEPT_OUT else None
