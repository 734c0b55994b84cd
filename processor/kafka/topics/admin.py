"""Reads and makes topics on a broker: the part of topics-as-code that connects."""

import time
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, wait
from contextlib import contextmanager
from typing import Never, TypeVar

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # Its stub forgets to re-export them.
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewPartitions,
    NewTopic,
    ResourceType,
    TopicMetadata,
)

from processor.errors import BrokerUnavailable, Fatal, UsageError
from processor.kafka.failures import AWAY, NEEDED, REFUSED, error_of, failure, no_topic, unreachable
from processor.kafka.topics.desired import (
    DEFAULT_PREFIX,
    Action,
    Difference,
    Topic,
    as_grown,
    check_configs,
    check_partitions,
    desired_topics,
    plan,
)

T = TypeVar("T")

METADATA_TIMEOUT_S = 6.0
REQUEST_TIMEOUT_S = 15.0
VISIBLE_TIMEOUT_S = 15.0
POLL_S = 0.05

KafkaConf = Mapping[str, str | int | float | bool]
"""librdkafka properties; `bootstrap.servers` at least."""


def read_topics(conf: KafkaConf, names: Iterable[str]) -> dict[str, Topic]:
    """Return the existing topics, each with every setting in force.

    Raises:
        BrokerUnavailable: no broker answers.
    """
    return _read(_client(conf), conf, list(names))


def ensure_topics(
    conf: KafkaConf, prefix: str = DEFAULT_PREFIX, *, partitions: int | None = None, replicas: int | None = None
) -> list[Difference]:
    """Make the topics as their files want them, and return what was changed once every topic can be written to.

    Raises:
        UsageError: something would shrink; nothing is changed then.
        BrokerUnavailable: no broker answers.
    """
    desired, differences = compare(conf, prefix, partitions=partitions, replicas=replicas)
    apply(conf, desired, differences)
    return differences


def compare(
    conf: KafkaConf, prefix: str, *, partitions: int | None, replicas: int | None
) -> tuple[list[Topic], list[Difference]]:
    """Return the topics as they should be, and what differs. Arguments as of `desired_topics`.

    Raises:
        UsageError: the existing topics have unequal partition counts; as `desired_topics` raises it.
        BrokerUnavailable: no broker answers.
    """
    desired = desired_topics(prefix, partitions=partitions, replicas=replicas)
    actual = read_topics(conf, [topic.name for topic in desired])
    if partitions is None:
        desired = as_grown(desired, actual)
    return desired, plan(desired, actual)


def apply(conf: KafkaConf, desired: Iterable[Topic], differences: Iterable[Difference]) -> None:
    """Do what `differences` plans. If one of them is refused, nothing is done.

    Raises:
        UsageError: one is refused.
        BrokerUnavailable: no broker answers.
    """
    planned = list(differences)
    for refused in planned:
        if refused.action is Action.REFUSE:
            raise UsageError(
                f"{refused.topic}: {refused.subject} is {refused.actual} and should be {refused.desired}",
                remedy=refused.remedy,
            )
    if not planned:
        return
    client = _client(conf)
    topics = {topic.name: topic for topic in desired}
    created = [topics[difference.topic] for difference in planned if difference.action is Action.CREATE]
    _create(client, conf, created)
    _set(client, conf, [difference for difference in planned if difference.action is Action.SET])
    _await_leaders(client, conf, {topic.name: topic.partitions for topic in created})


def count_partitions(conf: KafkaConf, names: Iterable[str]) -> dict[str, int]:
    """Return the number of partitions of each of `names`.

    Raises:
        UsageError: one does not exist.
        BrokerUnavailable: no broker answers.
    """
    wanted = list(names)
    counts = {name: len(topic.partitions) for name, topic in _known(_client(conf), conf, wanted).items()}
    if missing := [name for name in wanted if name not in counts]:
        raise no_topic(*missing)
    return counts


def add_partitions(conf: KafkaConf, names: Iterable[str], count: int) -> None:
    """Give each of `names` new partitions, so that it has `count`, and wait until all can be written to.

    Raises:
        UsageError: it is refused.
        BrokerUnavailable: no broker answers.
    """
    client = _client(conf)
    added = [NewPartitions(name, count) for name in names]
    if not added:
        return
    answers = client.create_partitions(added, request_timeout=REQUEST_TIMEOUT_S, operation_timeout=REQUEST_TIMEOUT_S)
    wait(answers.values())
    for name, answer in answers.items():
        _result(answer, conf, f"Alter on topic {name}")
    _await_leaders(client, conf, dict.fromkeys(answers, count))


def check_topics(conf: KafkaConf, prefix: str, *, raw: str | None = None) -> int:
    """Return the number of partitions of all topics of `prefix`. `raw` stands in place of its raw topic.

    Raises:
        UsageError: a topic is missing, the numbers differ, or a setting breaks the rules (`check_configs`).
        BrokerUnavailable: no broker answers.
    """
    names = [topic.name for topic in desired_topics(prefix)]
    own_raw, state = f"{prefix}.raw", f"{prefix}.state"
    if raw is not None:
        names[names.index(own_raw)] = raw
    counts = count_partitions(conf, names)
    check_partitions(Topic(name, count, 0, {}) for name, count in counts.items())
    described = _describe(_client(conf), [raw or own_raw, state])
    told = (Topic(name, counts[name], 0, readable(answer, conf)) for name, answer in described.items())
    check_configs(*told, is_ours=raw in (None, own_raw))
    return next(iter(counts.values()))


