"""`a3cp export`: from the output topics to the store."""

import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich import progress
from rich.console import Console

from processor.bundles.contents import ALL_FORMATS, Format
from processor.cli.arguments.settings import Bootstrap, Json, Prefix, SignKey, Store, chosen, time_ms
from processor.cli.extras import require
from processor.cli.printing.exported import export_outcome, files_outcome, tell_export, tell_files, warn_of_set_aside
from processor.cli.printing.text import print_json
from processor.errors import A3CPError, UsageError
from processor.processes.exporter.files import Files, Wanted
from processor.processes.signals import stop_on_signals
from processor.sessions.ports import SessionFilter
from processor.sessions.projection.progress import ExportProgress
from processor.settings.model import Settings
from processor.targets.target import Target
from processor.wiring import signer_of, store_of

if TYPE_CHECKING:
    from processor.processes.exporter.exporter import Report


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
    sign_key: SignKey = None,
    seal: Annotated[
        bool, typer.Option("--seal", help="Seal the bundles of each day once it has ended; see a3cp seal.")
    ] = False,
    user: Annotated[
        str | None, typer.Option("--user", metavar="USER", help="Bundles of this person only, in any lane.")
    ] = None,
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
    # With its observers it takes 0.2 s to load, and --help does without.
    from processor.processes.exporter.exporter import (  # noqa: PLC0415
        await_kafka,
        export_observer,
        export_topics,
    )

    require("export")
    if metrics_port and not follow:
        raise UsageError("--metrics-port is for an export that goes on", remedy="add --follow, or leave it out")
    wanted = _wanted(to, training, format_, user, session, since, until, seal=seal)
    settings = chosen(bootstrap, prefix, store, sign_key)
    signer_of(settings)  # A key that cannot be read is told before anything is.
    names = settings.topics().outputs
    stopped = threading.Event()
    stop_on_signals(stopped)
    with ExitStack() as stack:
        port = metrics_port if follow else 0
        observer = stack.enter_context(export_observer(settings, port, _places(settings, wanted)))
        report: Report = observer if follow else _Warnings(names)
        if not await_kafka(settings, report, stopped, to_end=not follow):
            print("stopped before Kafka answered: nothing was read, and nothing written", file=sys.stderr)
            raise typer.Exit(0 if follow else 1)
        opened = stack.enter_context(closing(store_of(settings)))  # Only now: a new one would be empty.
        if opened.brought is not None:
            print(opened.brought, file=sys.stderr)
        if follow:
            observer.started(opened.name)
        files = Files(opened, settings, wanted, observer, stopped.is_set)
        with _progress_shown(report, quiet=as_json, follow=follow) as shown:
            done = export_topics(settings, opened, files, shown, stopped, to_end=not follow)
        outcome = export_outcome(opened, done, names)
        is_missing = session is not None and not opened.reader.count(SessionFilter(session_id=session))
    if as_json:
        print_json({**outcome, **files_outcome(files)})
    else:
        tell_export(outcome, opened.name, interrupted=stopped.is_set() and not follow)
        tell_files(files)
    if is_missing and not stopped.is_set():
        raise UsageError(
            f"no session {session} in {opened.name}", remedy="--session wants the whole id; a3cp sessions list has them"
        )
    if not follow:
        warn_of_set_aside(files)
        if files.has_set_aside or done.unreadable or done.waiting or done.standing:
            raise typer.Exit(1)


def _places(settings: Settings, wanted: Wanted) -> dict[str, Path]:
    """Return what is kept on this machine's disks, and where."""
    from processor.store.opening import file_of  # noqa: PLC0415  # Of an extra, which --help does without.

    targets = {"bundles": wanted.bundles, "data_set": wanted.training}
    places = {name: Path(target.root) for name, target in targets.items() if target is not None and target.is_local}
    store = file_of(settings.store_url)
    return places if store is None else {"store": store, **places}


def _wanted(  # noqa: PLR0917  # The options, as they are.
    to: str | None,
    training: str | None,
    format_: list[str] | None,
    user: str | None,
    session: str | None,
    since: str | None,
    until: str | None,
    *,
    seal: bool,
) -> Wanted:
    """Return which files the options ask for.

    Raises:
        UsageError: one of them has no such value, or needs --to.
    """
    for option, given in (
        ("--format", format_), ("--user", user), ("--session", session), ("--since", since), ("--until", until),
        ("--seal", seal),
    ):  # fmt: skip
        if given and to is None:
            raise UsageError(f"{option} is for bundles", remedy="add --to, or leave it out")
    sessions = SessionFilter(user, time_ms("--since", since), time_ms("--until", until), session_id=session)
    known = {one.value: one for one in Format}
    if unknown := [word for word in format_ or [] if word not in known]:
        raise UsageError(f"no format {unknown[0]}", remedy=f"there are {', '.join(known)}")
    return Wanted(
        None if to is None else Target(to),
        None if training is None else Target(training),
        frozenset(known[word] for word in format_ or []) or ALL_FORMATS,
        sessions,
        seal=seal,
    )


class _Warnings:
    """Warns on standard error of what does not answer, and once of each partition that stands still."""

    def __init__(self, names: Mapping[str, str]) -> None:
        self._names = names
        self._told: set[tuple[str, str]] = set()

    def followed(self, progress: ExportProgress) -> None:
        for topic, partition, offset, _, why, _ in progress.standing:
            position = f"{self._names[topic]}[{partition}]@{offset}"
            if (position, why) not in self._told:
                self._told.add((position, why))
                print(f"warning: {position} waits: {why}; trying again", file=sys.stderr)

    def not_followed(self, error: A3CPError) -> None:
        print(f"warning: {error}; trying again", file=sys.stderr)


class _WithBar:
    """Shows on a terminal how far an export is, beside `report`."""

    def __init__(self, report: "Report", bar: Any, *, follow: bool) -> None:
        self._report = report
        self._bar = bar
        self._follow = follow
        self._task = bar.add_task("", total=None, messages=0, events=0)

    def followed(self, progress: ExportProgress) -> None:
        done = progress.messages + progress.events
        total = None if self._follow or progress.left is None else done + progress.left
        self._bar.update(self._task, completed=done, total=total, messages=progress.messages, events=progress.events)
        self._report.followed(progress)

    def not_followed(self, error: A3CPError) -> None:
        self._report.not_followed(error)


@contextmanager
def _progress_shown(report: "Report", *, quiet: bool, follow: bool) -> "Iterator[Report]":
    """Yield a report that also shows a bar, on a terminal; elsewhere `report` itself."""
    console = Console(stderr=True)
    if quiet or not console.is_terminal:
        yield report
        return
    text = progress.TextColumn("messages {task.fields[messages]:,}, events {task.fields[events]:,}")
    columns = (progress.BarColumn(), text, progress.TimeElapsedColumn())
    with progress.Progress(*columns, console=console, transient=True) as bar:
        yield _WithBar(report, bar, follow=follow)
