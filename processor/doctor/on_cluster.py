"""Checks of what a cluster says of itself."""

from collections.abc import Iterable, Iterator
from typing import Final

from processor.core.model import HOUR_MS
from processor.doctor.finding import Finding, State, found
from processor.kafka.failures import no_topic
from processor.kafka.overview.cluster import Cluster
from processor.kafka.overview.overview import numbered
from processor.kafka.topics.desired import check_kept, check_partitions, check_stamped, desired_topics, plan
from processor.settings.model import Settings
from processor.upstream.words.counting import counted

COPIES: Final = 3
COPIES_IN_SYNC: Final = 2
_IN_SYNC: Final = "min.insync.replicas"
GRANT: Final = "grant it to this user to have it checked (docs/security.md)"
_FORMER_VERSION: Final = "inter.broker.protocol.version"  # a setting of Kafka up to 3.9


def of_cluster(cluster: Cluster, settings: Settings) -> Iterator[Finding]:
    """Yield a finding for each check."""
    yield broker(cluster)
    yield time_outs(cluster, settings)
    yield found("topics", lambda: topics(cluster, settings))
    if not missing(cluster, settings):
        yield found("timestamp type", lambda: timestamp_type(cluster, settings))
        yield found("topic settings", lambda: topic_settings(cluster, settings))
        yield from replication(cluster)
        yield rights(cluster, settings)
        yield offsets_retention(cluster, settings.topics().raw)


def missing(cluster: Cluster, settings: Settings) -> list[str]:
    """Return the topics that do not exist."""
    return [name for name in settings.topics() if name not in cluster.topics and name not in cluster.hidden]


def broker(cluster: Cluster) -> Finding:
    """Tell the version, as far as the settings of a broker give it away."""
    count = counted(cluster.brokers, "broker")
    if not cluster.settings:
        return Finding(
            "broker", State.UNSEEN, f"{count}, of a version that needs DescribeConfigs on the cluster", GRANT
        )
    former = cluster.settings.get(_FORMER_VERSION)
    if former is None:
        return Finding("broker", State.OK, f"{count}, Kafka 4 or newer")
    return Finding("broker", State.LOOK, f"{count}, Kafka {former}", "this release is tested with Kafka 4: upgrade")


def time_outs(cluster: Cluster, settings: Settings) -> Finding:
    """Compare the time-outs of workers with those that the brokers allow."""
    checked = (
        ("A3CP_TRANSACTION_TIMEOUT_MS", settings.transaction_timeout_ms, None, "transaction.max.timeout.ms"),
        (
            "A3CP_SESSION_TIMEOUT_MS",
            settings.session_timeout_ms,
            "group.min.session.timeout.ms",
            "group.max.session.timeout.ms",
        ),
    )
    for setting, ms, least, most in checked:
        low, high = (int(cluster.settings.get(name or "", ms)) for name in (least, most))
        if not low <= ms <= high:
            what = f"{setting} is {ms:,} ms, and the broker allows {low:,} to {high:,}"
            return Finding("time-outs", State.WRONG, what, f"change it, or the broker's {most if ms > high else least}")
    if not cluster.settings:
        return Finding("time-outs", State.UNSEEN, "what the broker allows needs DescribeConfigs on the cluster", GRANT)
    return Finding("time-outs", State.OK, "the broker allows those of transactions and of the group")


def topics(cluster: Cluster, settings: Settings) -> Finding:
    """Check that all are there, with the same number of partitions, each with a leader.

    Raises:
        UsageError: one is missing, or the numbers differ.
    """
    if gone := missing(cluster, settings):
        raise no_topic(*gone)
    check_partitions(seen.topic for seen in cluster.topics.values())
    for name, seen in cluster.topics.items():
        if seen.leaderless:
            what = f"{name}: {numbered(seen.leaderless)} without a leader"
            return Finding("topics", State.WRONG, what, "start the brokers that have a copy of it")
    if cluster.hidden:
        return Finding("topics", State.UNSEEN, f"this user may not see {', '.join(sorted(cluster.hidden))}", GRANT)
    counts = {seen.topic.partitions for seen in cluster.topics.values()}
    return Finding(
        "topics", State.OK, f"{counted(len(cluster.topics), 'topic')}, {counted(counts.pop(), 'partition')} each"
    )


def timestamp_type(cluster: Cluster, settings: Settings) -> Finding:
    """Check that the broker stamps what comes.

    Raises:
        UsageError: it does not.
    """
    name = settings.topics().raw
    if settings.reads_another_log:
        return Finding("timestamp type", State.OK, f"{name} is another log's, and keeps its times")
    raw = cluster.topics.get(name)
    if raw is None or not raw.topic.configs:
        return Finding("timestamp type", State.UNSEEN, f"{name}: its settings need DescribeConfigs", GRANT)
    check_stamped(raw.topic)
    return Finding("timestamp type", State.OK, f"the broker stamps what comes to {name}")


