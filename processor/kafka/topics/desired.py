"""The topics as their files in topics/ want them, and what differs on the broker. Nothing here connects to one."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import Enum
from functools import cache
from pathlib import Path

import yaml

from processor.errors import UsageError
from processor.settings.documents import topic_files
from processor.upstream.words.counting import counted

DEFAULT_PREFIX = "a3cp"
PREFIX_BYTES_MAX = 200
API_VERSION = "kafka.jikkou.io/v1"

NEVER_LOWERED = frozenset({"retention.ms", "retention.bytes", "delete.retention.ms", "max.message.bytes"})
"""Lowering one of these deletes records or refuses some that were legal."""

UNLIMITED = -1
LOG_APPEND_TIME = "LogAppendTime"
COMPACT = "compact"


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic as it should be, or as it is; as it is, `configs` holds every setting in force."""

    name: str
    partitions: int
    replicas: int
    configs: Mapping[str, str]


class Action(Enum):
    """What `apply` does about a difference."""

    CREATE = "create"
    SET = "set"
    REFUSE = "refuse"


@dataclass(frozen=True, slots=True)
class Difference:
    """One point in which a topic is not as its file wants it.

    `subject` is `topic`, `partitions`, `replicas` or the name of a setting; `remedy` is for a refused one.
    """

    topic: str
    subject: str
    actual: str | None
    desired: str
    action: Action
    remedy: str = ""


def desired_topics(
    prefix: str = DEFAULT_PREFIX, *, partitions: int | None = None, replicas: int | None = None
) -> list[Topic]:
    """Return the topics of the files, with another prefix, number of partitions or of replicas where given.

    With three replicas or more `min.insync.replicas` is 2: without it they do not protect what is committed.

    Raises:
        UsageError: the prefix is no legal start of a topic name, or the files want different numbers of partitions.
    """
    if not (
        0 < len(prefix.encode()) <= PREFIX_BYTES_MAX
        and all(c.isascii() and (c.isalnum() or c in "._-") for c in prefix)
    ):
        raise UsageError(
            f"{prefix!r} cannot start a topic name", remedy="use letters, digits, '.', '_' and '-', at most 200 of them"
        )
    topics = []
    for shipped in _shipped():
        topic = replace(
            shipped,
            name=prefix + shipped.name.removeprefix(DEFAULT_PREFIX),
            partitions=partitions or shipped.partitions,
            replicas=replicas or shipped.replicas,
        )
        if topic.replicas >= 3:
            topic = replace(topic, configs={"min.insync.replicas": "2", **topic.configs})
        topics.append(topic)
    check_partitions(topics)
    return topics


@cache
def _shipped() -> tuple[Topic, ...]:
    return tuple(map(read_topic, topic_files()))


