"""Going on in another cluster, with topics that a mirror has filled: `a3cp topics adopt`.

The mirrored records are at other offsets. So each state forgets its offset, and the group gets the ends of the raw
topic, in one transaction. All that was mirrored must have been processed in the other cluster.
"""

import contextlib
from functools import partial
from typing import NamedTuple

from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient

from processor.codec.state import decode_state, encode_state
from processor.errors import UsageError
from processor.kafka.conf import LogConf
from processor.kafka.erasure import is_at_work
from processor.kafka.identities import identities
from processor.kafka.marks import Marks, with_marks
from processor.kafka.offsets import await_stable, committed_offsets, extents, patiently
from processor.kafka.origin import text_of
from processor.kafka.standing_in import standing_in
from processor.kafka.states import long_transactions, send, states_in
from processor.runtime.adopting import Adopted
from processor.runtime.growing import moved
from processor.settings.model import TopicNames


class Taken(NamedTuple):
    """What was adopted."""

    partitions: int
    users: int  # who have a state
    raw: int  # offsets that count as processed


def adopt(conf: LogConf, names: TopicNames) -> Taken:
    """Let the group go on behind the mirrored records, with the mirrored states.

    Raises:
        UsageError: the group has offsets already, a worker runs, or there is no state.
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
        users = 0
        with contextlib.closing(long_transactions(conf)) as transactions:
            for partition, states in states_in(conf, conf.partitions):
                users += len(states)
                adopted = ((key, encode_state(moved(decode_state(value)))) for key, value in states.items())
                send(transactions, [(names.state, value, key, partition, None) for key, value in adopted])
            if not users:
                raise UsageError(f"{names.state} holds no state", remedy="mirror all five topics, then adopt")
            transactions.commit(_offsets(conf, names, ends), member.consumer_group_metadata())
    return Taken(conf.partitions, users, sum(ends[names.raw, partition] for partition in numbers))


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
