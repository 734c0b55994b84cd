"""Checks of how the work stands: the group, the clocks, the registry, what waits and why."""

from collections.abc import Callable, Collection, Iterator
from typing import Final

from processor.doctor.finding import Finding, State, found
from processor.doctor.on_cluster import GRANT, lacking
from processor.kafka.committed.lost_offsets import refuse_lost_offsets
from processor.kafka.committed.origin import refuse_other_topics
from processor.kafka.offsets import latest_ms
from processor.kafka.overview.cluster import Cluster
from processor.kafka.overview.open_transactions import open_transactions
from processor.kafka.overview.overview import overview, troubles
from processor.kafka.registry import Registry
from processor.kafka.worker.other_groups import refuse_another_group
from processor.settings.model import Settings
from processor.upstream.words.counting import counted

AHEAD_MS: Final = 5_000
_REGISTRY: Final = "schema ids"
_GROUPS: Final = ("group", "lag")


def of_work(cluster: Cluster, settings: Settings, partitions: int, now_ms: Callable[[], int]) -> Iterator[Finding]:
    """Yield a finding for each check. What this user may not ask is unseen: a broker would let it wait for an answer.

    Args:
        cluster: what is seen of it; settings: say where all is.
        partitions: how many each topic has.
        now_ms: the clock of this machine.
    """
    if not lacking(cluster, settings)["a3cp process"]:
        yield found("group", lambda: group(settings, partitions))
        yield found("lag", lambda: lag(settings))
    else:
        yield from (Finding(check, State.UNSEEN, "it needs the rights of a3cp process", GRANT) for check in _GROUPS)
    if settings.topics().raw in cluster.topics:
        yield found("clock", lambda: clock(settings, partitions, now_ms))
    else:
        yield Finding("clock", State.UNSEEN, f"it needs Describe on {settings.topics().raw}", GRANT)
    yield found(_REGISTRY, lambda: schema_ids(settings), at_fault=State.LOOK)
    yield found("open transactions", lambda: transactions(settings, cluster.topics, partitions))


def group(settings: Settings, partitions: int) -> Finding:
    """Check what a worker refuses at its start: offsets that are lost, of other topics, or another group at work.

    Raises:
        UsageError: one of them is so.
    """
    conf, names = settings.kafka_conf(), settings.topics()
    refuse_lost_offsets(conf, settings.group_id, raw=names.raw, state=names.state, partitions=partitions)
    refuse_other_topics(conf, settings.group_id, names.by_role, partitions)
    refuse_another_group(conf, settings.group_id, names.tagged)
    return Finding(
        "group", State.OK, f"the offsets of {settings.group_id} fit these topics, and no other group writes to them"
    )


def clock(settings: Settings, partitions: int, now_ms: Callable[[], int]) -> Finding:
    """Compare the newest append time with the clock of this machine. A broker's clock that is behind is not seen."""
    raw = settings.topics().raw
    newest_ms = latest_ms(settings.kafka_conf(), raw, range(partitions))
    if newest_ms < 0:
        return Finding(
            "clock", State.UNSEEN, f"{raw} holds no record to compare with", "look again once there are messages"
        )
    ahead_ms = newest_ms - now_ms()
    if ahead_ms > AHEAD_MS:
        what = (
            f"the newest record of {raw} was appended {ahead_ms / 1000:,.0f} s from now, by the clock of this machine"
        )
        return Finding("clock", State.LOOK, what, "set the clocks of the brokers and of this machine by NTP")
    return Finding("clock", State.OK, f"no record of {raw} is from the future")


def schema_ids(settings: Settings) -> Finding:
    """Ask the registry under which ids it knows the schemas of what is written.

    Raises:
        RegistryUnavailable: it does not answer.
    """
    if settings.schema_registry_url is None:
        return Finding(_REGISTRY, State.OK, "no registry is named: records are JSON, or have a schema that is shipped")
    registry, names = Registry(settings.schema_registry_url), settings.topics()
    known = {subject: registry.latest_id(subject) for subject in (f"{names.tagged}-value", f"{names.sessions}-value")}
    words = ", ".join(f"{subject} {'none yet' if each is None else f'id {each}'}" for subject, each in known.items())
    return Finding(_REGISTRY, State.OK, f"the registry answers: {words}")


def lag(settings: Settings) -> Finding:
    """Say how far workers are, and what keeps them from getting further."""
    standing = overview(settings.kafka_conf(), settings.topics(), settings.group_id)
    workers = len(standing.workers)
    words = f"{counted(workers, 'worker')}, {counted(sum(one.lag for one in standing.progress), 'offset')} behind"
    seen = tuple(topic for topic in standing.topics if topic.partitions)
    if wrong := troubles(standing._replace(topics=seen)):
        what, _, remedy = wrong[0].partition("; ")
        return Finding("lag", State.LOOK, f"{what} ({words})", remedy)
    return Finding("lag", State.OK, words)


def transactions(settings: Settings, topics: Collection[str], partitions: int) -> Finding:
    """Look for transactions that stay open: nothing behind them is seen by readers of committed records."""
    places = [(name, partition) for name in topics for partition in range(partitions)]
    standing = open_transactions(settings.kafka_conf(), places)
    if standing:
        (topic, partition), (offset, hidden) = next(iter(standing.items()))
        what = (
            f"{counted(hidden, 'offset waits', 'offsets wait')} behind an open transaction at "
            f"{topic}[{partition}]@{offset}"
        )
        more = f", and in {counted(len(standing) - 1, 'more partition')}" if len(standing) > 1 else ""
        tool = f"kafka-transactions.sh describe-producers --topic {topic} --partition {partition}"
        return Finding("open transactions", State.LOOK, what + more, f"{tool} names who left it open")
    return Finding("open transactions", State.OK, "the last stable offset is at the end of each partition, or moves")
