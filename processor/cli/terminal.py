"""What is printed for people, on a terminal or into a pipe."""

import json
import re
import sys
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from rich.console import Console

_PIPED_WIDTH: Final = 240  # for programs, which read lines
# What steers a terminal, turns the order of what is shown, or is not seen: controls, line ends, bidi marks, tags.
_STEERING: Final = re.compile(
    r"[\x00-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff"
    r"\U000e0000-\U000e0fff]"
)
_EAST_ASIAN: Final = frozenset({"CJK", "HIRAGANA", "KATAKANA", "KATAKANA-HIRAGANA", "HANGUL", "BOPOMOFO"})


def new_console() -> "Console":
    """Return a console for tables; text is printed as it is, since it may quote what was in a record."""
    from rich.console import Console

    console = Console(highlight=False, markup=False, emoji=False)
    if not console.is_terminal:
        console.width = _PIPED_WIDTH
    return console


def plain(text: str) -> str:
    """Return `text` with its control characters marked: nothing that a message says may steer the terminal."""
    return _STEERING.sub("\N{REPLACEMENT CHARACTER}", text)


def plain_id(name: str) -> str:
    """Return an id; one that could be taken for another comes in quotes, its odd characters as `\\u….`

    Such an id has blanks outside, characters that are not seen, several ways to be written, or letters of several
    scripts: a Cyrillic "а" in a Latin word.
    """
    return name if _is_unmistakable(name) else json.dumps(name)


def _is_unmistakable(name: str) -> bool:
    if name.isascii():
        return name.isprintable() and name == name.strip()
    if unicodedata.normalize("NFKC", name) != name or not name.isprintable() or name != name.strip():
        return False
    scripts = {unicodedata.name(letter, "?").partition(" ")[0] for letter in name if letter.isalpha()}
    return len(scripts) < 2 or scripts <= _EAST_ASIAN


def print_json(value: object, *, indent: int | None = None) -> None:
    """Print `value` as JSON: text as it is, but for what a terminal would not show as it is.

    It is one line, unless `indent` says how far each level is moved to the right.
    """
    can_show = (sys.stdout.encoding or "").lower().startswith("utf")
    for line in json.dumps(value, ensure_ascii=not can_show, indent=indent).split("\n"):
        print(_STEERING.sub(_escaped, line))


def _escaped(match: re.Match[str]) -> str:
    return json.dumps(match[0])[1:-1]


def when(ms: int) -> str:
    """Return a time to the second."""
    from processor.codec.isotime import format_time

    return format_time(ms)[:19].replace("T", " ") + "Z"


@contextmanager
def progress_bar(*, quiet: bool) -> Iterator[Callable[[int, int], None]]:
    """Yield what shows how many of all offsets were read: a bar on a terminal, nothing elsewhere."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

    console = Console(stderr=True)
    if quiet or not console.is_terminal:
        yield lambda *_: None
        return
    with Progress(
        BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), console=console, transient=True
    ) as progress:
        task = progress.add_task("", total=None)
        yield lambda offsets, total: progress.update(task, advance=offsets, total=total)
