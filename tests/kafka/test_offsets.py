"""Asking how far logs go: what passes is waited for, what does not is told at once."""

from collections.abc import Callable, Iterable
from concurrent.futures import Future
from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import OFFSET_INVALID, IsolationLevel, KafkaError, KafkaException, TopicPartition

from processor.errors import BrokerUnavailable, UsageError
from processor.kafka.failures import failure
from processor.kafka.offsets import LATEST, log_offsets, newest_ms, patiently


def answers(codes: Iterable[int]) -> Callable[[], str]:
    """Return what fails with each of `codes` in turn, then has an answer."""
    left = iter(codes)

    def ask() -> str:
        for code in left:
            raise KafkaException(KafkaError(code))
        return "answer"

    return ask


def test_what_passes_is_waited_for():
    """A leader that is changing, a coordinator that is loading: the answer comes a moment later.

    Meanwhile nobody asks why, which takes a client of its own: with this property there would be none.
    """
    ask = answers([KafkaError.LEADER_NOT_AVAILABLE, KafkaError.COORDINATOR_LOAD_IN_PROGRESS])
    assert patiently(ask, "asking", {"no.such.property": "1"}) == "answer"


def test_what_does_not_pass_is_told_at_once():
    """A property that is none is the user's to correct; asked a second time, there would be an answer."""
    with pytest.raises(UsageError):
        patiently(answers([KafkaError._INVALID_ARG]), "asking", {})


def test_patience_has_an_end():
    """Who never answers is told of, with the address that was tried."""
    with pytest.raises(BrokerUnavailable, match="nowhere:1"):
        patiently(answers([KafkaError._TIMED_OUT] * 1_000), "asking", {"bootstrap.servers": "nowhere:1"}, timeout_s=0.1)


class LeaderGone:
    """An admin client as it answers while the leader of partition 1 is gone: no error, and no offset."""

    def list_offsets(self, wanted: dict[TopicPartition, object], **_: object) -> dict[TopicPartition, Future[Any]]:
        """Answer at once."""
        answers: dict[TopicPartition, Future[Any]] = {tp: Future() for tp in wanted}
        for tp, answer in answers.items():
            answer.set_result(SimpleNamespace(offset=OFFSET_INVALID if tp.partition == 1 else 7))
        return answers


def test_a_leader_that_is_gone_has_no_end() -> None:
    """Its partition must not be taken for an empty one: a restore would end there, without a state."""
    admin: Any = LeaderGone()
    assert log_offsets(admin, [("t", 0)], LATEST, IsolationLevel.READ_UNCOMMITTED) == {("t", 0): 7}
    with pytest.raises(KafkaException) as caught:
        log_offsets(admin, [("t", 0), ("t", 1)], LATEST, IsolationLevel.READ_UNCOMMITTED)
    assert isinstance(failure("restoring t", caught.value), BrokerUnavailable)


def test_a_leader_that_is_gone_has_no_newest_time():
    """Its partition may hold records; one that holds none has a time below 0."""
    with pytest.raises(KafkaException) as raised:
        newest_ms(LeaderGone(), "a3cp.raw", 1)  # type: ignore[arg-type]
    assert raised.value.args[0].code() == KafkaError._TIMED_OUT
