"""The ids that Kafka gives to a cluster and its topics: they tell one from another of the same name."""

from collections.abc import Mapping, Sequence
from typing import Final, TypeAlias

CLUSTER: Final = "cluster"

Identities: TypeAlias = Mapping[str, str]
"""Ids by role: `CLUSTER`, and a word for each topic (`raw`, `tagged`, …). A role whose id is not known is left out."""


def differing(known: Identities, now: Identities) -> Sequence[str]:
    """Return the roles whose id `now` is not the one that was `known`, in the order of `known`."""
    return [role for role, each in known.items() if now.get(role, each) != each]
