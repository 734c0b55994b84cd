"""Which cluster and topics a group's commits belong to: written beside each offset, compared at each assignment.

Kafka keeps a text with each committed offset, written in the same transaction. So it always names the topics that the
states are of. Why there: docs/adr/0018.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from confluent_kafka import KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient

from processor.errors import UsageError
from processor.kafka.committed.lost_offsets import lost_offsets
from processor.kafka.identities import identities
from processor.kafka.offsets import committed_places, patiently
from processor.runtime.identities import CLUSTER, Identities, differing

_OURS: Final = "a3cp"
_REMEDY: Final = "tag the log anew, with new outputs, or accept what is lost (docs/operations.md, 'Topics made anew')"


class Origin:
    """What one member's commits belong to, from its latest assignment on."""

    def __init__(self, group_id: str, topics: Mapping[str, str]) -> None:
        """`topics`: the names of the raw topic, of the states and of the outputs, by role."""
        self._group_id = group_id
        self._topics = topics
        self.text = ""
        """The text to commit beside each offset."""

    def require(self, committed: Sequence[TopicPartition], begun: Iterable[int], now: Identities) -> None:
        """Check that the assigned partitions were processed from and to the topics that are there `now`.

        Args:
            committed: the group's offsets of these partitions, as they were asked for.
            begun: those of them that have states.
            now: the ids by role.

        Raises:
            KafkaException: an offset could not be asked for.
            UsageError: they were others, or there are states without an offset, as after raw was made anew.
        """
        for place in committed:
            if place.error is not None:
                raise KafkaException(place.error)
        has_none = {place.partition for place in committed if place.offset < 0}
        if lost := has_none.intersection(begun):
            raise lost_offsets(self._group_id, lost, raw=self._topics["raw"], state=self._topics["state"])
        require_same(self._group_id, self._topics, committed, now)
        self.text = text_of(now)


def text_of(ids: Identities) -> str:
    """Return the text to commit beside an offset of the topics with these ids."""
    return " ".join([_OURS, *(f"{role}={each}" for role, each in ids.items())])


def refuse_other_topics(conf: Mapping[str, Any], group_id: str, topics: Mapping[str, str], partitions: int) -> None:
    """Check what `require_same` checks, of all that the group has committed. `topics`: their names by role.

    Raises:
        UsageError: it belongs to others.
        BrokerUnavailable: no broker answers.
    """
    admin = AdminClient({"socket.connection.setup.timeout.ms": 5_000, **conf})

    def committed_and_ids() -> tuple[list[TopicPartition], Identities]:
        committed = committed_places(conf, group_id, topics["raw"], range(partitions))
        return committed, identities(admin, topics)

    require_same(group_id, topics, *patiently(committed_and_ids, "asking what the group has committed", conf))


def require_same(
    group_id: str, topics: Mapping[str, str], committed: Iterable[TopicPartition], now: Identities
) -> None:
    """Check that what a group has committed belongs to the cluster and topics of the ids `now`.

    Args:
        group_id: the group; topics: the names of its topics, by role.
        committed: its offsets, with the texts beside them.
        now: the ids by role.

    Raises:
        UsageError: it belongs to others.
    """
    for place in committed:
        known = ids_in(place.metadata)
        others = differing(known, now)
        if CLUSTER in others:
            raise UsageError(
                f"group {group_id} worked in the Kafka cluster {known[CLUSTER]}, and this one is {now[CLUSTER]}: "
                "its offsets were copied, and may not fit",
                remedy=_REMEDY,
            )
        if others:
            names = " and ".join(topics[role] for role in others if role in topics)
            raise UsageError(
                f"{names}: deleted and made anew since group {group_id} worked on it, whose states would not fit",
                remedy=_REMEDY,
            )


def ids_in(metadata: Any) -> Identities:
    """Return the ids in the text beside an offset. It is empty if another program, or an older release, wrote it."""
    ours, *pairs = str(metadata or "").split(" ")
    return dict(pair.split("=", 1) for pair in pairs if "=" in pair) if ours == _OURS else {}
