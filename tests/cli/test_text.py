"""What others wrote, as it reaches a terminal."""

import json

import pytest

from processor.cli.printing.text import plain, print_json

STEERING = "\x00\x1b[2J\x7f\x9b31m\u202e\u2066\u200f\u061c\u200b\ufeff\u2028\n\r\U000e0041\ud800"


def test_nothing_steers_the_terminal() -> None:
    """Controls, C1 too, bidi marks and what is not seen are marked; letters of any script and emoji stay."""
    marked = "\N{REPLACEMENT CHARACTER}"
    assert plain(STEERING) == f"{marked}{marked}[2J{marked}{marked}31m{marked * 11}"
    assert plain(text := "Grüße, שלום, किताब, 👩\u200d👧") == text


def test_json_on_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    """It is escaped where a terminal would be steered, means the same, and is readable else."""
    print_json({"Grüße": STEERING})
    printed = capsys.readouterr().out
    assert json.loads(printed) == {"Grüße": STEERING}
    assert printed.startswith('{"Grüße": "')
    assert plain(printed.rstrip("\n")) == printed.rstrip("\n")
