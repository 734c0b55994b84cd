"""The state of Kafka now: topics, the processor's group, how far it is in each partition, exporters and hooks."""

import time
from collections.abc import Collection, Mapping
from typing import Any, Final, NamedTuple

from confluent_kafka.admin import AdminClient

from processor.kafka.failures import reaching
from processor.kafka.offsets import EARLIEST, LATEST, asked_offsets, committed_offsets
from processor.kafka.worker.slots import groups, slot_of
from processor.settings.model import TopicNames

WATCHED_S: Final = 2.0  # A partition with a lag whose offset stays for so long stands still.
_TIMEOUT_S: Final = 10.0
_ASKING: Final = "looking how things stand"


class TopicState(NamedTuple):
    """A topic: how many partitions it has (0 if it does not exist), and how many offsets it holds."""

    name: str
    partitions: int
    offsets: int


class Member(NamedTuple):
    """A member of a group."""

    group_id: str
    slot: int | None  # of a worker
    host: str
    partitions: tuple[int, ...]


class PartitionProgress(NamedTuple):
    """How far the processor is in a partition of the raw topic."""

    partition: int
    committed: int  # the next offset it reads
    end: int
    lag: int  # offsets that wait
    slot: int | None  # of the worker that reads it; None when nobody does
    stands_still: bool


class Overview(NamedTuple):
    """How things stand."""

    topics: tuple[TopicState, ...]
    workers: tuple[Member, ...]
    progress: tuple[PartitionProgress, ...]
    exporters: tuple[Member, ...]
    hooks: tuple[Member, ...] = ()


def overview(conf: Mapping[str, Any], topics: TopicNames, group_id: str) -> Overview:
    """Return how things stand. If records wait, the offsets are asked for twice, `WATCHED_S` apart.

    Raises:
        BrokerUnavailable: no broker answers.
    """
    with reaching(_ASKING, conf):
        admin = AdminClient(dict(conf))
        known = admin.list_topics(timeout=_TIMEOUT_S).topics
        counts = {name: len(known[name].partitions) if name in known else 0 for name in topics}
        places = [(name, partition) for name, count in counts.items() for partition in range(count)]
        starts, ends = (asked_offsets(admin, places, spec, _ASKING, conf) for spec in (EARLIEST, LATEST))
        states = tuple(
            TopicState(name, count, sum(ends[name, p] - starts[name, p] for p in range(count)))
            for name, count in counts.items()
        )
        members = _members(admin, topics)
        workers = tuple(member for member in members if member.group_id == group_id)
        raw = range(counts[topics.raw])
        committed = committed_offsets(conf, group_id, topics.raw, raw) if raw else {}
        reached = [committed.get(p, starts[topics.raw, p]) for p in raw]
        lags = [max(0, ends[topics.raw, p] - reached[p]) for p in raw]
        later: Mapping[int, int] = {}
        if any(lags):
            time.sleep(WATCHED_S)
            again = committed_offsets(conf, group_id, topics.raw, raw)
            later = {p: again.get(p, reached[p]) for p in raw if lags[p]}
    slots = {partition: worker.slot for worker in workers for partition in worker.partitions}
    progress = tuple(
        PartitionProgress(
            p, reached[p], ends[topics.raw, p], lags[p], slots.get(p), p in later and later[p] == reached[p]
        )
        for p in raw
    )
    hooks = tuple(member for member in members if member.group_id == f"{group_id}-hooks")
    exporters = tuple(
        member for member in members if member.group_id != group_id and member.slot is None and member not in hooks
    )
    return Overview(states, workers, progress, exporters, hooks)


def troubles(found: Overview) -> list[str]:
    """Return what is wrong, each in a line, with what to do."""
    wrong = [
        f"there is no topic {topic.name}; make it with a3cp topics apply"
        for topic in found.topics
        if not topic.partitions
    ]
    if found.progress and not found.workers:
        return [*wrong, "no worker runs; start one with a3cp process"]
    if idle := [one.partition for one in found.progress if one.slot is None]:
        wrong.append(f"no worker reads {numbered(idle)}; look again in a moment, then at the workers' logs")
    if still := [one.partition for one in found.progress if one.stands_still and one.slot is not None]:
        wrong.append(f"{numbered(still)} did not move for {WATCHED_S:.0f} s; the log of the worker says why")
    return wrong


def numbered(numbers: Collection[int]) -> str:
    """Return partitions in words: partition 3, or partitions 0-2, 5."""
    parts: list[list[int]] = []
    for number in sorted(numbers):
        if parts and number == parts[-1][-1] + 1:
            parts[-1][1:] = [number]
        else:
            parts.append([number])
    words = ", ".join("-".join(map(str, part)) for part in parts)
    return f"partition{'' if len(numbers) == 1 else 's'} {words or 'none'}"


def _members(admin: AdminClient, topics: TopicNames) -> list[Member]:
    """Return the members of all groups that read one of `topics`."""
    found = []
    for group_id, future in groups(admin, list).items():
        for member in future.result().members if future.exception() is None else ():
            read = [place for place in member.assignment.topic_partitions if place.topic in topics]
            slot = slot_of(group_id, member.client_id)
            if read or slot is not None:
                partitions = tuple(sorted({place.partition for place in read}))
                found.append(Member(group_id, slot, member.host.lstrip("/"), partitions))
    return sorted(found, key=lambda member: (member.group_id, member.slot or 0, member.partitions))
