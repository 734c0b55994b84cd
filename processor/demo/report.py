"""Shows the demo: steps as they are done, then tables, checks and where to look next."""

from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import msgspec
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from processor.codec.wire import ENCODING_NAMES
from processor.core.model import Flag
from processor.demo.exported import DEMO_DIR
from processor.demo.outcome import KINDS
from processor.sessions.forms.jsonforms import session_of
from processor.sessions.model import SessionRow, Status
from processor.settings.documents import located
from processor.upstream.words import span_words

if TYPE_CHECKING:
    from processor.demo.run import Demo

WIDE: Final = 100

Bar: TypeAlias = AbstractContextManager[Callable[[int, int], None]]


class Steps:
    """Says what is done, a line each."""

    def __init__(self, console: Console, bar: Callable[..., Bar]) -> None:
        """Print on `console`; `bar` makes what shows there how far something is."""
        self.console = console
        self._bar = bar

    def bar(self, what: str) -> Bar:
        """Return what shows how far something is: called with how much is done, and of how much."""
        return self._bar(f"  {what}", console=self.console)

    def done(self, subject: str, what: str) -> None:
        """Say that a step is done."""
        self._line(subject, what, "bold")

    def say(self, what: str) -> None:
        """Say what is being waited for."""
        self._line("", f"{what} …", "dim")

    def _line(self, subject: str, what: str, style: str) -> None:
        grid = Table.grid(padding=(0, 1))
        grid.add_column(width=10, style=style)
        grid.add_column(style="" if subject else style)
        grid.add_row(subject, Text(what))
        self.console.print(grid)


def show(demo: "Demo", console: Console, command: str, *, broker_runs: bool) -> None:
    """Print what came of the day; `command` is how a3cp is called from here."""
    wide = console.width >= WIDE
    _sessions(demo, console, wide=wide)
    _events(demo, console)
    _dead(demo, console)
    console.print()
    _totals(demo, console)
    _checks(demo, console)
    _next(demo, console, command, broker_runs=broker_runs)
    _browser(demo, console, command)


def as_json(demo: "Demo") -> dict[str, Any]:
    """Return what came of the day as one JSON object."""
    outcome = demo.outcome
    return {
        "bootstrap_servers": demo.settings.kafka_conf().get("bootstrap.servers"),
        "prefix": demo.settings.topic_prefix,
        "sent": len(demo.sent),
        "tagged": len(outcome.tagged),
        "commands": sum(record.command_id is not None for record in demo.sent),
        "sessions": [msgspec.to_builtins(session_of(session)) for session in demo.exported.sessions],
        "events": dict(_kinds(demo)),
        "dead_letters": [
            {"source": letter.source, "stage": letter.stage, "why": letter.why, "withheld": letter.withheld}
            for letter in outcome.dead
        ],
        "exported": {
            "folder": str(demo.exported.folder),
            "sessions": {status.value: demo.exported.held[status] for status in Status},
            "bundles": demo.exported.bundles,
            "sound": demo.exported.sound,
            "timeline": None if demo.exported.timeline is None else str(demo.exported.timeline),
        },
        "checks": [{"promise": check.promise, "kept": check.kept, "found": check.found} for check in demo.checks],
        "seconds": round(demo.seconds, 1),
    }


def _sessions(demo: "Demo", console: Console, *, wide: bool) -> None:
    table = _table("Sessions: the id begins with the start, UTC" if wide else "Sessions, UTC (--json has the ids)")
    table.add_column("user", no_wrap=True)
    table.add_column("session" if wide else "start", no_wrap=True)
    table.add_column("length", justify="right", no_wrap=True)
    table.add_column("ended by")
    table.add_column("messages" if wide else "msgs", justify="right", no_wrap=True)
    table.add_column("flagged")
    before = ""
    for session in demo.exported.sessions:
        user = session.user_id if session.user_id != before else ""
        before = session.user_id
        start = f"{session.session_id[:26]}…" if wide else f"{_moment(session.start_ms):%d %b %H:%M}"
        flags = ", ".join(_count(flag, n) for flag, n in _flags(session).items() if flag != "nonconforming")
        table.add_row(
            Text(user), start, span_words(session.duration_ms), _reason(session), str(session.held_count), flags
        )
    console.print(table)


def _flags(session: SessionRow) -> dict[str, int]:
    """Return how many of its messages have which flag of their tag."""
    counts = session.summary.notices
    return {flag: counts[flag] for flag in sorted(Flag.WORDS) if flag in counts}


def _reason(session: SessionRow) -> Text:
    if session.end_ms is None:
        return Text("still open", style="green")
    again = f" (told {session.revision + 1}×)" if session.revision else ""
    return Text(f"{session.reason}{again}")


def _events(demo: "Demo", console: Console) -> None:
    table = _table(f"Boundary log, {demo.settings.topics().sessions}")
    table.add_column("event", no_wrap=True)
    table.add_column("count", justify="right")
    table.add_column("of these, by reason")
    for kind, count in _kinds(demo).items():
        reasons = Counter(event.reason for event in demo.outcome.events if event.kind == kind and event.reason)
        table.add_row(kind, str(count), ", ".join(f"{reason} {n}" for reason, n in reasons.most_common()))
    console.print(table)


