"""Comparing ids: what is not known on one side is no difference."""

import pytest

from processor.runtime.identities import differing

KNOWN = {"cluster": "c", "raw": "r", "state": "s"}


@pytest.mark.parametrize(
    ("now", "roles"),
    [
        (KNOWN, []),
        ({}, []),
        ({"cluster": "c", "raw": "r", "tagged": "t"}, []),
        ({**KNOWN, "raw": "other"}, ["raw"]),
        ({"state": "other", "raw": "r", "cluster": "other"}, ["cluster", "state"]),
    ],
    ids=["same", "nothing known", "one more, one less", "a topic", "cluster and topic"],
)
def test_only_another_id_is_a_difference(now: dict[str, str], roles: list[str]) -> None:
    """An old broker, or a record made before ids were kept, refuses nobody."""
    assert differing(KNOWN, now) == roles