def topic_settings(cluster: Cluster, settings: Settings) -> Finding:
    """Check that the topics have the settings of their files.

    Raises:
        UsageError: states get lost.
    """
    seen = {name: one.topic for name, one in cluster.topics.items()}
    if state := seen.get(settings.topics().state):
        check_kept(state)
    if cluster.hidden or not all(one.configs for one in seen.values()):
        return Finding("topic settings", State.UNSEEN, "they need DescribeConfigs on the topics", GRANT)
    differing = [
        f"{one.topic}: {one.subject} is {one.actual} and should be {one.desired}"
        for one in plan(desired_topics(settings.topic_prefix), seen)
        if one.subject not in ("topic", "partitions", "replicas")
    ]
    if differing:
        more = f", and {len(differing) - 1} more" if differing[1:] else ""
        return Finding("topic settings", State.LOOK, differing[0] + more, "see a3cp topics plan, then apply")
    return Finding("topic settings", State.OK, "as the files of the topics want them")


def replication(cluster: Cluster) -> Iterator[Finding]:
    """Check that the loss of a broker loses nothing, if any topic is seen."""
    check = "replication"
    incomplete = [f"{name} {numbered(seen.incomplete)}" for name, seen in cluster.topics.items() if seen.incomplete]
    if incomplete:
        what = f"a copy is behind or gone: {', '.join(incomplete)}"
        yield Finding(check, State.LOOK, what, "start the broker that has it, and look at its log")
    elif topics := [seen.topic for seen in cluster.topics.values()]:
        least = min(topics, key=lambda topic: topic.replicas)
        in_sync = min(int(topic.configs.get(_IN_SYNC, COPIES_IN_SYNC)) for topic in topics)
        what = f"copies of {least.name}: {least.replicas}"
        if in_sync < COPIES_IN_SYNC:
            what += f", of which {in_sync} must have what is committed"
        if least.replicas < COPIES or in_sync < COPIES_IN_SYNC:
            yield Finding(check, State.LOOK, what, "have three brokers, and make the topics with --replicas 3")
        else:
            yield Finding(check, State.OK, what)


def lacking(cluster: Cluster, settings: Settings) -> dict[str, str]:
    """Return by command which rights on the topics this user lacks for it, as far as a broker tells them."""
    raw, tagged, sessions, state, dlq = settings.topics()
    sent_on = () if settings.reads_another_log else (raw,)  # records in a wrong partition
    needed = {  # what it reads, and what it writes
        "a3cp process": ((raw, state), (tagged, sessions, state, dlq, *sent_on)),
        "a3cp export": ((tagged, sessions), ()),
        "a3cp canary": ((tagged,), (raw,)),
        "a3cp serve": ((tagged, sessions, state), (raw,)),
        "a3cp hooks": ((tagged, sessions, state), (raw, dlq)),
        "a3cp produce": ((), (raw,)),
        "a3cp seal": ((), (sessions,)),
    }
    have = {name: seen.rights for name, seen in cluster.topics.items()}

    def lacks(right: str, names: Iterable[str]) -> str:
        lacked = [name for name in names if right not in have.get(name, ())]
        return f"{right.title()} on {', '.join(lacked)}" if lacked else ""

    return {
        command: " and ".join(filter(None, (lacks("READ", read), lacks("WRITE", written))))
        for command, (read, written) in needed.items()
    }


def rights(cluster: Cluster, settings: Settings) -> Finding:
    """Say for which commands this user's rights are enough."""
    lacked = lacking(cluster, settings)
    enough = ", ".join(command for command, lacks in lacked.items() if not lacks)
    short = "; ".join(f"{command} lacks {lacks}" for command, lacks in lacked.items() if lacks)
    if not enough:
        return Finding("rights", State.WRONG, short, "grant what the part needs that is this user (docs/security.md)")
    return Finding("rights", State.OK, f"enough for {enough}" + (f"; {short}" if short else ""))


def offsets_retention(cluster: Cluster, raw: str) -> Finding:
    """Check that Kafka remembers how far an idle group was for as long as there are records for it."""
    check = "offsets retention"
    minutes = cluster.settings.get("offsets.retention.minutes")
    kept = cluster.topics[raw].topic.configs.get("retention.ms") if raw in cluster.topics else None
    if minutes is None or kept is None:
        return Finding(check, State.UNSEEN, "it needs DescribeConfigs on the cluster and on the topics", GRANT)
    if int(kept) < 0 or int(kept) > int(minutes) * HOUR_MS // 60:
        what = f"a group that is off for {minutes} min is forgotten, while {raw} still has records for it"
        return Finding(check, State.LOOK, what, "raise the brokers' offsets.retention.minutes")
    return Finding(check, State.OK, f"{minutes} min, as long as {raw} keeps records")
