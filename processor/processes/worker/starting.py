"""What is checked before a worker begins, and the choice of its slot."""

import time
from collections.abc import Callable
from functools import partial
from typing import Final

from processor.audit.rerouted import misplaced_without_copy
from processor.codec.codec import Codec
from processor.errors import UsageError
from processor.kafka.audit import KafkaTopics
from processor.kafka.committed.lost_offsets import refuse_lost_offsets
from processor.kafka.offsets import committed_offsets, patiently
from processor.kafka.topics.admin import check_topics
from processor.kafka.worker.other_groups import refuse_another_group
from processor.kafka.worker.slots import choose_slots
from processor.kafka.worker.transactions import fence
from processor.settings.model import Settings
from processor.upstream.words.counting import counted
from processor.wiring import log_conf, schemas

_COPIED_WITHIN_S: Final = 5.0  # By then a processor that runs has sent a misplaced record on.


def place(settings: Settings, slot: int | None, beat: Callable[[], None]) -> tuple[int, int]:
    """Return the slot to begin in, a free one unless it is given, and the number of partitions.

    `beat` is called now and then during a long check. Raises as the checks do.
    """
    conf, topics = settings.kafka_conf(), settings.topics()
    partitions = check_topics(conf, settings.topic_prefix, raw=settings.raw_topic)
    if slot is None:
        (slot,) = choose_slots(conf, settings.group_id, 1)
    # While a transaction that our predecessor had almost committed is open, no question for offsets has an answer.
    fence(log_conf(settings, slot, partitions).producer, settings.group_id, [slot])
    refuse_lost_offsets(conf, settings.group_id, raw=topics.raw, state=topics.state, partitions=partitions)
    refuse_another_group(conf, settings.group_id, topics.tagged)
    if settings.reads_another_log and not _has_begun(settings, partitions):
        _refuse_missing_copies(settings, beat)
    return slot, partitions


def _has_begun(settings: Settings, partitions: int) -> bool:
    conf, raw = settings.kafka_conf(), settings.topics().raw
    ask = partial(committed_offsets, conf, settings.group_id, raw, range(partitions))
    return bool(patiently(ask, "asking for the group's offsets", conf))


def _refuse_missing_copies(settings: Settings, beat: Callable[[], None]) -> None:
    """Read the other log once before anything is written: what is misplaced there must have a copy in its place.

    Nothing is written to that log, so nobody would send a misplaced record to where its user is.
    """
    raw, codec = settings.topics().raw, Codec(schemas(settings), strict=settings.strict)

    def without_copy() -> list[str]:
        topics = KafkaTopics(settings.kafka_conf(), [raw], on_read=lambda *_: beat())
        return misplaced_without_copy(topics, codec, raw)

    alone = without_copy()
    if alone:
        time.sleep(_COPIED_WITHIN_S)
        later = frozenset(without_copy())
        alone = [where for where in alone if where in later]
    if alone:
        first = ", ".join(alone[:3]) + (" …" if len(alone) > 3 else "")
        raise UsageError(
            f"{counted(len(alone), 'record')} of {raw} without a copy in their user's partition: {first}",
            remedy=f"process {raw} under its own prefix first, which makes the copies, or mirror until they are there",
        )
