"""Going on in another cluster, with topics that a mirror has filled: `a3cp topics adopt`.

The mirrored records are at other offsets. So each state forgets its offset, and the group gets the ends of the raw
topic, in one transaction. All that was mirrored must have been processed in the other cluster.
"""

import contextlib
from collections.abc import Iterator, Mapping
from functools import partial
from typing import NamedTuple

from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient

from processor.codec.state import decode_state, encode_state
from processor.errors import UsageError
from processor.kafka.committed.marks import Marks, with_marks
from processor.kafka.committed.origin import text_of
from processor.kafka.conf import LogConf
from processor.kafka.identities import identities
from processor.kafka.offsets import await_stable, committed_offsets, extents, offsets_since, patiently
from processor.kafka.reading.reader import Reader
from processor.kafka.stopped.erasure import is_at_work
from processor.kafka.stopped.standing_in import standing_in
from processor.kafka.stopped.states import long_transactions, send, states_in
from processor.runtime.adopting import Adopted
from processor.runtime.growing import moved
from processor.runtime.ports import Output
from processor.settings.model import TopicNames


class Taken(NamedTuple):
    """What was adopted."""

    partitions: int
    users: int  # who have a state
    raw: int  # offsets that count as processed


def adopt(conf: LogConf, names: TopicNames) -> Taken:
    """Let the group go on behind the mirrored records, with the mirrored states.

    Raises:
        UsageError: the group has offsets already, a worker runs, there is no state, or the raw records have other times
            than in the other cluster.
        BrokerUnavailable, OutcomeUnknown, Fatal: see `failure`. It may be done again.
    """
    numbers = range(conf.partitions)
    ask = partial(committed_offsets, conf.common, conf.group_id, names.raw, numbers)
    if patiently(ask, "asking how far the group is", conf.common):
        raise UsageError(
            f"the group {conf.group_id} has offsets of {names.raw} already: it has worked here, or these were adopted",
            remedy="start the workers; to begin anew, delete the group with Kafka's own tools first",
        )
    if is_at_work(conf):
        raise UsageError(f"workers of the group {conf.group_id} run", remedy="stop all of them, then adopt")
    with standing_in(conf, numbers, doing="adopting states", again="adopt again") as member:
        for name in names:
            await_stable(conf.common, name, conf.partitions)
        places = [(name, partition) for name in names for partition in numbers]
        ends = {place: end for place, (_, end) in extents(conf.common, places).items()}
        users, newest_ms = 0, dict[int, int]()
        with contextlib.closing(long_transactions(conf)) as transactions:
            for partition, values in states_in(conf, conf.partitions):
                users += len(values)
                send(transactions, without_offsets(names.state, partition, values, newest_ms))
            if not users:
                raise UsageError(f"{names.state} holds no state", remedy="mirror all five topics, then adopt")
            _require_times(conf, newest_ms)
            transactions.commit(_offsets(conf, names, ends), member.consumer_group_metadata())
    return Taken(conf.partitions, users, sum(ends[names.raw, partition] for partition in numbers))


def without_offsets(
    topic: str, partition: int, values: Mapping[bytes, bytes], newest_ms: dict[int, int]
) -> Iterator[Output]:
    """Yield the states of a partition without their offsets, one decoded at a time: there may be a million.

    `newest_ms` takes the time that the newest of them names.
    """
    for key, value in values.items():
        state = decode_state(value)
        newest_ms[partition] = max(state.last_append_ms, newest_ms.get(partition, 0))
        yield topic, encode_state(moved(state)), key, partition, None


def _require_times(conf: LogConf, newest_ms: Mapping[int, int]) -> None:
    """Check that the raw records have the times of the other cluster.

    A state names the time of its user's last record. One partition that has the record of its newest state is enough:
    of others that record may be gone by age.

    Args:
        newest_ms: by partition, the time that its newest state names.

    Raises:
        UsageError: none has, and one has a later record.
    """
    later = ""
    with Reader(conf.common, conf.raw) as reader:
        for partition, at_ms in newest_ms.items():
            place = conf.raw, partition
            record = next(reader.read_from(partition, offsets_since(conf.common, [place], at_ms)[place]), None)
            if record is None:
                continue
            if record.timestamp_ms == at_ms:
                return
            later = f"{record.position} came {(record.timestamp_ms - at_ms) / 1000:,.3f} s later than a state names"
    if later:
        raise UsageError(
            f"the mirror has not kept the times of {conf.raw}: {later}",
            remedy="delete the five topics here, make them with a3cp topics apply, set "
            f"message.timestamp.type=CreateTime on {conf.raw}, and mirror them again",
        )


def _offsets(conf: LogConf, names: TopicNames, ends: dict[tuple[str, int], int]) -> list[TopicPartition]:
    """Return the offsets to commit, each with the ids of these topics and where the mirrored records end."""
    admin = AdminClient(dict(conf.common))
    text = text_of(patiently(lambda: identities(admin, names.by_role), "asking for the ids of topics", conf.common))
    offsets = []
    for partition in range(conf.partitions):
        adopted = Adopted(*(ends[name, partition] for name in (names.raw, names.state, names.dlq)))
        marked = with_marks(text, Marks(adopted=adopted))
        offsets.append(TopicPartition(names.raw, partition, adopted.raw, marked))
    return offsets
