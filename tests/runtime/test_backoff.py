"""How long to wait after failures."""

import pytest

from processor.runtime.backoff import backoff_s


@pytest.mark.parametrize(
    ("failures", "expected_s"),
    [(1, 0.5), (2, 1.0), (3, 2.0), (5, 8.0), (6, 10.0), (2_000, 10.0)],
    ids=["the first wait", "twice", "twice again", "below the longest", "the longest", "a broker away for hours"],
)
def test_waits(failures: int, expected_s: float) -> None:
    """Each wait is twice the one before, up to the longest, however many failures there were."""
    assert backoff_s(failures, first_s=0.5, max_s=10.0) == expected_s
