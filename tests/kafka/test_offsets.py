"""Asking how far logs go: what passes is waited for, what does not is told at once."""

from collections.abc import Callable, Iterable

import pytest
from confluent_kafka import KafkaError, KafkaException

from processor.errors import BrokerUnavailable, UsageError
from processor.kafka.offsets import patiently


def answers(codes: Iterable[int]) -> Callable[[], str]:
    """Return what fails with each of `codes` in turn, then has an answer."""
    left = iter(codes)

    def ask() -> str:
        for code in left:
            raise KafkaException(KafkaError(code))
        return "answer"

    return ask


def test_what_passes_is_waited_for():
    """A leader that is changing, a coordinator that is loading: the answer comes a moment later."""
    ask = answers([KafkaError.LEADER_NOT_AVAILABLE, KafkaError.COORDINATOR_LOAD_IN_PROGRESS])
    assert patiently(ask, "asking", {}) == "answer"


def test_what_does_not_pass_is_told_at_once():
    """A property that is none is the user's to correct; asked a second time, there would be an answer."""
    with pytest.raises(UsageError):
        patiently(answers([KafkaError._INVALID_ARG]), "asking", {})


def test_patience_has_an_end():
    """Who never answers is told of, with the address that was tried."""
    with pytest.raises(BrokerUnavailable, match="nowhere:1"):
        patiently(answers([KafkaError._TIMED_OUT] * 1_000), "asking", {"bootstrap.servers": "nowhere:1"}, timeout_s=0.1)
