"""Removes the topics and the group of an earlier demo. Nothing else ever deletes a topic."""

import time
from collections.abc import Mapping
from typing import Any, Final

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient

from processor.errors import BrokerUnavailable, UsageError
from processor.kafka.failures import error_of, reaching
from processor.kafka.identities import ids_of
from processor.kafka.topics.desired import desired_topics
from processor.runtime.identities import CLUSTER, Identities

DEMO_PREFIX: Final = "a3cp-demo"
_TIMEOUT_S: Final = 15.0
_METADATA_TIMEOUT_S: Final = 6.0
_WAKE_S: Final = 1.0
_MEMBER_GONE_S: Final = 10.0  # longer than a killed demo's processor counts as a member
_POLL_S: Final = 0.05
_AGAIN_S: Final = 0.5
_GROUPS: Final = "__consumer_offsets"  # what groups are kept in, from the first one on
_NOT_YET: Final = frozenset({
    KafkaError.NON_EMPTY_GROUP, KafkaError.COORDINATOR_LOAD_IN_PROGRESS, KafkaError.COORDINATOR_NOT_AVAILABLE,
    KafkaError.NOT_COORDINATOR,
})  # fmt: skip


def require_demo_prefix(prefix: str) -> None:
    """Check that the topics of `prefix` may be deleted.

    Raises:
        UsageError: they may not be the demo's own.
    """
    if not prefix.startswith(DEMO_PREFIX):
        raise UsageError(
            f"the demo deletes its own topics at each start, and those of {prefix!r} may not be its own",
            remedy=f"name a prefix that starts with {DEMO_PREFIX}",
        )


def demo_topics(conf: Mapping[str, Any], prefix: str) -> Identities:
    """Return the ids of the existing topics of `prefix`, by name.

    Raises:
        BrokerUnavailable: no broker answers.
    """
    found = ids_of(conf, [topic.name for topic in desired_topics(prefix)])
    return {name: each for name, each in found.items() if name != CLUSTER}


def remove_demo(conf: Mapping[str, Any], prefix: str, group_id: str) -> bool:
    """Delete the topics of `prefix` and the group. Return whether there were such topics, once they are gone.

    Raises:
        UsageError: the prefix is not one of the demo's, or a processor is at work in the group.
        BrokerUnavailable: no broker answers, or it does not delete them in time.
    """
    require_demo_prefix(prefix)
    wanted = [topic.name for topic in desired_topics(prefix)]
    with reaching("preparing the demo", conf):
        admin = AdminClient({"socket.connection.setup.timeout.ms": 5_000, **conf})
        present = _present(admin, wanted)
        _delete_group(admin, group_id)
        if present:
            for future in admin.delete_topics(present, operation_timeout=_TIMEOUT_S).values():
                future.result()
        deadline_s = time.monotonic() + _TIMEOUT_S
        while _present(admin, wanted):
            if time.monotonic() > deadline_s:
                raise BrokerUnavailable(
                    f"the topics of {prefix} are still there {_TIMEOUT_S:.0f} s after they were deleted",
                    remedy="look at the broker's log, then try again",
                )
            time.sleep(_POLL_S)
    return bool(present)


def _present(admin: AdminClient, names: list[str]) -> list[str]:
    known = admin.list_topics(timeout=_METADATA_TIMEOUT_S).topics
    return [name for name in names if name in known]


def _delete_group(admin: AdminClient, group_id: str) -> None:
    """Delete the group, so that its offsets are not used for the new topics.

    Only the group's coordinator knows whether there is one. A list of the groups is empty, or lacks some, while a
    broker that has just started reads them in; the coordinator says so, and is asked again.
    """
    if not _present(admin, [_GROUPS]):
        # A broker without any group has no coordinator yet, and makes it when first asked for one. librdkafka does not
        # notice when it is there, and waits for the whole time-out; asking briefly here saves the processor that wait.
        _deleted(admin, group_id, _WAKE_S)
        return
    begun_s = time.monotonic()
    while (error := _deleted(admin, group_id, _TIMEOUT_S)) is not None:
        code, waited_s = error.code(), time.monotonic() - begun_s
        if code == KafkaError.GROUP_ID_NOT_FOUND:
            return
        if code == KafkaError.NON_EMPTY_GROUP and waited_s > _MEMBER_GONE_S:
            raise UsageError(
                f"a processor is at work in the group {group_id}, perhaps that of another demo",
                remedy=f"stop it, or name another --prefix {DEMO_PREFIX}-2",
            )
        if code not in _NOT_YET or waited_s > _TIMEOUT_S:
            raise KafkaException(error)
        time.sleep(_AGAIN_S)


def _deleted(admin: AdminClient, group_id: str, timeout_s: float) -> KafkaError | None:
    """Return why the group is not deleted; None once it is."""
    try:
        admin.delete_consumer_groups([group_id], request_timeout=timeout_s)[group_id].result()
    except KafkaException as error:
        return error_of(error)
    return None
