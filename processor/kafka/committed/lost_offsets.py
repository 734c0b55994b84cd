"""Refuses to begin where states show that the work was begun before, but the group has no offsets."""

import contextlib
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

from confluent_kafka import Consumer, KafkaException
from confluent_kafka.admin import AdminClient

from processor.errors import UsageError
from processor.kafka.conf import reader_conf
from processor.kafka.failures import failure
from processor.kafka.offsets import LATEST, asked_offsets, committed_offsets, patiently
from processor.kafka.reading.records import read_spans


def refuse_lost_offsets(conf: Mapping[str, Any], group_id: str, *, raw: str, state: str, partitions: int) -> None:
    """Check that each partition with states has a committed offset. Else its messages would be tagged again.

    An offset is missing if another group wrote the outputs, or if the group was away for so long that Kafka forgot its
    offsets (`offsets.retention.minutes`, 7 days by default).

    Raises:
        UsageError: a partition has states and no offset.
        BrokerUnavailable, Fatal: see `failure`.
    """
    admin = AdminClient(dict(conf))
    numbers = range(partitions)
    try:
        places = [(state, number) for number in numbers]
        ends = asked_offsets(admin, places, LATEST, f"reading {state}", conf)
        begun = {number for (_, number), end in ends.items() if end > 0}
        lost = begun - _committed(conf, group_id, raw, numbers)
        if lost:
            with contextlib.closing(Consumer(reader_conf(conf, if_gone="earliest"))) as consumer:
                # Those that hold a record: what was aborted takes offsets too.
                spans = [{(state, number): (0, ends[state, number])} for number in lost]
                first = (next(read_spans(consumer, span), None) for span in spans)
                holding = {record.partition for record in first if record is not None}
            # Asked anew: another worker may have begun in between, and its states and offsets come together.
            lost = holding - _committed(conf, group_id, raw, holding)
    except KafkaException as error:
        raise failure("comparing states and offsets", error) from error
    if lost:
        raise lost_offsets(group_id, lost, raw=raw, state=state)


def _committed(conf: Mapping[str, Any], group_id: str, raw: str, numbers: Iterable[int]) -> set[int]:
    """Return the partitions that have an offset. Right after its start a broker does not know yet."""
    ask = partial(committed_offsets, conf, group_id, raw, numbers)
    return set(patiently(ask, "comparing states and offsets", conf))


def lost_offsets(group_id: str, lost: Iterable[int], *, raw: str, state: str) -> UsageError:
    """Return the error for a group without offsets of the partitions `lost`, which have states."""
    return UsageError(
        f"{state} holds states in partitions {sorted(lost)}, but group {group_id} has no offsets of {raw} there, "
        "so it would tag messages a second time, or those of another log",
        remedy="run with the A3CP_GROUP_ID that wrote them; if a3cp topics grow was interrupted, run it again; "
        "to tag the log anew, or one that was made anew, use new "
        "outputs (docs/operations.md, 'Another group', 'Topics made anew')",
    )
