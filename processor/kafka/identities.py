"""The ids of the cluster and its topics: they tell a topic from an earlier one of the same name."""

from collections.abc import Iterable, Mapping
from concurrent.futures import wait
from typing import Any, Final

from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import AdminClient

from processor.kafka.failures import error_of
from processor.kafka.offsets import patiently
from processor.runtime.identities import CLUSTER, Identities

_ASKING: Final = "asking for the ids of topics"
_TIMEOUT_S: Final = 10.0
_NO_ID: Final = "AAAAAAAAAAAAAAAAAAAAAA"  # 128 zero bits: what a broker before Kafka 2.8 has for every topic


def ids_of(conf: Mapping[str, Any], topics: Iterable[str]) -> Identities:
    """Return the ids of the cluster and, by name, of the existing `topics`.

    Raises:
        BrokerUnavailable: no broker answers.
    """
    names = {name: name for name in topics}
    admin = AdminClient({"socket.connection.setup.timeout.ms": 5_000, **conf})
    needs = f"Describe on topics {' and '.join(names)}"
    return patiently(lambda: identities(admin, names), _ASKING, conf, needs=needs)


def identities(admin: AdminClient, topics: Mapping[str, str]) -> Identities:
    """Return the ids, by role, of the cluster and of `topics`, which are names by role. What has no id is left out.

    The right Describe on the topics is enough; it comes with the right to read or write them.

    Raises:
        KafkaException: no answer, or no right.
    """
    asked_cluster = admin.describe_cluster(request_timeout=_TIMEOUT_S)
    asked = admin.describe_topics(TopicCollection(list(topics.values())), request_timeout=_TIMEOUT_S)
    wait([asked_cluster, *asked.values()])  # librdkafka crashes when a client goes while an answer is on the way.
    found = {CLUSTER: asked_cluster.result().cluster_id or ""}
    for role, name in topics.items():
        try:
            found[role] = id_of(asked[name].result())
        except KafkaException as error:
            if error_of(error).code() != KafkaError.UNKNOWN_TOPIC_OR_PART:
                raise
    return {role: known for role, known in found.items() if known}


def id_of(topic: Any) -> str:
    """Return the id in a broker's description of a topic. Returns "" if it has none."""
    topic_id = str(topic.topic_id)
    return "" if topic_id == _NO_ID else topic_id