def _dead(demo: "Demo", console: Console) -> None:
    table = _table(f"Dead letters, {demo.settings.topics().dlq}")
    table.add_column("count", justify="right", no_wrap=True)
    table.add_column("why")
    table.add_column("the first was", overflow="fold")
    letters: dict[str, list[str]] = {}
    for letter in demo.outcome.dead:
        kept = f" ({letter.withheld}: not kept)" if letter.withheld else ""
        letters.setdefault(letter.why.partition("; ")[0] + kept, []).append(letter.source)
    for why, sources in sorted(letters.items(), key=lambda item: -len(item[1])):
        table.add_row(str(len(sources)), Text(why), sources[0])
    console.print(table)


def _totals(demo: "Demo", console: Console) -> None:
    outcome = demo.outcome
    users = {message.user_id for message in outcome.tagged}
    encodings = Counter(ENCODING_NAMES[message.encoding] for message in outcome.tagged)
    spoken = ", ".join(f"{n} in {name}" for name, n in encodings.most_common())
    odd = sum("nonconforming" in message.flags for message in outcome.tagged)
    modules = {record.module for record in demo.sent} - {"?"}
    lines = [
        f"{len(users)} users, {len(modules)} modules, {len(demo.exported.sessions)} sessions.",
        f"{len(outcome.tagged)} messages tagged ({spoken}), {len(outcome.dead)} dead letters.",
        f"{odd} messages are not as A3CP's own model wants them: flagged nonconforming, and tagged all the same.",
    ]
    if demo.audited.rerouted:
        lines.append(f"{demo.audited.rerouted} records came in a wrong partition and were sent on to the right one.")
    outside = [message for message in outcome.tagged if message.session_id is None]
    if outside:
        sources = sorted({message.source or "?" for message in outside})
        lines.append(
            f"{len(outside)} messages belong to no session: {', '.join(sources)} work at any hour and open none."
        )
    console.print(Text("Totals", style="bold"))
    for line in lines:
        console.print(Text(line))


def _checks(demo: "Demo", console: Console) -> None:
    console.print()
    console.print(Text("Checked in what a read_committed consumer reads", style="bold"))
    for check in demo.checks:
        mark = ("✓ ", "green") if check.kept else ("✗ ", "bold red")
        console.print(Text.assemble(mark, check.promise, (f" ({check.found})", "dim")))


def _next(demo: "Demo", console: Console, command: str, *, broker_runs: bool) -> None:
    console.print()
    console.print(Text("Where to look next", style="bold"))
    for what, line in _exported(demo, command):
        console.print(Text(f"# {what}", style="dim"))
        console.print(Text(line), soft_wrap=True)
    if demo.broker is not None and not broker_runs:
        return  # No topics are left to look at.
    prefix = demo.settings.topic_prefix
    servers = demo.settings.kafka_conf()["bootstrap.servers"]
    own = "" if demo.broker else f" --bootstrap {servers}"
    named = "" if demo.broker else f"KAFKA_BOOTSTRAP_SERVERS={servers} "
    for what, line in (
        ("what could not be tagged, and what to do about it", f"{command} dlq list --prefix {prefix}{own}"),
        (
            "the processor again, until Ctrl-C; then, in another terminal, something for it to do",
            f"{named}A3CP_TOPIC_PREFIX={prefix} A3CP_GROUP_ID={prefix} {command} process",
        ),
        ("", f'{command} session note robin-15 "Sings along." --prefix {prefix}{own}'),
        (
            "what comes out, as any consumer reads it (tagged: the messages)",
            f"{command} tail sessions --from beginning --prefix {prefix}{own}",
        ),
        ("what the reasons and flags mean; and everything else", located("docs/sessions.md and docs/README.md")),
    ):
        if what:
            console.print(Text(f"# {what}", style="dim"))
        console.print(Text(line), soft_wrap=True)
    if demo.broker:
        console.print()
        console.print(
            Text(f"Kafka keeps running at {servers} (process {demo.broker.pid}). Stop it with: {command} broker down"),
            soft_wrap=True,
        )


def _browser(demo: "Demo", console: Console, command: str) -> None:
    """Say how all of it is seen in a browser; the embedded Kafka is started again if it was stopped."""
    servers = "" if demo.broker else f"KAFKA_BOOTSTRAP_SERVERS={demo.settings.kafka_conf()['bootstrap.servers']} "
    folder = demo.exported.folder
    elsewhere = "" if folder == DEMO_DIR else f" --data-dir {folder}"
    console.print()
    console.print(Text(f"see it in a browser: {servers}{command} up{elsewhere}", style="bold"), soft_wrap=True)


def _exported(demo: "Demo", command: str) -> list[tuple[str, str]]:
    """Return what there is to see of the export, and how."""
    exported = demo.exported
    look = [
        ("all sessions, newest first", f"{command} sessions list --store {exported.store}"),
        ("whether every bundle is unaltered", f"{command} verify {exported.root}"),
    ]
    if exported.timeline is not None:
        look.insert(0, ("a session's timeline: open it in a browser", str(exported.timeline)))
    return look


def _kinds(demo: "Demo") -> dict[str, int]:
    counts = Counter(event.kind for event in demo.outcome.events)
    return {kind: counts[kind] for kind in ("started", "reopened", *KINDS[1:]) if kind in counts}


def _table(title: str) -> Table:
    return Table(
        title=f"\n{title}",
        title_justify="left",
        title_style="bold",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        show_edge=False,
    )


def _count(word: str, number: int) -> str:
    return word if number == 1 else f"{word} {number}"


def _moment(time_ms: int) -> datetime:
    return datetime.fromtimestamp(time_ms // 1000, UTC)
