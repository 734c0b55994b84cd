"""The one table of plain words is whole."""

import re
from pathlib import Path

from processor.core.model import EndReason, Odd, RejectCode
from processor.upstream.notices import Notice
from processor.upstream.vocabulary import ENDS, FLAGS, ODD, REJECTED, flag_counts, flag_text
from processor.upstream.words import LANGUAGES, table


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


def test_every_language_has_every_word() -> None:
    """The same names in each table, and the same places in each phrase; each text of the page is in them."""
    places = re.compile(r"\{[\w:]+\}").findall
    english = table("en")
    for language in LANGUAGES:
        words = table(language)
        assert words.keys() == english.keys()
        for name, told in english.items():
            if isinstance(told, dict):
                assert words[name].keys() == told.keys(), (language, name)
        for part in ("phrases", "page"):
            for name, text in english[part].items():
                assert sorted(places(words[part][name])) == sorted(places(text)), (language, name)


def test_every_place_of_a_phrase_can_be_filled() -> None:
    """What stands behind a colon is a table, a count, or a kind of number."""
    words = table()
    for text in words["phrases"].values():
        for kind in re.findall(r":(\w+)\}", text):
            assert kind in words or kind in words["counts"] or kind in ("span", "precise", "time", "number", "id"), text
