"""`a3cp sessions`: look into the store."""

import re
from collections.abc import Iterator, Sequence
from contextlib import closing
from textwrap import indent, wrap
from typing import Annotated, Any, Final

import msgspec
import typer
from rich.console import Console
from rich.text import Text

from processor.cli.arguments.places import session_of
from processor.cli.arguments.settings import Json, Store, one_of, stored, time_ms
from processor.cli.commands import App
from processor.cli.printing.terminal import new_console, new_table
from processor.cli.printing.text import counts, plain, print_json, when
from processor.cli.timeline import timeline
from processor.codec.events import from_json
from processor.errors import UsageError
from processor.sessions.forms import jsonforms
from processor.sessions.forms.jsonforms import event_fields, found_fields, rollup_fields
from processor.sessions.model import SessionRow
from processor.sessions.ports import Cursor, SessionFilter
from processor.sessions.ports import Store as StorePort
from processor.sessions.summary import by_day, by_user
from processor.upstream.expression import Voice
from processor.upstream.notices import Notice
from processor.upstream.vocabulary import ENDS, FLAGS, flag_counts, flag_text
from processor.upstream.words import span_words
from processor.upstream.words.counting import counted
from processor.upstream.words.ids import plain_id

app = App("The sessions in the store.")

VOICES: Final = tuple(voice.value for voice in Voice)
STATUSES: Final = ("active", "paused", "closed", "open", "partial", "complete")
PAGE: Final = 20
_ROWS_AT_ONCE: Final = 1_000
_WIDE: Final = 140  # columns of a terminal that has room for whole ids
_SHORT_ID: Final = 26  # characters: date, time, and five digits of the hash
_NUMBERS: Final = ("sessions", "partial", "length", "messages")
_USER_CHARS: Final = 14  # of a user id for which a narrow terminal has room beside the session's
_FLAGS_CHARS: Final = 34  # of a line of flags on a narrow terminal
_is_dated: Final = re.compile(r"sess_\d{8}_\d{6}_").match

User = Annotated[str | None, typer.Option("--user", metavar="USER", help="Only this person's, in any lane.")]
Limit = Annotated[int, typer.Option("--limit", metavar="N", min=1, max=10_000, help="At most so many.")]