def readable(answer: "Future[dict[str, ConfigEntry]]", conf: KafkaConf) -> dict[str, str]:
    """Return the settings in `answer`. It is empty if we have no right to read them.

    Raises:
        A3CPError: there is no answer for another reason.
    """
    try:
        entries = answer.result()
    except KafkaException as error:
        # A site may keep DescribeConfigs to its operators: what cannot be seen is theirs to get right.
        if error_of(error).code() in (KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.CLUSTER_AUTHORIZATION_FAILED):
            return {}
        _raise(error, conf)
    return {entry.name: entry.value for entry in entries.values() if entry.value is not None}


def _client(conf: KafkaConf) -> AdminClient:
    # librdkafka would print each failed connection to stderr; here the exception says it, once.
    return AdminClient({"socket.connection.setup.timeout.ms": 5000, **conf})


def _known(client: AdminClient, conf: KafkaConf, names: Iterable[str]) -> dict[str, TopicMetadata]:
    """Return the metadata of those of `names` that exist."""
    with _told(conf):
        known = client.list_topics(timeout=METADATA_TIMEOUT_S).topics
    return {name: known[name] for name in names if name in known}


def _read(client: AdminClient, conf: KafkaConf, names: list[str]) -> dict[str, Topic]:
    known = _known(client, conf, names)
    if not known:
        return {}
    topics = {}
    for name, answer in _describe(client, list(known)).items():
        entries = _result(answer, conf, f"DescribeConfigs on topic {name}")
        configs = {entry.name: entry.value for entry in entries.values() if entry.value is not None}
        partitions = known[name].partitions.values()
        replicas = min((len(partition.replicas) for partition in partitions), default=0)
        topics[name] = Topic(name, len(partitions), replicas, configs)
    return topics


def _describe(client: AdminClient, names: list[str]) -> "dict[str, Future[dict[str, ConfigEntry]]]":
    """Return the answer for each of `names`, in that order: the settings in force, or why there are none."""
    resources = {name: ConfigResource(ResourceType.TOPIC, name) for name in names}
    answers = client.describe_configs(list(resources.values()), request_timeout=REQUEST_TIMEOUT_S)
    wait(answers.values())  # librdkafka crashes when a client goes while one of its answers is still on the way.
    return {name: answers[resource] for name, resource in resources.items()}


def _create(client: AdminClient, conf: KafkaConf, topics: list[Topic]) -> None:
    if not topics:
        return
    new = [NewTopic(topic.name, topic.partitions, topic.replicas, config=dict(topic.configs)) for topic in topics]
    answers = client.create_topics(new, request_timeout=REQUEST_TIMEOUT_S, operation_timeout=REQUEST_TIMEOUT_S)
    wait(answers.values())
    for name, future in answers.items():
        try:
            future.result()
        except KafkaException as error:
            # Two workers that start together may both see a topic missing; the second one finds it made.
            if error_of(error).code() != KafkaError.TOPIC_ALREADY_EXISTS:
                _raise(error, conf, f"Create on topic {name}")


def _set(client: AdminClient, conf: KafkaConf, differences: list[Difference]) -> None:
    by_topic: dict[str, list[ConfigEntry]] = {}
    for difference in differences:
        entry = ConfigEntry(difference.subject, difference.desired, incremental_operation=AlterConfigOpType.SET)
        by_topic.setdefault(difference.topic, []).append(entry)
    resources = [
        ConfigResource(ResourceType.TOPIC, name, incremental_configs=entries) for name, entries in by_topic.items()
    ]
    if resources:
        answers = client.incremental_alter_configs(resources, request_timeout=REQUEST_TIMEOUT_S)
        wait(answers.values())
        for resource, future in answers.items():
            _result(future, conf, f"AlterConfigs on topic {resource.name}")


def _await_leaders(client: AdminClient, conf: KafkaConf, counts: Mapping[str, int]) -> None:
    """Wait until topics have leaders for so many partitions."""
    deadline = time.monotonic() + VISIBLE_TIMEOUT_S
    waiting = dict(counts)
    while waiting:
        for name, topic in _known(client, conf, list(waiting)).items():
            if sum(partition.leader >= 0 for partition in topic.partitions.values()) == waiting[name]:
                del waiting[name]
        if waiting:
            if time.monotonic() > deadline:
                raise BrokerUnavailable(
                    f"{', '.join(waiting)}: made, but without a leader", remedy="look at the broker's log"
                )
            time.sleep(POLL_S)


def _result(future: "Future[T]", conf: KafkaConf, needs: str) -> T:
    with _told(conf, needs):
        return future.result()


@contextmanager
def _told(conf: KafkaConf, needs: str = "") -> Iterator[None]:
    """Turn the client's errors into ours."""
    try:
        yield
    except KafkaException as error:
        _raise(error, conf, needs)


def _raise(error: KafkaException, conf: KafkaConf, needs: str = "") -> Never:
    """Raise what `error` means for the caller."""
    if error_of(error).code() in AWAY:
        raise unreachable("asking for topics", error, conf) from error
    servers = conf.get("bootstrap.servers", "")
    if error_of(error).code() in NEEDED:
        raise failure("asking for topics", error, conf=conf, needs=needs) from error
    if error_of(error).code() in REFUSED:
        raise UsageError(
            f"the broker at {servers} forbids it ({error_of(error).name()})",
            remedy="check the user, its rights (docs/security.md) and the [kafka] settings",
        ) from error
    what = f"the broker at {servers} refused: {error_of(error).str()}"
    if error_of(error).code() == KafkaError.INVALID_REPLICATION_FACTOR:
        raise UsageError(what, remedy="ask for fewer copies: --replicas 1 with a single broker") from error
    raise Fatal(what, remedy="look at the broker's log") from error
