"""Counts in words of English."""

from processor.upstream.words.counting import counted


def test_one_is_no_plural() -> None:
    """Whatever follows: a noun, one with a plural of its own, or a noun with its verb."""
    assert [counted(count, "bundle") for count in (0, 1, 2, 2000)] == [
        "0 bundles",
        "1 bundle",
        "2 bundles",
        "2,000 bundles",
    ]
    assert [counted(count, "leaf", "leaves") for count in (1, 2)] == ["1 leaf", "2 leaves"]
    assert [counted(count, "offset waits", "offsets wait") for count in (1, 2)] == ["1 offset waits", "2 offsets wait"]
