"""librdkafka's properties for each client. A user's property wins, unless exactly-once depends on ours."""

from collections.abc import Mapping
from typing import Any, Final, Literal, NamedTuple

from processor.errors import UsageError

_SESSION_MS: Final = 6_000
_RECONNECT_MS: Final = 1_000  # The default, 10 s, is what a worker would be late by after a broker's return.
READING: Final[dict[str, Any]] = {
    # By this librdkafka bounds zstd, alone of all codecs; it tries sizes that grow threefold. With its default some
    # batches of 34 MB can never be read; with this, all below 716 MB can.
    "receive.message.max.bytes": 2**31 - 1,
    # All batches of an answer are unpacked at once: 1 MiB may become 1.1 GB by gzip. Larger answers are no quicker.
    "fetch.max.bytes": 1 << 20,
    "max.partition.fetch.bytes": 1 << 20,
    "check.crcs": True,  # Java's consumer does so too; without it damage would be tagged.
}
"""How every reader can read whatever a topic takes."""

_CONSUMER: Final[dict[str, Any]] = {
    **READING,
    "fetch.wait.max.ms": 100,
    "fetch.queue.backoff.ms": 10,  # The default second is a long time to leave a full queue unfilled.
    "queued.min.messages": 100_000,
    "queued.max.messages.kbytes": 64 << 10,
    "max.poll.interval.ms": 300_000,
    "reconnect.backoff.max.ms": _RECONNECT_MS,
}
_CONSUMER_OURS: Final[dict[str, Any]] = {
    "isolation.level": "read_committed",
    "enable.auto.commit": False,
    "enable.auto.offset.store": False,
    "enable.partition.eof": True,  # How `caught_up` knows.
    "auto.offset.reset": "earliest",
}
_PRODUCER: Final[dict[str, Any]] = {
    "linger.ms": 5,  # A flush before each commit sends what is there at once, so this costs no latency.
    "batch.size": 1 << 20,
    "batch.num.messages": 10_000,
    "queue.buffering.max.messages": 500_000,
    "queue.buffering.max.kbytes": 512 << 10,
    "message.max.bytes": 4 << 20,  # The broker's topics decide; see topics/*.yaml.
    "retry.backoff.ms": 10,
    "reconnect.backoff.max.ms": _RECONNECT_MS,
}
_PRODUCER_OURS: Final[dict[str, Any]] = {"enable.idempotence": True, "acks": "all", "delivery.report.only.error": True}
_RESTORER_OURS: Final[dict[str, Any]] = {
    **_CONSUMER_OURS,
    "max.poll.interval.ms": 300_000,  # It is in no group; a short one passed through would not fit.
}
_RESTORER: Final[dict[str, Any]] = {
    **READING,
    "fetch.wait.max.ms": 50,
    "fetch.queue.backoff.ms": 10,
    "fetch.max.bytes": 32 << 20,
    "max.partition.fetch.bytes": 8 << 20,
    "queued.min.messages": 200_000,
    "queued.max.messages.kbytes": 64 << 10,
}
_FEED: Final[dict[str, Any]] = {
    **READING,
    "fetch.wait.max.ms": 100,
    "fetch.queue.backoff.ms": 10,
    "fetch.max.bytes": 16 << 20,
    "max.partition.fetch.bytes": 4 << 20,
    "queued.min.messages": 50_000,
    "queued.max.messages.kbytes": 32 << 10,
    "socket.connection.setup.timeout.ms": 5_000,
}
_READER: Final[dict[str, Any]] = {
    **READING,
    "fetch.wait.max.ms": 100,
    "fetch.queue.backoff.ms": 10,
    "queued.min.messages": 50_000,
    "queued.max.messages.kbytes": 16 << 10,
    "socket.connection.setup.timeout.ms": 5_000,
}


class Waits(NamedTuple):
    """How long a `KafkaLog` waits until it does or tells something, seconds."""

    settle_s: float = 2.0  # before offsets that only moved past transaction markers are committed
    hidden_s: float = 10.0  # before an open transaction is told: short ones are everyday
    calm_s: float = 20.0  # without an open transaction, until that is told: one may follow another
    survey_s: float = 5.0  # between two looks at the topics
    other_groups_s: float = 60.0  # between two searches for other groups that write to our outputs
    stuck_s: float = 20.0  # before a restore that gets no further is told: a living worker's transaction is shorter


