"""What others wrote, as it reaches a terminal."""

import json

import pytest

from processor.cli.text import plain, plain_id, print_json

STEERING = "\x00\x1b[2J\x7f\x9b31m\u202e\u2066\u200f\u061c\u200b\ufeff\u2028\n\r\U000e0041\ud800"


def test_nothing_steers_the_terminal() -> None:
    """Controls, C1 too, bidi marks and what is not seen are marked; letters of any script and emoji stay."""
    marked = "\N{REPLACEMENT CHARACTER}"
    assert plain(STEERING) == f"{marked}{marked}[2J{marked}{marked}31m{marked * 11}"
    assert plain(text := "Grüße, שלום, किताब, 👩\u200d👧") == text


@pytest.mark.parametrize("name", ["heron-07", "Zoë", "анна", "山田たろう", "mia.o@site_1"])
def test_a_plain_id_is_shown_as_it_is(name: str) -> None:
    """An id that is only itself."""
    assert plain_id(name) == name


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("Elias01 ", '"Elias01 "'),
        ("\u00a0elias01", r'"\u00a0elias01"'),
        ("ma\u200bria", r'"ma\u200bria"'),
        ("m\u0430ria", r'"m\u0430ria"'),
        ("Zoe\u0308", r'"Zoe\u0308"'),
        ("ﬁnch", r'"\ufb01nch"'),
        ("a\x1b[31mb", r'"a\u001b[31mb"'),
    ],
)
def test_an_id_that_looks_like_another_is_marked(name: str, shown: str) -> None:
    """Blanks outside, hidden characters, a second way of writing, letters of two scripts: all are seen."""
    assert plain_id(name) == shown


def test_json_on_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    """It is escaped where a terminal would be steered, means the same, and is readable else."""
    print_json({"Grüße": STEERING})
    printed = capsys.readouterr().out
    assert json.loads(printed) == {"Grüße": STEERING}
    assert printed.startswith('{"Grüße": "')
    assert plain(printed.rstrip("\n")) == printed.rstrip("\n")
