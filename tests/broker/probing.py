"""Tries what a principal may do at a Kafka, with the client itself, and tells whether the broker allows it."""

from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, Final

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # Its stub forgets to re-export them.
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewTopic,
    ResourceType,
)

from tests.broker.fleet import TIMEOUT_S, await_true
from tests.broker.rights import Right

_REFUSED: Final = {
    KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.GROUP_AUTHORIZATION_FAILED,
    KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED, KafkaError.CLUSTER_AUTHORIZATION_FAILED,
}  # fmt: skip


class Probe:
    """Comes in with the properties `conf`. Each method returns whether the broker allows what it tries."""

    def __init__(self, conf: dict[str, str]) -> None:
        self._conf = {**conf, "log_level": "0"}
        self._admin = AdminClient(dict(self._conf))
        self._producer = Producer({**self._conf, "message.timeout.ms": 20_000})

    def read(self, topic: str) -> bool:
        consumer = Consumer({**self._conf, "group.id": "a3cp-reader", "enable.partition.eof": True})
        try:
            if consumer.list_topics(topic, timeout=TIMEOUT_S).topics[topic].error is not None:  # No right to describe.
                return False
            consumer.assign([TopicPartition(topic, 0, 0)])
            found: list[bool] = []

            def look() -> bool:
                message = consumer.poll(0.1)
                error = None if message is None else message.error()
                if message is not None and message.topic() == topic:
                    found.append(error is None or error.code() == KafkaError._PARTITION_EOF)
                return bool(found)

            await_true(f"an answer for {topic}", look)
            return found[0]
        finally:
            consumer.close()

    def write(self, topic: str) -> bool:
        told: list[KafkaError | None] = []

        def produce() -> None:  # It raises by itself if the client has heard of the refusal before.
            self._producer.produce(topic, None, b"probe", 0, on_delivery=lambda error, _: told.append(error))
            self._producer.flush()

        return _allowed(produce) and _is_allowed(told[0])

    def join(self, group_id: str) -> bool:
        joined: list[bool] = []
        consumer = Consumer({**self._conf, "group.id": group_id, "session.timeout.ms": 1_000})
        consumer.subscribe(["a3cp.sessions"], on_assign=lambda *_: joined.append(True))

        def look() -> bool:
            message = consumer.poll(0.1)
            error = None if message is None else message.error()
            if error is not None and error.code() == KafkaError.GROUP_AUTHORIZATION_FAILED:
                joined.append(False)
            return bool(joined)

        await_true(f"an answer for {group_id}", look)
        consumer.close()
        return joined[0]

    def transact(self, transactional_id: str) -> bool:
        producer = Producer({**self._conf, "transactional.id": transactional_id})
        return _allowed(lambda: producer.init_transactions(60))

    def create(self, topic: str) -> bool:
        return _answered(self._admin.create_topics([NewTopic(topic, 1, 1)], validate_only=True))

    def delete(self, topic: str) -> bool:
        return _answered(self._admin.delete_topics([topic]))

    def alter(self, topic: str) -> bool:
        week = ConfigEntry("retention.ms", "604800000", incremental_operation=AlterConfigOpType.SET)
        resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[week])
        return _answered(self._admin.incremental_alter_configs([resource], validate_only=True))

    def give_rights(self, principal: str) -> bool:
        right = Right(principal, "topic", "a3cp.", True, "ALL")
        return _answered(self._admin.create_acls([right.binding()]))


def _answered(futures: dict[Any, Future[Any]]) -> bool:
    (future,) = futures.values()
    return _allowed(future.result)


def _allowed(act: Callable[[], object]) -> bool:
    try:
        act()
    except KafkaException as error:
        return _is_allowed(error.args[0])
    return True


def _is_allowed(error: KafkaError | None) -> bool:
    if error is not None and error.code() not in _REFUSED:
        raise KafkaException(error)
    return error is None
