"""Workers that end by themselves."""

import sys
from pathlib import Path

import pytest

from processor.errors import A3CPError, UsageError
from processor.processes.supervisor import cores, supervise
from processor.settings.sources import Option, load


@pytest.mark.parametrize("code", [1, 2])
def test_a_workers_exit_code_is_handed_on(code: int) -> None:
    """One that failed, or was used wrongly, stops all with the same code."""
    with pytest.raises(A3CPError, match=f"the worker in slot 3 ended with code {code}") as caught:
        supervise([3], [sys.executable, "-c", f"import sys; sys.exit({code})"], lambda _: None)
    assert caught.value.exit_code == code


def test_a_container_limits_the_cores(tmp_path: Path) -> None:
    """A part of a core counts as one; without a limit the machine's count, as without the file."""
    file = tmp_path / "cpu.max"
    machine = cores(file)
    for text, expected in (("50000 100000", 1), ("max 100000", machine), ("99900000 100000", machine)):
        file.write_text(text)
        assert cores(file) == expected


def test_how_many_workers_is_a_number_or_auto(tmp_path: Path) -> None:
    """From the option, the variable or the file, whatever the case."""
    assert load({"A3CP_WORKERS": "AUTO"}, tmp_path).settings.workers == "auto"
    assert load({"A3CP_WORKERS": "auto"}, tmp_path, {"workers": Option("--workers", "3")}).settings.workers == 3
    for wrong in ("0", "65", "many"):
        with pytest.raises(UsageError, match=r"^--workers is not as wanted"):
            load({}, tmp_path, {"workers": Option("--workers", wrong)})
