"""`a3cp export`: from the output topics to the store."""

import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from itertools import islice
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from processor.cli.extras import require
from processor.cli.settings import Bootstrap, Json, Prefix, Store, chosen, time_ms
from processor.cli.text import print_json

if TYPE_CHECKING:
    from processor.errors import A3CPError
    from processor.sessions.following import Progress
    from processor.sessions.ports import Store as StorePort

PARTIAL_SHOWN: Final = 10
ASIDE_SHOWN: Final = 10


def export(
    *,
    follow: Annotated[bool, typer.Option("--follow", help="Go on until stopped (Ctrl-C or SIGTERM).")] = False,
    to: Annotated[
        str | None, typer.Option("--to", metavar="ROOT", help="Write bundles below this folder or fsspec URL.")
    ] = None,
    format_: Annotated[
        list[str] | None,
        typer.Option(
            "--format", metavar="FORMAT", help="Only this in bundles; may be repeated: json, jsonl, html, csv."
        ),
    ] = None,
    training: Annotated[
        str | None, typer.Option("--training", metavar="ROOT", help="Write the Parquet data set below this folder.")
    ] = None,
    user: Annotated[str | None, typer.Option("--user", metavar="USER", help="Bundles of this user only.")] = None,
    session: Annotated[
        str | None, typer.Option("--session", metavar="ID", help="The bundle of this session only.")
    ] = None,
    since: Annotated[
        str | None, typer.Option("--since", metavar="TIME", help="Bundles of sessions started then or later.")
    ] = None,
    until: Annotated[
        str | None, typer.Option("--until", metavar="TIME", help="Bundles of sessions started before then.")
    ] = None,
    store: Store = None,
    bootstrap: Bootstrap = None,
    prefix: Prefix = None,
    metrics_port: Annotated[
        int | None,
        typer.Option(
            metavar="PORT",
            min=0,
            max=65535,
            show_default="A3CP_METRICS_PORT",
            help="With --follow: port of /metrics, /livez and /readyz; 0 for none.",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Write what was tagged into the store, and bundles from there.

    It goes to the topics' end, or on and on.

    Run it as often as you like: the store knows how far it is, and each record counts once. Several exporters with one
    store share the work.
    """
    from processor.errors import UsageError
    from processor.processes.bundling import Bundling, formats_of
    from processor.processes.decoders import Decoders
    from processor.processes.exporter import export_observer
    from processor.processes.exporter import follow as follow_topics
    from processor.sessions.ports import SESSIONS, TAGGED, SessionFilter
    from processor.targets.target import Target
    from processor.wiring import await_kafka, store_of

    require("export")
    if metrics_port and not follow:
        raise UsageError("--metrics-port is for an export that goes on", remedy="add --follow, or leave it out")
    for option, given in (
        ("--format", format_), ("--user", user), ("--session", session), ("--since", since), ("--until", until),
    ):  # fmt: skip
        if given and to is None:
            raise UsageError(f"{option} is for bundles", remedy="add --to, or leave it out")
    wanted = SessionFilter(user, time_ms("--since", since), time_ms("--until", until), session_id=session)
    formats = formats_of(format_ or [])
    bundles, dataset = (None if root is None else Target(root) for root in (to, training))
    settings = chosen(bootstrap, prefix, store)
    topics = {TAGGED: settings.topics().tagged, SESSIONS: settings.topics().sessions}
    stopped = _stopped_by_signals()
    with ExitStack() as stack:
        observer = stack.enter_context(export_observer(settings, metrics_port if follow else 0))
        on_trouble = observer.not_followed if follow else _warn
        if not await_kafka(settings, to_end=not follow, stopped=stopped, on_trouble=on_trouble):
            print("stopped before Kafka answered: nothing was read, and nothing written", file=sys.stderr)
            raise typer.Exit(0 if follow else 1)
        opened = stack.enter_context(closing(store_of(settings)))  # Only now: a new one would be empty.
        bundling = Bundling(
            opened,
            settings,
            to=bundles,
            training=dataset,
            formats=formats,
            wanted=wanted,
            stopped=stopped.is_set,
        )
        with _progress_shown(quiet=as_json, follow=follow) as show, closing(Decoders(settings)) as decoders:

            def shown_and_written(progress: "Progress") -> None:
                show(progress)
                observer.followed(progress)
                bundling.write_some(observer)

            done = follow_topics(
                settings,
                opened,
                decoders.decode,
                to_end=not follow,
                stopped=stopped,
                on_progress=shown_and_written if follow else _standing_told(show, topics),
                on_trouble=on_trouble,
            )
        opened.close()  # With its cache: what follows asks little of it.
        bundling.finish()
        outcome = _outcome(opened, done, topics)
        is_missing = session is not None and not opened.count(SessionFilter(session_id=session))
    if as_json:
        print_json({**outcome, **bundling.outcome()})
    else:
        _tell(outcome, opened.name, interrupted=stopped.is_set() and not follow)
        bundling.tell()
    if is_missing and not stopped.is_set():
        raise UsageError(
            f"no session {session} in {opened.name}", remedy="--session wants the whole id; a3cp sessions list has them"
        )
    if not follow:
        bundling.warn()
        if bundling.has_set_aside or done.unreadable or done.waiting or done.standing:
            raise typer.Exit(1)


def _stopped_by_signals() -> threading.Event:
    import signal

    stopped = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.set())
    return stopped


def _warn(error: "A3CPError") -> None:
    print(f"warning: {error}; trying again", file=sys.stderr)


def _standing_told(show: "Callable[[Progress], None]", topics: Mapping[str, str]) -> "Callable[[Progress], None]":
    """Return what does as `show`, and warns of partitions that stand still."""
    told: set[tuple[str, str]] = set()

    def shown(progress: "Progress") -> None:
        show(progress)
        for topic, partition, offset, _, why, _ in progress.standing:
            position = f"{topics[topic]}[{partition}]@{offset}"
            if (position, why) not in told:
                told.add((position, why))
                print(f"warning: {position} waits: {why}; trying again", file=sys.stderr)

    return shown


@contextmanager
def _progress_shown(*, quiet: bool, follow: bool) -> "Iterator[Callable[[Progress], None]]":
    """Yield what shows how far an export is: a bar on a terminal, nothing elsewhere."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    console = Console(stderr=True)
    if quiet or not console.is_terminal:
        yield lambda _: None
        return
    text = TextColumn("{task.fields[messages]:,} messages, {task.fields[events]:,} events")
    with Progress(BarColumn(), text, TimeElapsedColumn(), console=console, transient=True) as bar:
        task = bar.add_task("", total=None, messages=0, events=0)

        def show(progress: Any) -> None:
            done = progress.messages + progress.events
            total = None if follow or progress.left is None else done + progress.left
            bar.update(task, completed=done, total=total, messages=progress.messages, events=progress.events)

        yield show


def _outcome(store: "StorePort", done: "Progress", topics: Mapping[str, str]) -> dict[str, Any]:
    from processor.sessions.ports import SessionFilter

    totals = store.totals()
    partial = store.sessions(SessionFilter(status="partial"), limit=PARTIAL_SHOWN)
    return {
        "written": {"messages": done.messages, "events": done.events, "unreadable": done.unreadable},
        "read_again": done.again,
        "left": done.left,
        "held": {
            "sessions": dict(totals.sessions),
            "messages": totals.messages,
            "without_session": totals.without_session,
            "events": totals.events,
            "unreadable": totals.unreadable,
        },
        "set_aside": [
            {"position": f"{topics[row.topic]}[{row.partition}]@{row.offset}", "reason": row.error}
            for row in islice(store.unreadable(), ASIDE_SHOWN)
        ],
        "standing": [
            {
                "position": f"{topics[topic]}[{partition}]@{offset}",
                "cause": cause.value,
                "reason": why,
                "remedy": remedy,
            }
            for topic, partition, offset, cause, why, remedy in done.standing
        ],
        "partial": [
            {
                "session_id": row.session_id,
                "held": row.held_count,
                "expected": row.expected_count,
                "opened_twice": row.is_opened_twice,
            }
            for row in partial
        ],
    }


def tell_partial(rows: list[dict[str, Any]]) -> None:
    """Print of which sessions not all is held, or more than belongs together."""
    for row in rows:
        if row["opened_twice"]:
            print(
                f"opened twice: {row['session_id']} holds {row['held']:,} messages; records were sent again much later"
            )
        else:
            print(f"partial: {row['session_id']} holds {row['held']:,} of {row['expected']:,} messages")


def _tell_set_aside(rows: list[dict[str, Any]], count: int) -> None:
    if count:
        print(f"{count:,} records are set aside, since they cannot be read; each export tries them again:")
        for row in rows:
            print(f"set aside: {row['position']}: {row['reason']}")
        if count > len(rows):
            print(f"and {count - len(rows):,} more; the table unreadable has them all")


def _tell(outcome: dict[str, Any], name: str, *, interrupted: bool) -> None:
    written, held = outcome["written"], outcome["held"]
    sessions = held["sessions"]
    print(f"wrote {written['messages']:,} messages and {written['events']:,} session events into {name}")
    counts = ", ".join(f"{sessions[status]:,} {status}" for status in ("complete", "partial", "open"))
    print(f"it holds {sum(sessions.values()):,} sessions: {counts}")
    without = f", {held['without_session']:,} of them in no session" if held["without_session"] else ""
    print(f"and {held['messages']:,} messages{without}")
    if outcome["read_again"]:
        print(f"{outcome['read_again']:,} records that were set aside could be read now, and are among them")
    _tell_set_aside(outcome["set_aside"], held["unreadable"])
    for place in outcome["standing"]:
        print(f"stands still: {place['position']}: {place['reason']}; {place['remedy']}")
    if outcome["standing"]:
        print(f"{outcome['left']:,} offsets are left there; the next export goes on from them")
    tell_partial(outcome["partial"])
    if (hidden := sessions["partial"] - len(outcome["partial"])) > 0:
        print(f"and {hidden:,} more; a3cp sessions list --status partial shows them")
    if interrupted and outcome["left"]:
        print(f"stopped before the end: {outcome['left']:,} offsets are left", file=sys.stderr)
