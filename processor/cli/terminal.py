"""What is printed for people, on a terminal or into a pipe."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from rich.console import Console

_PIPED_WIDTH: Final = 240  # for programs, which read lines
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def new_console() -> "Console":
    """Return a console for tables; text is printed as it is, since it may quote what was in a record."""
    from rich.console import Console

    console = Console(highlight=False, markup=False, emoji=False)
    if not console.is_terminal:
        console.width = _PIPED_WIDTH
    return console


def plain(text: str) -> str:
    """Return `text` with its control characters marked: nothing that a message says may steer the terminal."""
    return _CONTROL.sub("\N{REPLACEMENT CHARACTER}", text)


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
