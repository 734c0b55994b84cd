"""How far logs go, and which offsets a group has committed."""

import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import wait
from typing import Any, Final, TypeVar

from confluent_kafka import OFFSET_INVALID, Consumer, IsolationLevel, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, ListOffsetsResultInfo, OffsetSpec  # type: ignore[attr-defined]  # Its stub forgets to re-export it.

from processor.errors import BrokerUnavailable
from processor.kafka.failures import may_pass, unreachable

T = TypeVar("T")


_TIMEOUT_S: Final = 10.0
_RETRY_S: Final = 0.05
_STABLE_S: Final = 30.0  # longer than a dead worker's transaction stays open
_STABLE_POLL_S: Final = 0.1
EARLIEST: Final[OffsetSpec] = OffsetSpec.earliest()  # type: ignore[no-untyped-call]
LATEST: Final[OffsetSpec] = OffsetSpec.latest()  # type: ignore[no-untyped-call]
NEWEST: Final[OffsetSpec] = OffsetSpec.max_timestamp()  # type: ignore[no-untyped-call]


def log_offsets(
    admin: AdminClient,
    places: Iterable[tuple[str, int]],
    spec: OffsetSpec,
    isolation: IsolationLevel,
    timeout_s: float = _TIMEOUT_S,
) -> dict[tuple[str, int], int]:
    """Return the first offset (`EARLIEST`) or the end (`LATEST`) of each topic and partition in `places`.

    Raises:
        KafkaException: one has no answer.
    """
    return {place: found.offset for place, found in _listed(admin, places, spec, isolation, timeout_s).items()}


def _listed(
    admin: AdminClient,
    places: Iterable[tuple[str, int]],
    spec: OffsetSpec,
    isolation: IsolationLevel,
    timeout_s: float,
) -> dict[tuple[str, int], ListOffsetsResultInfo]:
    wanted = {TopicPartition(topic, partition): spec for topic, partition in places}
    futures = admin.list_offsets(wanted, isolation_level=isolation, request_timeout=timeout_s)
    wait(futures.values())  # librdkafka crashes when a client goes while one of its answers is still on the way.
    found = {(tp.topic, tp.partition): future.result() for tp, future in futures.items()}
    if any(each.offset == OFFSET_INVALID for each in found.values()):
        # That is no error for the client: a leader that is gone did not answer.
        raise KafkaException(KafkaError(KafkaError._TIMED_OUT))
    return found


def offsets_since(conf: Mapping[str, Any], places: Iterable[tuple[str, int]], at_ms: int) -> dict[tuple[str, int], int]:
    """Return the offset of the first record that was appended at `at_ms` or later in each of `places`, else its end.

    Raises:
        BrokerUnavailable: no broker answers.
    """
    places = list(places)
    admin = AdminClient(dict(conf))
    since = OffsetSpec.for_timestamp(at_ms)

    def ask() -> dict[tuple[str, int], int]:
        ends = log_offsets(admin, places, LATEST, IsolationLevel.READ_COMMITTED)
        found = log_offsets(admin, places, since, IsolationLevel.READ_COMMITTED)
        return {place: end if found[place] < 0 else found[place] for place, end in ends.items()}

    return patiently(ask, "asking where a time is in the topics", conf)


def extents(conf: Mapping[str, Any], places: Iterable[tuple[str, int]]) -> dict[tuple[str, int], tuple[int, int]]:
    """Return the first offset and the last stable one of each of `places`.

    Raises:
        BrokerUnavailable: no broker answers.
    """
    wanted, admin = list(places), AdminClient(dict(conf))
    starts, ends = (asked_offsets(admin, wanted, spec, "asking how far topics go", conf) for spec in (EARLIEST, LATEST))
    return {place: (start, ends[place]) for place, start in starts.items()}


def asked_offsets(
    admin: AdminClient,
    places: Iterable[tuple[str, int]],
    spec: OffsetSpec,
    doing: str,
    conf: Mapping[str, Any],
    *,
    isolation: IsolationLevel = IsolationLevel.READ_COMMITTED,
) -> dict[tuple[str, int], int]:
    """Return what `log_offsets` returns. `doing`, `conf` and what is raised are those of `patiently`."""
    wanted = list(places)
    return patiently(lambda: log_offsets(admin, wanted, spec, isolation), doing, conf)


