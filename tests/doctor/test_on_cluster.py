"""What a cluster says of itself is judged: each check, well and not well."""

from collections.abc import Mapping
from typing import Any

import pytest

from processor.doctor.finding import Finding, State
from processor.doctor.on_cluster import of_cluster
from processor.kafka.overview.cluster import Cluster, TopicSeen
from processor.kafka.topics.desired import desired_topics
from processor.settings.model import Settings

ALL_RIGHTS = frozenset({"READ", "WRITE", "DESCRIBE"})
LIMITS = {
    "offsets.retention.minutes": "10080",
    "transaction.max.timeout.ms": "900000",
    "group.min.session.timeout.ms": "6000",
    "group.max.session.timeout.ms": "1800000",
}
WELL = Cluster(3, LIMITS, {topic.name: TopicSeen(topic, (), (), ALL_RIGHTS) for topic in desired_topics(replicas=3)})


def changed(name: str, configs: Mapping[str, str] | None = None, *, replicas: int = 3, **fields: Any) -> Cluster:
    """Return the cluster with another `name`: its settings, its copies or what else is seen of it."""
    seen = WELL.topics[name]
    configs = seen.topic.configs if configs is None else {**seen.topic.configs, **configs} if configs else {}
    topic = seen.topic.__class__(name, seen.topic.partitions, replicas, configs)
    return WELL._replace(topics={**WELL.topics, name: seen._replace(topic=topic, **fields)})


def findings(cluster: Cluster, **settings: Any) -> dict[str, Finding]:
    found = {finding.check: finding for finding in of_cluster(cluster, Settings(**settings))}
    assert all(bool(finding.remedy) == (finding.state is not State.OK) for finding in found.values())
    return found


def test_all_is_well() -> None:
    """Three brokers, and topics as their files want them."""
    assert {finding.state for finding in findings(WELL).values()} == {State.OK}


@pytest.mark.parametrize(
    ("cluster", "check", "state", "words"),
    [
        (WELL._replace(settings={**LIMITS, "inter.broker.protocol.version": "3.7-IV4"}), "broker", State.LOOK, "3.7"),
        (WELL._replace(settings={}), "broker", State.UNSEEN, "DescribeConfigs"),
        (WELL._replace(settings={}), "time-outs", State.UNSEEN, "DescribeConfigs"),
        (
            WELL._replace(settings={**LIMITS, "transaction.max.timeout.ms": "5000"}),
            "time-outs", State.WRONG, "A3CP_TRANSACTION_TIMEOUT_MS is 10,000 ms, and the broker allows 10,000 to 5,000",
        ),
        (
            WELL._replace(settings={**LIMITS, "group.min.session.timeout.ms": "30000"}),
            "time-outs", State.WRONG, "the broker allows 30,000",
        ),
        (WELL._replace(topics={}), "topics", State.WRONG, "no topic a3cp.raw, a3cp.tagged"),
        (changed("a3cp.state", leaderless=(2,)), "topics", State.WRONG, "a3cp.state: partition 2 without a leader"),
        (changed("a3cp.raw", {"message.timestamp.type": "CreateTime"}), "timestamp type", State.WRONG, "CreateTime"),
        (changed("a3cp.raw", {}), "timestamp type", State.UNSEEN, "DescribeConfigs"),
        (changed("a3cp.raw", {}), "topic settings", State.UNSEEN, "DescribeConfigs"),
        (changed("a3cp.raw", {}), "offsets retention", State.UNSEEN, "DescribeConfigs"),
        (changed("a3cp.state", {"cleanup.policy": "delete"}), "topic settings", State.WRONG, "forgotten"),
        (changed("a3cp.dlq", {"retention.ms": "1"}), "topic settings", State.LOOK, "a3cp.dlq: retention.ms is 1 and"),
        (changed("a3cp.tagged", incomplete=(0, 1)), "replication", State.LOOK, "gone: a3cp.tagged partitions 0-1"),
        (changed("a3cp.tagged", replicas=2), "replication", State.LOOK, "copies of a3cp.tagged: 2"),
        (
            changed("a3cp.tagged", {"min.insync.replicas": "1"}),
            "replication", State.LOOK, "of which 1 must have",
        ),
        (changed("a3cp.raw", {"retention.ms": "-1"}), "offsets retention", State.LOOK, "a group that is off for 10080"),
        (changed("a3cp.raw", {"retention.ms": "604800001"}), "offsets retention", State.LOOK, "a group that is off"),
    ],
)  # fmt: skip
def test_what_is_not_well_is_told(cluster: Cluster, check: str, state: State, words: str) -> None:
    """The check has this state, says this, and has a remedy."""
    finding = findings(cluster)[check]
    assert finding.state is state
    assert words in finding.what


def test_rights_are_told_by_command() -> None:
    """One user need not have the rights of all parts; with those of none it can do nothing."""
    reads = frozenset({"READ", "DESCRIBE"})
    readable = WELL._replace(topics={name: seen._replace(rights=reads) for name, seen in WELL.topics.items()})
    finding = findings(readable)["rights"]
    assert finding.state is State.OK
    assert finding.what.startswith("enough for a3cp export; a3cp process lacks Write on a3cp.tagged, a3cp.sessions, ")
    assert "; a3cp serve lacks Write on a3cp.raw; a3cp hooks lacks Write on a3cp.raw, a3cp.dlq; " in finding.what
    assert finding.what.endswith("; a3cp produce lacks Write on a3cp.raw; a3cp seal lacks Write on a3cp.sessions")
    blind = WELL._replace(topics={name: seen._replace(rights=frozenset()) for name, seen in WELL.topics.items()})
    assert findings(blind)["rights"].state is State.WRONG


def test_a_user_sees_only_what_it_needs() -> None:
    """A topic that this user may not see is not missing; what it says is unseen, and nothing is wrong."""
    names = ("a3cp.tagged", "a3cp.sessions")
    hidden = frozenset(WELL.topics.keys() - set(names))
    exporter = Cluster(3, {}, {name: WELL.topics[name] for name in names}, hidden)
    found = findings(exporter)
    assert {check for check, finding in found.items() if finding.state is State.OK} == {"replication", "rights"}
    assert {finding.state for finding in found.values()} == {State.OK, State.UNSEEN}
    assert found["topics"].what == "this user may not see a3cp.dlq, a3cp.raw, a3cp.state"
    assert findings(Cluster(3, {}, {}, hidden | set(names)))["rights"].state is State.WRONG


def test_another_log_may_keep_its_times() -> None:
    """A mirror of another cluster's topic has CreateTime, and nothing is written to it."""
    mirror = WELL.topics["a3cp.raw"]
    topic = mirror.topic.__class__("main.raw", 4, 3, {**mirror.topic.configs, "message.timestamp.type": "CreateTime"})
    others = {name: seen for name, seen in WELL.topics.items() if name != "a3cp.raw"}
    seen = TopicSeen(topic, (), (), frozenset({"READ"}))
    found = findings(WELL._replace(topics={**others, "main.raw": seen}), raw_topic="main.raw")
    assert {finding.state for finding in found.values()} == {State.OK}
