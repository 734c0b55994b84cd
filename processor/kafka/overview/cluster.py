"""What a cluster says of itself to this user: its brokers, their settings, the topics and the rights on them."""

from collections.abc import Iterable, Mapping
from concurrent.futures import Future, wait
from typing import Any, Final, NamedTuple

from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # Its stub forgets to re-export them.
    AdminClient,
    ConfigResource,
    ResourceType,
)

from processor.kafka.failures import error_of, reaching
from processor.kafka.topics.admin import readable
from processor.kafka.topics.desired import Topic

_TIMEOUT_S: Final = 6.0
_UNKNOWN: Final = KafkaError.UNKNOWN_TOPIC_OR_PART
_HIDDEN: Final = KafkaError.TOPIC_AUTHORIZATION_FAILED


class TopicSeen(NamedTuple):
    """A topic as it is."""

    topic: Topic  # its settings are empty without the right to read them
    leaderless: tuple[int, ...]  # partitions without a leader
    incomplete: tuple[int, ...]  # partitions of which a copy lags behind
    rights: frozenset[str]  # what this user may do: READ, WRITE, DESCRIBE …


class Cluster(NamedTuple):
    """A cluster as it is."""

    brokers: int
    settings: Mapping[str, str]  # of one broker; empty without the right to read them
    topics: Mapping[str, TopicSeen]  # those that exist and that this user may see
    hidden: frozenset[str] = frozenset()  # those that this user may not see, whether they exist or not


def look(conf: Mapping[str, Any], names: Iterable[str]) -> Cluster:
    """Return the cluster, with those of the topics `names` that are seen.

    Raises:
        BrokerUnavailable: no broker answers.
    """
    with reaching("looking at the cluster", conf):
        admin = AdminClient({"socket.connection.setup.timeout.ms": 5_000, **conf})
        nodes = admin.describe_cluster(request_timeout=_TIMEOUT_S).result().nodes
        described = admin.describe_topics(
            TopicCollection(list(names)), include_authorized_operations=True, request_timeout=_TIMEOUT_S
        )
        wait(described.values())  # librdkafka crashes when a client goes while an answer is on the way.
        codes = {name: _code(answer) for name, answer in described.items()}
        there = [described[name].result() for name, code in codes.items() if code not in (_UNKNOWN, _HIDDEN)]
        settings = _settings(admin, conf, ResourceType.TOPIC, [topic.name for topic in there])
        (of_broker,) = _settings(admin, conf, ResourceType.BROKER, [str(nodes[0].id)]).values()
    topics = {topic.name: _seen(topic, settings[topic.name]) for topic in there}
    return Cluster(len(nodes), of_broker, topics, frozenset(name for name, code in codes.items() if code == _HIDDEN))


def _code(answer: Future[Any]) -> int | None:
    """Return the code of the error that the answer is. Returns None if it is none."""
    error = answer.exception()
    return error_of(error).code() if isinstance(error, KafkaException) else None


def _settings(
    admin: AdminClient, conf: Mapping[str, Any], kind: ResourceType, names: list[str]
) -> dict[str, dict[str, str]]:
    """Return the settings by name of topic or broker; those that may not be read are empty."""
    if not names:  # Asked for none, librdkafka refuses.
        return {}
    answers = admin.describe_configs([ConfigResource(kind, name) for name in names], request_timeout=_TIMEOUT_S)
    wait(answers.values())
    return {resource.name: readable(answer, conf) for resource, answer in answers.items()}


def _seen(topic: Any, settings: Mapping[str, str]) -> TopicSeen:
    """Return a topic from the client's description of it."""
    replicas = min(len(each.replicas) for each in topic.partitions)
    return TopicSeen(
        Topic(topic.name, len(topic.partitions), replicas, settings),
        leaderless=tuple(each.id for each in topic.partitions if each.leader is None or each.leader.id < 0),
        incomplete=tuple(each.id for each in topic.partitions if len(each.isr) < len(each.replicas)),
        rights=frozenset(each.name for each in topic.authorized_operations or ()),
    )
