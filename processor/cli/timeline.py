"""`a3cp sessions timeline`: a session in the terminal, line by line, readable without colour."""

from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from typing import Annotated, Any, Final, NamedTuple

import msgspec
import typer
from rich.console import Console
from rich.text import Text

from processor.bundles.reading import read_metadata, read_timeline
from processor.cli.arguments.places import bundle_or_view
from processor.cli.arguments.settings import Json, Store, codec_of_settings
from processor.cli.printing.text import plain, print_json
from processor.sessions.forms.folding import Line, folded, marks_of, words_of
from processor.sessions.forms.metadata import metadata_of
from processor.sessions.forms.shapes import Entry
from processor.sessions.forms.timeline import spooled
from processor.targets.target import Target
from processor.upstream.vocabulary import ODD, flag_text
from processor.upstream.words.counting import counted
from processor.upstream.words.ids import plain_id

_STYLES: Final = {"user": "green", "carer": "yellow", "system": "blue", "session": "bold"}


class Shown(NamedTuple):
    """One line on the terminal."""

    time: str
    voice: str  # "" for a silence
    words: str
    marks: tuple[str, ...]


def timeline(
    session: Annotated[
        str, typer.Argument(metavar="SESSION|BUNDLE", help="A session's id or its beginning, or a bundle's folder.")
    ],
    *,
    everything: Annotated[bool, typer.Option("--all", help="Fold nothing: each message is a line.")] = False,
    store: Store = None,
    as_json: Json = False,
) -> None:
    """Show what happened in a session: who, when, in plain words.

    The oldest comes first. Times are UTC.
    """
    with _opened(session, store) as (fields, entries):
        if as_json:
            timeline = [msgspec.to_builtins(entry) for entry in entries]
            print_json({**fields, "timeline": timeline})
            return
        start, end = fields["start_time"], fields["end_time"] or fields["last_activity"]
        when = f"{start[:10]} {start[11:19]} to {end[11:19]} UTC"
        what = f"{fields['status']}, {counted(fields['message_count'], 'message')}, {fields['completeness']}"
        heads = (f"Session of {plain_id(fields['user_id'])}, {when}", f"{plain(fields['session_id'])}: {what}")
        show(heads, entries, everything=everything)


@contextmanager
def _opened(session: str, address: str | None) -> Iterator[tuple[dict[str, Any], Iterable[Entry]]]:
    """Yield a session's metadata and timeline: of the bundle of this name if there is one, else of the store."""
    with bundle_or_view(session, address) as place:
        if isinstance(place, Target):
            yield msgspec.to_builtins(read_metadata(place)), read_timeline(place)
            return
        with closing(spooled(place, codec_of_settings())) as spool:
            entries = (msgspec.json.decode(text, type=Entry) for text in spool)
            yield msgspec.to_builtins(metadata_of(place)), entries


def show(heads: Iterable[str], entries: Iterable[Entry], *, everything: bool = False) -> None:
    """Print a timeline under its head lines."""
    console = Console(highlight=False, markup=False, soft_wrap=True)
    for head in heads:
        console.print(Text(head, style="bold"))
    console.print()
    for line in lines(entries, everything=everything):
        text = Text(f"{line.time:8}  ")
        if not line.voice:
            text.append(f"{'':9}⋯ {line.words}", style="dim")
        elif line.voice == "session":
            text.append(f"{'─' * 7}  {line.words}", style=_STYLES["session"])
        else:
            text.append(f"{line.voice:7}", style=_STYLES[line.voice])
            text.append(f"  {line.words}")
        for mark in line.marks:
            text.append(f"  [{mark}]", style="bold red")
        console.print(text)


def lines(entries: Iterable[Entry], *, everything: bool = False) -> Iterator[Shown]:
    """Yield the lines for `entries`, folded unless `everything` is wanted."""
    every = (Line(entry, words_of(entry)) for entry in entries)
    for line in every if everything else folded(entries):
        entry = line.entry
        if entry is None:
            yield Shown("", "", line.words, ())
            continue
        marks = tuple(flag_text(word) for word in marks_of(entry))
        if everything and entry.reasons:
            why = "; ".join(ODD.get(reason, reason) for reason in entry.reasons)
            marks += (f"{flag_text('nonconforming')}: {plain(why)}",)
        until = "" if line.last is None else f", until {line.last.at[11:19]}"
        yield Shown(entry.at[11:19], entry.expressed_by or "", plain(line.words) + until, marks)