def latest_ms(conf: Mapping[str, Any], topic: str, partitions: Iterable[int]) -> int:
    """Return the latest timestamp in any of `partitions`, ms. It is below 0 if there is none.

    Raises:
        BrokerUnavailable: no broker answers.
    """
    admin = AdminClient(dict(conf))
    numbers = list(partitions)
    return patiently(
        lambda: max(newest_ms(admin, topic, each) for each in numbers), "asking for the newest records", conf
    )


def newest_ms(admin: AdminClient, topic: str, partition: int) -> int:
    """Return the latest timestamp in a partition, ms, of uncommitted records too. It is below 0 if there is none.

    Raises:
        KafkaException: no answer.
    """
    place = topic, partition
    found = _listed(admin, [place], NEWEST, IsolationLevel.READ_UNCOMMITTED, _TIMEOUT_S)
    return int(found[place].timestamp)


def committed_offsets(conf: Mapping[str, Any], group_id: str, topic: str, partitions: Iterable[int]) -> dict[int, int]:
    """Return the group's committed offset (next to read) of each of `partitions` that has one.

    Raises as `committed_places`.
    """
    return {place.partition: place.offset for place in committed_places(conf, group_id, topic, partitions)}


def committed_places(
    conf: Mapping[str, Any], group_id: str, topic: str, partitions: Iterable[int], timeout_s: float = _TIMEOUT_S
) -> list[TopicPartition]:
    """Return the group's committed offset of each of `partitions` that has one, with the text beside it.

    An offset in a transaction counts once that is committed.

    A consumer that never joins asks for them: librdkafka's AdminClient crashes (2.16, a null group in its handler of
    OffsetFetch) while the coordinator is loading, as on a broker that has just started.

    Raises:
        KafkaException: no answer.
    """
    own = {"group.id": group_id, "isolation.level": "read_committed", "enable.auto.commit": False}
    consumer = Consumer({**conf, **own})
    try:
        answers = consumer.committed([TopicPartition(topic, number) for number in partitions], timeout=timeout_s)
    finally:
        consumer.close()
    for answer in answers:
        if answer.error is not None:
            raise KafkaException(answer.error)
    return [answer for answer in answers if answer.offset >= 0]


def await_stable(conf: Mapping[str, Any], topic: str, partitions: int) -> None:
    """Wait until a reader of committed records can see all that somebody had begun to write before this call.

    Raises:
        BrokerUnavailable: no broker answers, or a transaction stays open.
    """
    admin = AdminClient(dict(conf))
    places, doing = [(topic, partition) for partition in range(partitions)], f"reading {topic}"
    ends = asked_offsets(admin, places, LATEST, doing, conf, isolation=IsolationLevel.READ_UNCOMMITTED)
    deadline_s = time.monotonic() + _STABLE_S
    while True:
        stable = asked_offsets(admin, places, LATEST, doing, conf)
        if all(stable[place] >= end for place, end in ends.items()):
            return
        if time.monotonic() > deadline_s:
            raise BrokerUnavailable(
                f"a transaction on {topic} has been open for {_STABLE_S:.0f} s", remedy="try again once it has ended"
            )
        time.sleep(_STABLE_POLL_S)


def patiently(
    ask: Callable[[], T], doing: str, conf: Mapping[str, Any], *, timeout_s: float = _TIMEOUT_S, needs: str = ""
) -> T:
    """Return what `ask` returns. Ask again for a while: a topic or coordinator that is new or moving has no answer.

    Args:
        ask: raises KafkaException when there is no answer.
        doing, conf, needs: as for `unreachable`.
        timeout_s: how long it is asked again.

    Raises:
        BrokerUnavailable: there is still none after that.
        A3CPError: what else `unreachable` makes of it, at once.
    """
    deadline_s = time.monotonic() + timeout_s
    while True:
        try:
            return ask()
        except KafkaException as error:
            if not may_pass(error) or time.monotonic() > deadline_s:
                raise unreachable(doing, error, conf, needs=needs) from error  # It takes two seconds to say why.
            time.sleep(_RETRY_S)
