"""The bytes in docs/sizing.md are those that there are."""

import re
from pathlib import Path

import pytest

from bench.sizes import ENCODINGS, sizes

TEXT = (Path(__file__).parents[1] / "docs" / "sizing.md").read_text("utf-8")
MAY_DIFFER = 0.1  # More than that, and the examples below the table are wrong too.


@pytest.mark.parametrize("column", range(len(ENCODINGS)), ids=ENCODINGS)
def test_the_table_of_bytes(column: int) -> None:
    """`python -m bench.sizes` prints it anew."""
    found = sizes(list(ENCODINGS.values())[column])
    rows = re.findall(r"^\| (a .+?) \| ([\d,]+) \| ([\d,]+) \|$", TEXT, re.MULTILINE)
    told = {place: int(figures[column].replace(",", "")) for place, *figures in rows}
    assert told == {place: pytest.approx(size, rel=MAY_DIFFER) for place, size in found.items()}
