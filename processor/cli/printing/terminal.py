"""Tables and bars, on a terminal or into a pipe; and what to type on it."""

import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Protocol

from rich import box
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.table import Table

_PIPED_WIDTH: Final = 240  # for programs, which read lines


def new_console() -> Console:
    """Return a console for tables. It prints text as it is: it may quote what was in a record."""
    console = Console(highlight=False, markup=False, emoji=False)
    if not console.is_terminal:
        console.width = _PIPED_WIDTH
    return console


def new_table(*headings: str, right: tuple[str, ...] = (), folded: tuple[str, ...] = ()) -> Table:
    """Return a table without frame. Columns in `right` hold numbers; columns in `folded` may take several lines."""
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for heading in headings:
        is_right = heading in right
        table.add_column(
            heading, overflow="fold", no_wrap=heading not in folded, justify="right" if is_right else "left"
        )
    return table


class Show(Protocol):
    """Shows how far something is: how much of all (if that is known), and words for it."""

    def __call__(self, done: int, total: int | None = None, words: str | None = None) -> None:
        """Show it."""


@contextmanager
def progress_bar(words: str = "", *, quiet: bool = False, console: Console | None = None) -> Iterator[Show]:
    """Yield a function that shows how far something is: by a bar on a terminal, else not at all."""
    console = console or Console(stderr=True, highlight=False)
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    bar = Progress(*columns, console=console, transient=True, disable=quiet or not console.is_terminal)
    task = bar.add_task(words, total=None)

    def show(done: int, total: int | None = None, words: str | None = None) -> None:
        bar.start()
        bar.update(task, completed=done, total=total, description=words)

    try:
        yield show
    finally:
        if bar.live.is_started:  # Else it would print an empty line.
            bar.stop()


def program() -> str:
    """Return how the reader calls a3cp from where they are."""
    here = Path(sys.argv[0])
    found = shutil.which("a3cp")
    if not here.exists() or (found and Path(found).samefile(here)):
        return "a3cp"
    try:
        return str(here.absolute().relative_to(Path.cwd()))
    except ValueError:
        return str(here)
