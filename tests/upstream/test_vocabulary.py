"""The one table of plain words is whole."""

from pathlib import Path

from processor.core.model import EndReason, Odd, RejectCode
from processor.upstream.notices import Notice
from processor.upstream.vocabulary import ENDS, FLAGS, ODD, REJECTED, flag_counts, flag_text


def test_each_word_has_its_plain_ones() -> None:
    """Flags, reasons of the nonconforming, ends and refusals: none is left out, none is of nothing."""
    assert FLAGS.keys() == set(Notice.WORDS)
    assert tuple(ODD) == Odd.WORDS
    assert ENDS.keys() >= {reason.value for reason in EndReason}
    assert REJECTED.keys() == {code.value for code in RejectCode}


def test_texts_tell_flags_apart() -> None:
    """A text stands for one flag, so lists can be filtered by what they show; a newer release's flag shows its word."""
    assert len({text for text, _ in FLAGS.values()}) == len(FLAGS)
    assert flag_text("of_tomorrow") == "of tomorrow"
    assert flag_counts({"of_tomorrow": 1, "session_mismatch": 2, "late": 1}) == "1 late, 2 moved here, 1 of tomorrow"


def test_the_documents_have_the_table() -> None:
    """docs/exporting.md has each flag with its text."""
    document = (Path(__file__).parents[2] / "docs" / "exporting.md").read_text("utf-8")
    for word, (text, _) in FLAGS.items():
        assert f"| `{word}` | {text} |" in document
