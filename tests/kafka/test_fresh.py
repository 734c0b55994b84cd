"""The demo's group is gone before its topics are made anew, also on a broker that has just started."""

from concurrent.futures import Future
from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException

from processor.errors import UsageError
from processor.kafka.topics import fresh


class Broker:
    """A broker that answers so, one time after the other; it lists no group, as one that reads them in."""

    def __init__(self, *answers: int | None) -> None:
        self.answers = list(answers)

    def list_topics(self, **_: Any) -> Any:
        return SimpleNamespace(topics={"__consumer_offsets": ...})

    def list_consumer_groups(self, **_: Any) -> Any:
        listed: Future[Any] = Future()
        listed.set_result(SimpleNamespace(valid=[], errors=[]))
        return listed

    def delete_consumer_groups(self, group_ids: list[str], **_: Any) -> dict[str, Future[None]]:
        answer: Future[None] = Future()
        code = self.answers.pop(0)
        if code is None:
            answer.set_result(None)
        else:
            answer.set_exception(KafkaException(KafkaError(code)))
        return dict.fromkeys(group_ids, answer)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fresh, "_AGAIN_S", 0)


@pytest.mark.parametrize(
    "answers",
    [
        (KafkaError.COORDINATOR_LOAD_IN_PROGRESS, KafkaError.NOT_COORDINATOR, None),
        (KafkaError.COORDINATOR_NOT_AVAILABLE, KafkaError.GROUP_ID_NOT_FOUND),
        (KafkaError.NON_EMPTY_GROUP, None),
    ],
)
def test_a_group_is_asked_for_until_its_coordinator_knows(answers: tuple[int | None, ...]) -> None:
    """Else its old offsets were used for the new topics, and the demo ended with an error."""
    broker = Broker(*answers)
    fresh._delete_group(broker, "a3cp-demo")  # type: ignore[arg-type]
    assert broker.answers == []


def test_what_does_not_pass_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """At once, or, of members, once a killed demo's would be gone."""
    with pytest.raises(KafkaException):
        fresh._delete_group(Broker(KafkaError.GROUP_AUTHORIZATION_FAILED), "a3cp-demo")  # type: ignore[arg-type]
    monkeypatch.setattr(fresh, "_MEMBER_GONE_S", -1)
    with pytest.raises(UsageError, match="a processor is at work in the group a3cp-demo"):
        fresh._delete_group(Broker(KafkaError.NON_EMPTY_GROUP), "a3cp-demo")  # type: ignore[arg-type]