class LogConf(NamedTuple):
    """What a `KafkaLog` needs to know; the mappings are librdkafka's properties."""

    common: Mapping[str, Any]  # where the brokers are and how to get in; part of all the others
    consumer: Mapping[str, Any]
    producer: Mapping[str, Any]
    restorer: Mapping[str, Any]
    group_id: str
    slot: int
    slot_is_fixed: bool  # else another is taken when two members turn out to run in one
    is_static: bool  # whether the group keeps a slot's partitions while its worker restarts
    raw: str
    state: str
    tagged: str
    sessions: str
    partitions: int
    waits: Waits = Waits()


def consumer_conf(common: Mapping[str, Any], *, session_timeout_ms: int, group_protocol: str) -> dict[str, Any]:
    """Return the properties of the consumer of `a3cp.raw`."""
    conf = {**_CONSUMER, **common, **_CONSUMER_OURS, "group.protocol": group_protocol}
    conf["auto.offset.reset"] = "error"  # The log decides where to begin, and tells what is lost.
    if group_protocol == "classic":
        conf["partition.assignment.strategy"] = "cooperative-sticky"  # Partitions are assigned and revoked one by one.
        conf["session.timeout.ms"] = session_timeout_ms
        conf["heartbeat.interval.ms"] = _heartbeat_ms(session_timeout_ms)
    # Else the broker decides all three.
    _refuse_changes(common, _CONSUMER_OURS)
    return conf


def _heartbeat_ms(session_timeout_ms: int) -> int:
    """Return how often a member says that it lives, and learns by the answer that another has joined, left or died.

    Two heartbeats take a little longer than a session of 6 s, the shortest that Kafka allows by default. A rebalance
    begins with all members, so they beat in step. By their second beat after a member's last one, the others learn
    that it is dead. At 3 s sharp, Kafka's default, sometimes only the third beat says so.
    """
    return 3_100 if session_timeout_ms >= _SESSION_MS else max(100, session_timeout_ms // 6)


def producer_conf(common: Mapping[str, Any], *, transaction_timeout_ms: int) -> dict[str, Any]:
    """Return the properties of a transactional producer, its `transactional.id` left out."""
    _refuse_changes(common, _PRODUCER_OURS)
    conf = {**_PRODUCER, **common, **_PRODUCER_OURS, "transaction.timeout.ms": transaction_timeout_ms}
    conf.setdefault("message.timeout.ms", transaction_timeout_ms)
    return conf


def feed_conf(common: Mapping[str, Any], *, group_id: str, session_timeout_ms: int) -> dict[str, Any]:
    """Return the properties of an exporter's consumer."""
    return {
        **_FEED,
        **common,
        **_CONSUMER_OURS,
        "group.id": group_id,
        "group.protocol": "classic",
        "partition.assignment.strategy": "range",  # Gives one member the same partitions of both topics.
        "session.timeout.ms": session_timeout_ms,
        "heartbeat.interval.ms": max(100, session_timeout_ms // 6),
    }


def restorer_conf(common: Mapping[str, Any], *, group_id: str) -> dict[str, Any]:
    """Return the properties of the reader of `a3cp.state`. It joins no group, though the client wants a name."""
    return {**_RESTORER, **common, **_RESTORER_OURS, "group.id": f"{group_id}-restore"}


def reader_conf(common: Mapping[str, Any], *, if_gone: Literal["earliest", "error"]) -> dict[str, Any]:
    """Return the properties of a reader without a group. The client wants a group's name, but none is ever joined.

    Args:
        common: the user's. They win over how much is fetched, not over what counts as committed.
        if_gone: what to do if the next record was removed by retention: go on with what is left, or fail.
    """
    return {**_READER, **common, **_CONSUMER_OURS, "group.id": "a3cp-reader", "auto.offset.reset": if_gone}


def _refuse_changes(common: Mapping[str, Any], ours: Mapping[str, Any]) -> None:
    for name in common.keys() & ours.keys():
        if str(common[name]).lower() != str(ours[name]).lower():
            raise UsageError(
                f"the Kafka property {name} cannot be {common[name]}",
                remedy=f"leave it out: exactly-once needs {str(ours[name]).lower()}",
            )