@app.command("list")
def list_command(
    *,
    user: User = None,
    since: Annotated[
        str | None, typer.Option("--since", metavar="TIME", help="Started at this time or later, ISO 8601, UTC.")
    ] = None,
    until: Annotated[str | None, typer.Option("--until", metavar="TIME", help="Started before this time.")] = None,
    flag: Annotated[
        list[str] | None, typer.Option("--flag", metavar="FLAG", help="With a message so flagged; may be repeated.")
    ] = None,
    status: Annotated[
        str | None, typer.Option("--status", metavar="STATUS", help=f"Only those that are {', '.join(STATUSES)}.")
    ] = None,
    by: Annotated[str | None, typer.Option("--by", metavar="user|day", help="Add them up instead.")] = None,
    page: Annotated[int, typer.Option("--page", metavar="N", min=1, max=1_000_000_000, help="Which page.")] = 1,
    limit: Limit = PAGE,
    store: Store = None,
    as_json: Json = False,
) -> None:
    """List sessions, newest first."""
    wanted = SessionFilter(
        owner=_owner(user),
        since_ms=time_ms("--since", since),
        until_ms=time_ms("--until", until),
        notices=_notices(flag or []),
        status=one_of("--status", status, STATUSES),
    )
    one_of("--by", by, ("user", "day"))
    with closing(stored(store)) as opened:
        if by is not None:
            _show_rollups(by, _every(opened, wanted), as_json=as_json)
            return
        total = opened.reader.count(wanted)
        rows = opened.reader.sessions(wanted, limit=limit, skip=(page - 1) * limit)
    if as_json:
        print_json({"count": total, "page": page, "sessions": [fields_of(row) for row in rows]})
        return
    if not rows:
        print("no such sessions" if total == 0 else f"no page {page}: there are {counted(total, 'session')}")
        return
    _table(rows)
    pages = -(-total // limit)
    if pages > 1:
        print(f"page {page} of {pages}, {counted(total, 'session')}; --page {page % pages + 1} shows others")


@app.command()
def show(
    session_id: Annotated[str, typer.Argument(metavar="SESSION", help="The session's id, or how it begins.")],
    *,
    store: Store = None,
    as_json: Json = False,
) -> None:
    """Show one session: boundaries, sums of its messages, events."""
    with closing(stored(store)) as opened:
        row = session_of(opened, session_id)
        events = [from_json(event.value) for event in opened.reader.events(row.session_id, count_max=row.event_count)]
    if as_json:
        print_json({**fields_of(row), "events": [event_fields(event) for event in events]})
        return
    console = new_console()
    console.print(f"session   {row.session_id}")
    lane = "" if row.owner == row.user_id else f", in the lane {plain_id(row.user_id)}"
    console.print(f"user      {plain_id(row.owner)}{lane}")
    console.print(f"started   {when(row.start_ms)}")
    ended = row.state
    if row.end_ms is not None:
        ended = f"{when(row.end_ms)} {ENDS.get(row.reason or '', row.reason)}, revision {row.revision}"
    console.print(f"ended     {ended}")
    for name, told in (("phase", row.phase or ""), ("tags", ", ".join(row.tags))):
        if told:
            console.print(f"{name:<9} {plain(told)}")
    if row.score is not None:
        console.print(f"score     {row.score:g}")
    console.print(f"length    {span_words(row.duration_ms)}, paused {span_words(row.paused_ms)}")
    console.print(f"held      {counted(row.held_count, 'message')}{_whole_words(row)}")
    summary = row.summary
    for name, found in (
        ("said by", summary.expressed_by),
        ("sources", summary.sources),
        ("feedback", summary.feedback),
        ("aborts", summary.abort_codes),
    ):
        if found:
            console.print(f"{name:<9} {counts(found)}")
    if summary.notices:
        console.print(f"flags     {plain(flag_counts(summary.notices))}")
    if summary.confidence is not None:
        console.print(f"confidence {summary.confidence:.2f} on average of {summary.confidence_count:,}")
    for event in events:
        words = " ".join(word for word in (event.kind, event.reason, event.session_notes) if word)
        console.print(f"{when(event.timestamp)}  {plain(words)}")


@app.command()
def search(
    words: Annotated[str, typer.Argument(metavar="TEXT", help="Words that must all be there.")],
    *,
    user: User = None,
    expressed_by: Annotated[
        str | None,
        typer.Option("--expressed-by", metavar="WHO", help=f"Only what they said: {', '.join(VOICES)}."),
    ] = None,
    limit: Limit = PAGE,
    store: Store = None,
    as_json: Json = False,
) -> None:
    """Find what was said, written or noted with these words.

    All of the words must be there. The latest come first.
    """
    if not words.strip():
        raise UsageError("no words are given", remedy="name some that are to be found")
    one_of("--expressed-by", expressed_by, VOICES)
    with closing(stored(store)) as opened:
        found = opened.reader.search(words, SessionFilter(owner=_owner(user)), limit=limit, expressed_by=expressed_by)
    if as_json:
        print_json({"found": [found_fields(row) for row in found]})
        return
    if not found:
        print("nothing found")
        return
    console = new_console()
    if console.width < _WIDE:  # Whole ids and words do not fit side by side.
        for row in found:
            print(f"{when(row.at_ms)}  {plain_id(row.user_id)}  {row.expressed_by}")
            print(f"  {row.session_id or '(in no session)'}\n  {plain(row.text)}")
        return
    table = new_table("when", "session", "user", "said by", "text", folded=("text",))
    for row in found:
        cells = (when(row.at_ms), row.session_id or "(none)", plain_id(row.user_id), row.expressed_by, plain(row.text))
        table.add_row(*(Text(cell) for cell in cells))
    console.print(table)


def fields_of(row: SessionRow) -> dict[str, Any]:
    """Return a session as `--json` prints it."""
    fields: dict[str, Any] = msgspec.to_builtins(jsonforms.session_of(row))
    return fields


def _owner(user: str | None) -> str | None:
    """Return `user`.

    Raises:
        UnicodeEncodeError: it is not UTF-8. No store holds such an id, so it was mistyped.
    """
    if user is not None:
        user.encode()
    return user


def _whole_words(row: SessionRow) -> str:
    """Return whether all of the session is held, in words that follow how many messages are."""
    if row.is_opened_twice:
        return f", opened twice: {row.expected_count or 0:,} expected of the second time"
    expected = "" if row.expected_count is None else f", {row.expected_count:,} expected"
    return f"{expected}: {row.status.value}"


def _every(store: StorePort, wanted: SessionFilter) -> Iterator[SessionRow]:
    after: Cursor | None = None
    while rows := store.reader.sessions(wanted, limit=_ROWS_AT_ONCE, after=after):
        yield from rows
        after = rows[-1].start_ms, rows[-1].session_id


def _show_rollups(by: str, sessions: Iterator[SessionRow], *, as_json: bool) -> None:
    totals = by_user(sessions) if by == "user" else by_day(sessions)
    if as_json:
        print_json({by: {key: rollup_fields(total) for key, total in totals.items()}})
        return
    console = new_console()
    is_wide = console.width >= _WIDE  # Else the flags have a line of their own below, so that no id is broken.
    table = new_table(by, *_NUMBERS, *(["flags"] if is_wide else []), right=_NUMBERS, folded=("flags",))
    for key, total in totals.items():
        counted = (f"{total.sessions:,}", f"{total.partial:,}", span_words(total.duration_ms), f"{total.messages:,}")
        name, flags = plain_id(key), plain(flag_counts(total.summary.notices))
        below = indent("\n".join(wrap(flags, _FLAGS_CHARS)), "  ")
        cells: list[Text | str] = (
            [Text(name), *counted, flags] if is_wide else [Text(f"{name}\n{below}".rstrip()), *counted]
        )
        table.add_row(*cells)
    console.print(table)


def _table(rows: Sequence[SessionRow]) -> None:
    console = new_console()
    # On a narrow terminal the time that an id begins with has to do.
    first = [] if console.width < _WIDE and all(_is_dated(row.session_id) for row in rows) else ["started"]
    # Where users' ids are long, each has a line of its own below its session.
    is_below = console.width < _WIDE and max(len(plain_id(row.owner)) for row in rows) > _USER_CHARS
    ids = ["session, user"] if is_below else ["session", "user"]
    table = new_table(*first, *ids, "length", "messages", "status", "flags", right=_NUMBERS, folded=("flags",))
    for row in rows:
        ended = row.status.value if row.end_ms is not None else row.state
        name, user = _short_id(row.session_id, console), plain_id(row.owner)
        names = [f"{name}\n  {user}"] if is_below else [name, user]
        cells = (*(when(row.start_ms) for _ in first), *names, span_words(row.duration_ms))
        table.add_row(
            *(Text(cell) for cell in cells), f"{row.held_count:,}", ended, ", ".join(map(flag_text, row.flags))
        )
    console.print(table)


def _short_id(session_id: str, console: Console) -> str:
    """Return the id, on a narrow terminal its beginning, which is enough for `show` and the others."""
    if console.width >= _WIDE or len(session_id) <= _SHORT_ID:
        return session_id
    return f"{session_id[:_SHORT_ID]}…"


def _notices(words: list[str]) -> int:
    by_text = {text: word for word, (text, _) in FLAGS.items()}  # As the list shows them.
    bits = 0
    for text in words:
        word = by_text.get(text.lower(), text)
        one_of("--flag", word, Notice.WORDS)
        bits |= 1 << Notice.WORDS.index(word)
    return bits


app.command()(timeline)
