"""Ids as names of folders: apart on every file system, and never anywhere else."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processor.targets.paths import PART_CHARS_MAX, bundle_path, path_part

DEVICES = ("con", "prn", "aux", "nul", "com1", "lpt9", "CON", "Nul.txt", "com1.tar.gz")


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("sess_20240115_103045_a1b2c3", "sess_20240115_103045_a1b2c3"),
        ("sess_0123456789abcdef", "sess_0123456789abcdef"),
        ("../../x", "=2e.=2f..=2fx"),
        ("..", "=2e=2e"),
        (".", "=2e"),
        ("", "="),
        ("CON", "=43=4f=4e"),
        ("con", "=63on"),
        ("nul.txt", "=6eul.txt"),
        ("a.", "a=2e"),
        ("a/b\\c:d", "a=2fb=5cc=3ad"),
        ("🦊", "=f0=9f=a6=8a"),
        ("a=b", "a=3db"),
        ("\0", "=00"),
    ],
)
def test_names(text, part):
    """The table is the rule."""
    assert path_part(text) == part


def test_long_ids_keep_apart():
    """An id of 255 bytes and more gets a name that fits, and differs where only its end does."""
    one, other = "a" * 255 + "1", "a" * 255 + "2"
    assert path_part(one) != path_part(other)
    assert max(len(path_part(one)), len(path_part("🦊" * 64)), len(path_part("A" * 1000))) <= PART_CHARS_MAX


@given(st.text(max_size=300))
def test_every_name_is_safe(text):
    """One part, no device, no hidden file, nothing that a file system changes or folds."""
    part = path_part(text)
    assert 0 < len(part) <= PART_CHARS_MAX
    assert set(part) <= set("abcdefghijklmnopqrstuvwxyz0123456789_-.=")
    assert part[0] != "."
    assert part[-1] != "."
    assert part.partition(".")[0] not in DEVICES
    assert unicodedata.normalize("NFD", part) == part
    assert "=." not in part


@given(st.text(max_size=80), st.text(max_size=80))
def test_names_keep_ids_apart(one, other):
    """Two ids never share a name, also where case does not count."""
    assert (path_part(one).casefold() == path_part(other).casefold()) == (one == other)


def test_a_bundle_lies_under_the_utc_date_of_its_start():
    """The date is that of the session's start, in UTC."""
    assert bundle_path("sess_1", 1_763_769_599_999) == "2025-11-21/sess_1"
    assert bundle_path("sess_1", 1_763_769_600_000) == "2025-11-22/sess_1"
