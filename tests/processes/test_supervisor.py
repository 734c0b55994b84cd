"""Workers that end by themselves."""

import sys

import pytest

from processor.errors import A3CPError
from processor.processes.supervisor import supervise


@pytest.mark.parametrize("code", [1, 2])
def test_a_workers_exit_code_is_handed_on(code: int) -> None:
    """One that failed, or was used wrongly, stops all with the same code."""
    with pytest.raises(A3CPError, match=f"the worker in slot 3 ended with code {code}") as caught:
        supervise([3], [sys.executable, "-c", f"import sys; sys.exit({code})"], lambda _: None)
    assert caught.value.exit_code == code
