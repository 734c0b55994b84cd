"""Slots: small numbers of a group's workers. A successor in a slot can abort what a dead worker left open there."""

import re
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, wait
from typing import Any, Final

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient

from processor.kafka.failures import error_of, failure

_TIMEOUT_S: Final = 10.0


def client_id(group_id: str, slot: int) -> str:
    """Return the client id by which others see which slot a member runs in."""
    return f"{group_id}-{slot}"


def slot_of(group_id: str, client: str | None) -> int | None:
    """Return the slot of a member of the group, by its client id. Returns None if it is no worker."""
    match = re.fullmatch(re.escape(f"{group_id}-") + r"(\d+)", client or "")
    return None if match is None else int(match[1])


def groups(
    admin: AdminClient, wanted: Callable[[list[str]], list[str]], *, timeout_s: float = _TIMEOUT_S, **which: Any
) -> dict[str, Future[Any]]:
    """Return by name what the broker says of those groups that there are and that `wanted` chooses.

    `which` goes to the client: which groups are listed at all.

    Raises:
        KafkaException: no answer.
    """
    # On a broker that never had a group, describing one waits for the coordinator's topic; listing does not.
    listed = admin.list_consumer_groups(request_timeout=timeout_s, **which).result()
    names = wanted([group.group_id for group in listed.valid])
    if not names:  # Asked for none, librdkafka refuses.
        return {}
    described = admin.describe_consumer_groups(names, request_timeout=timeout_s)
    wait(described.values())  # librdkafka crashes when a client goes while one of its answers is still on the way.
    return described


def members_of(admin: AdminClient, group_id: str) -> Sequence[Any]:
    """Return the present members of the group, as the client describes them.

    Raises:
        BrokerUnavailable, Fatal: see `failure`.
    """
    try:
        described = groups(admin, lambda names: [name for name in names if name == group_id])
        members: Sequence[Any] = described[group_id].result().members if described else ()
    except KafkaException as error:
        if error_of(error).code() == KafkaError.GROUP_ID_NOT_FOUND:  # It was never used.
            return ()
        raise failure(f"describing group {group_id}", error) from error
    return members


def _members(admin: AdminClient, group_id: str) -> list[tuple[int, str]]:
    """Return the slot and the member id of each worker of the group."""
    found = ((slot_of(group_id, member.client_id), member.member_id) for member in members_of(admin, group_id))
    return [(slot, member_id) for slot, member_id in found if slot is not None]


def choose_slots(conf: Mapping[str, Any], group_id: str, count: int) -> list[int]:
    """Return the `count` lowest slots of the group that are free.

    Args:
        conf: librdkafka's properties: where the brokers are and how to get in.

    Raises:
        BrokerUnavailable, Fatal: see `failure`.
    """
    return free_slots(AdminClient(dict(conf)), group_id, count)


def free_slots(admin: AdminClient, group_id: str, count: int) -> list[int]:
    """Return the `count` lowest slots that no member of the group runs in."""
    taken = {slot for slot, _ in _members(admin, group_id)}
    return [slot for slot in range(count + len(taken)) if slot not in taken][:count]


def dead_slots(admin: AdminClient, group_id: str, own: int, slots: int) -> list[int]:
    """Return those of the first `slots` slots, and of all below a taken one, that no member runs in; never `own`."""
    taken = {slot for slot, _ in _members(admin, group_id)} | {own}
    return [slot for slot in range(max(slots, max(taken) + 1)) if slot not in taken]


def is_shared(admin: AdminClient, group_id: str, slot: int, member_id: str) -> bool:
    """Whether our member `member_id` must leave `slot`: another member runs there too, and has a lower id.

    Of static members the group knows only the latest in a slot. The one before it must leave.
    """
    rivals = [other for taken, other in _members(admin, group_id) if taken == slot]
    return bool(member_id and rivals) and min(rivals) != member_id
