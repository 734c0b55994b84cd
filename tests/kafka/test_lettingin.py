"""What is told of a broker that lets nobody in, by the client's error."""

import pytest
from confluent_kafka import KafkaError

from processor.kafka.lettingin import reason

_HOST = "ssl://127.0.0.1:9093/bootstrap"


@pytest.mark.parametrize(
    "words",
    [
        "SSL handshake failed: Disconnected: connecting to a PLAINTEXT broker listener? (after 5ms in state CONNECT)",
        "Disconnected: SSL connection closed by peer (after 3ms in state SSL_HANDSHAKE)",
    ],
)
def test_a_listener_without_tls_is_told_in_the_same_words_whoever_closes_first(words: str) -> None:
    told = reason(KafkaError(KafkaError._TRANSPORT, f"{_HOST}: {words}"))
    assert told == "the connection was closed as TLS began, as a PLAINTEXT broker listener does"


def test_a_refused_certificate_is_told_without_address_and_numbers() -> None:
    words = "SSL handshake failed: error:0A000086:SSL routines::certificate verify failed (after 9ms in state CONNECT)"
    told = reason(KafkaError(KafkaError._SSL, f"{_HOST}: {words}"))
    assert told == "SSL handshake failed: SSL routines::certificate verify failed"


def test_a_broker_that_is_not_there_keeps_nobody_out() -> None:
    assert (
        reason(KafkaError(KafkaError._TRANSPORT, "127.0.0.1:1/bootstrap: Connect failed: Connection refused")) is None
    )
