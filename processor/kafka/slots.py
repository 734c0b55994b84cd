"""Slots: small numbers that tell the workers of a group apart, so that a successor can abort what a dead one left open."""

import re
from typing import Final

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from processor.kafka.failures import failure

SLOTS_MAX: Final = 64
_TIMEOUT_S: Final = 10.0


def client_id(group_id: str, slot: int) -> str:
    """Return the client id by which others see which slot a member runs in."""
    return f"{group_id}-{slot}"


def live_slots(admin: AdminClient, group_id: str) -> set[int]:
    """Return the slots of the group's present members.

    Raises:
        BrokerUnavailable, Fatal: see `failure`.
    """
    try:
        described = admin.describe_consumer_groups([group_id], request_timeout=_TIMEOUT_S)[group_id].result()
    except KafkaException as error:
        if "GROUP_ID_NOT_FOUND" in str(error):  # A group that was never used.
            return set()
        raise failure(f"describing group {group_id}", error) from error
    pattern = re.compile(re.escape(client_id(group_id, 0))[:-1] + r"(\d+)")
    found = (pattern.fullmatch(member.client_id or "") for member in described.members)
    return {int(match[1]) for match in found if match}


def free_slots(admin: AdminClient, group_id: str, count: int) -> list[int]:
    """Return the `count` lowest slots that no member of the group runs in."""
    taken = live_slots(admin, group_id)
    return [slot for slot in range(SLOTS_MAX + len(taken)) if slot not in taken][:count]


def dead_slots(admin: AdminClient, group_id: str, own: int, slots: int) -> list[int]:
    """Return those of the first `slots` slots that no member of the group runs in; never `own`."""
    taken = live_slots(admin, group_id) | {own}
    return [slot for slot in range(max(slots, max(taken) + 1)) if slot not in taken]