def read_topic(path: Path) -> Topic:
    """Return the topic of one file in Jikkou's KafkaTopic form.

    Raises:
        UsageError: it is not of that form.
    """
    try:
        document = yaml.safe_load(path.read_text("utf-8"))
        if (document["apiVersion"], document["kind"]) != (API_VERSION, "KafkaTopic"):
            raise ValueError("another kind")
        spec = document["spec"]
        configs = {str(name): _text(value) for name, value in spec["configs"].items()}
        return Topic(str(document["metadata"]["name"]), int(spec["partitions"]), int(spec["replicas"]), configs)
    except (yaml.YAMLError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise UsageError(
            f"{path.name} is no KafkaTopic of {API_VERSION}", remedy="compare it with the other topics' files"
        ) from error


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def check_partitions(topics: Iterable[Topic]) -> None:
    """Check that all of `topics` have the same number of partitions.

    Raises:
        UsageError: they have not. Output goes to the partition of its input, so that would be no working set.
    """
    counts = {topic.name: topic.partitions for topic in topics}
    if len(set(counts.values())) > 1:
        listed = ", ".join(f"{name} {count}" for name, count in sorted(counts.items()))
        raise UsageError(
            f"unequal partition counts: {listed}",
            remedy="all topics of one prefix need the same number: if a3cp topics grow was interrupted, run it again; "
            "else apply them under another prefix (--prefix, A3CP_TOPIC_PREFIX) and replay, or delete those that hold "
            "nothing and apply again",
        )


def check_configs(raw: Topic, state: Topic, *, is_ours: bool) -> None:
    """Check the settings on which the rules rest. A setting that is not known passes.

    Args:
        raw, state: the topics.
        is_ours: whether `raw` is the prefix's own. Another one may be a mirror: it keeps the append times of the topic
            that it mirrors, and so its own setting is CreateTime.

    Raises:
        UsageError: the broker does not stamp records (rules R10 and R14 need that), or states get lost.
    """
    if is_ours:
        check_stamped(raw)
    check_kept(state)


def check_stamped(raw: Topic) -> None:
    """Check that the broker stamps the records of `raw`.

    Raises:
        UsageError: it does not.
    """
    stamped = raw.configs.get("message.timestamp.type", LOG_APPEND_TIME)
    if stamped != LOG_APPEND_TIME:
        raise UsageError(
            f"{raw.name}: message.timestamp.type is {stamped}, so wrong clocks would end sessions",
            remedy=f"set it to {LOG_APPEND_TIME} with a3cp topics apply; a mirror of another cluster's topic is read "
            "by A3CP_RAW_TOPIC (docs/operations.md, 'Another cluster')",
        )


def check_kept(state: Topic) -> None:
    """Check that the latest state of each user stays in `state`.

    Raises:
        UsageError: states get lost.
    """
    policy = state.configs.get("cleanup.policy", COMPACT)
    if COMPACT not in policy.split(","):
        raise UsageError(
            f"{state.name}: cleanup.policy is {policy}, so open sessions would be forgotten",
            remedy=f"set it to {COMPACT} with Kafka's own kafka-configs; if states may be lost already, apply under "
            "another prefix and replay",
        )


def as_grown(desired: Iterable[Topic], actual: Mapping[str, Topic]) -> list[Topic]:
    """Return `desired` with as many partitions as there are, if these are more: the topics have been grown."""
    there = max((topic.partitions for topic in actual.values()), default=0)
    return [replace(topic, partitions=max(there, topic.partitions)) for topic in desired]


def plan(desired: Iterable[Topic], actual: Mapping[str, Topic]) -> list[Difference]:
    """Return what differs, in the order of `desired`. What would shrink or delete is refused.

    Raises:
        UsageError: the existing topics have unequal partition counts.
    """
    wanted = list(desired)
    check_partitions(actual[topic.name] for topic in wanted if topic.name in actual)
    differences: list[Difference] = []
    for topic in wanted:
        existing = actual.get(topic.name)
        if existing is None:
            shape = f"{counted(topic.partitions, 'partition')}, {counted(topic.replicas, 'replica')}"
            differences.append(Difference(topic.name, "topic", None, shape, Action.CREATE))
        else:
            differences += _shape(topic, existing) + _configs(topic, existing)
    return differences


def _shape(topic: Topic, existing: Topic) -> list[Difference]:
    differences = []
    if topic.partitions != existing.partitions:
        remedy = (
            f"another number sends users away from their state: keep {existing.partitions} with --partitions "
            f"{existing.partitions}, or move users and states to a multiple with a3cp topics grow"
        )
        differences.append(_refused(topic, "partitions", existing.partitions, topic.partitions, remedy))
    # More replicas than asked for are no fault.
    if topic.replicas > existing.replicas:
        remedy = (
            f"move it with Kafka's own kafka-reassign-partitions tool, or keep it with --replicas {existing.replicas}"
        )
        differences.append(_refused(topic, "replicas", existing.replicas, topic.replicas, remedy))
    return differences


def _configs(topic: Topic, existing: Topic) -> list[Difference]:
    differences = []
    for name, value in topic.configs.items():
        now = existing.configs.get(name)
        if now == value:
            continue
        if name == "cleanup.policy" and now is not None:
            remedy = "another policy deletes records: apply under another prefix and replay"
            differences.append(_refused(topic, name, now, value, remedy))
        elif name in NEVER_LOWERED and now is not None and _size(value) < _size(now):
            remedy = f"lowering it deletes or refuses records: put {now} into the file, or lower it with Kafka's tools"
            differences.append(_refused(topic, name, now, value, remedy))
        else:
            differences.append(Difference(topic.name, name, now, value, Action.SET))
    return differences


def _size(value: str) -> float:
    return float("inf") if int(value) == UNLIMITED else int(value)


def _refused(topic: Topic, subject: str, actual: object, desired: object, remedy: str) -> Difference:
    return Difference(topic.name, subject, str(actual), str(desired), Action.REFUSE, remedy)
