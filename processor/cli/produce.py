"""`a3cp produce`: messages from files into the raw topic."""

import json
import sys
import time
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO, Final

import typer

from processor.cli.settings import Bootstrap, Json, Prefix, chosen

if TYPE_CHECKING:
    from processor.cli.input_files import Bad, Item
    from processor.core.errors import A3CPError
    from processor.kafka.producer import RecordProducer

STDIN: Final = "-"
BAD_SHOWN_MAX: Final = 20
BAD_LISTED_MAX: Final = 1_000


@dataclass(slots=True)
class Summary:
    """What was sent and what was not."""

    sent: int = 0
    commands: int = 0
    unwrapped: int = 0
    users: set[str] = field(default_factory=set)
    bad_count: int = 0
    bad: list[tuple[str, int, str]] = field(default_factory=list)  # file, line or record, why
    undelivered: "A3CPError | None" = None

    def add_bad(self, name: str, number: int, why: str) -> None:
        """Count what was bad, and list it while the list is not too long."""
        self.bad_count += 1
        if len(self.bad) < BAD_LISTED_MAX:
            self.bad.append((name, number, why))


def produce(
    files: Annotated[
        list[str],
        typer.Argument(help="JSON lines or Avro container files (.avro); - is standard input.", metavar="FILE..."),
    ],
    unchecked: Annotated[
        bool, typer.Option("--unchecked", help="Send bad lines too; the processor puts them into the dead letters.")
    ] = False,
    bootstrap: Bootstrap = None,
    prefix: Prefix = None,
    as_json: Json = False,
) -> None:
    """Send messages from files to a3cp.raw.

    Each goes to the partition of its user. A line is a message, a command, or upstream's
    {"module", "direction", "message"}, which is unwrapped. Bad lines are told by their number and left out; the others
    are sent all the same. Exit code 1 when any line was bad.
    """
    from processor.core.errors import BrokerUnavailable, UsageError
    from processor.kafka.producer import RecordProducer

    if missing := [name for name in files if name != STDIN and not Path(name).is_file()]:
        raise UsageError(f"no file {', '.join(missing)}", remedy="name files, or - for standard input")
    settings = chosen(bootstrap, prefix)
    summary = Summary()
    begun_s = time.monotonic()
    producer = RecordProducer(settings.kafka_conf(), settings.topics().raw)
    _send_all(files, producer, summary, unchecked=unchecked, quiet=as_json)
    seconds = time.monotonic() - begun_s
    _print_json(summary, seconds) if as_json else _print(summary, files, seconds, settings.topics().raw, unchecked)
    if summary.undelivered is not None:
        raise BrokerUnavailable(summary.undelivered.what, remedy=summary.undelivered.remedy)
    if summary.bad_count:
        raise typer.Exit(1)


def _send_all(files: list[str], producer: "RecordProducer", summary: Summary, *, unchecked: bool, quiet: bool) -> None:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    from processor.cli.input_files import FileReader

    console = Console(stderr=True, highlight=False)
    columns = (
        TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TextColumn("{task.fields[sent]} sent"),
        TimeRemainingColumn(),
    )  # fmt: skip
    reader = FileReader(lambda: time.time_ns() // 1_000_000)
    with Progress(*columns, console=console, transient=True, disable=quiet or not console.is_terminal) as bar:
        for name in files:
            shown = "standard input" if name == STDIN else name
            with ExitStack() as stack:
                file: BinaryIO = sys.stdin.buffer if name == STDIN else stack.enter_context(Path(name).open("rb"))
                size = None if name == STDIN else Path(name).stat().st_size
                task = bar.add_task(shown, total=size, sent=0)
                for count, item in enumerate(reader.read(file, name), 1):
                    _send(item, shown, producer, summary, unchecked=unchecked)
                    if count % 500 == 0:
                        bar.update(task, completed=None if size is None else file.tell(), sent=summary.sent)
                    if summary.undelivered is not None:
                        break
                bar.update(task, completed=size, sent=summary.sent)
        producer.flush()


def _send(item: "Item", name: str, producer: "RecordProducer", summary: Summary, *, unchecked: bool) -> None:
    from processor.cli.input_files import Good
    from processor.core.errors import BrokerUnavailable

    def done(error: "A3CPError | None") -> None:
        if error is None:
            summary.sent += 1
        elif isinstance(error, BrokerUnavailable):
            summary.undelivered = error
        else:
            summary.add_bad(name, item.number, str(error))

    if isinstance(item, Good):
        summary.commands += item.is_command
        summary.unwrapped += item.was_wrapped
        summary.users.add(item.user_id)
        producer.send(item.value, item.user_id.encode(), on_done=done)
    else:
        summary.add_bad(name, item.number, item.why)
        if unchecked and item.value:
            producer.send(item.value, _key_of(item), on_done=done)


def _key_of(bad: "Bad") -> bytes | None:
    """Return the user a bad message names, as well as can be told."""
    try:
        user_id = json.loads(bad.value)["user_id"]
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    return user_id.encode("utf-8", "replace") if isinstance(user_id, str) else None


def _print_json(summary: Summary, seconds: float) -> None:
    bad = [{"file": name, "number": number, "why": why} for name, number, why in summary.bad]
    answer: dict[str, Any] = {
        "sent": summary.sent,
        "commands": summary.commands,
        "unwrapped": summary.unwrapped,
        "users": len(summary.users),
        "bad": summary.bad_count,
        "bad_lines": bad,
        "seconds": round(seconds, 3),
    }
    print(json.dumps(answer, ensure_ascii=False))


def _print(summary: Summary, files: list[str], seconds: float, topic: str, unchecked: bool) -> None:
    rate = f", {summary.sent / seconds:,.0f} a second" if summary.sent >= 1_000 else ""
    told = f"{summary.commands} of them commands, " if summary.commands else ""
    print(
        f"sent {summary.sent:,} to {topic} ({told}{_of(len(summary.users), 'user')}, {_of(len(files), 'file')}, "
        f"{seconds:.1f} s{rate})"
    )
    if summary.unwrapped:
        print(f'{summary.unwrapped:,} were taken out of upstream\'s {{"module", "direction", "message"}}')
    if not summary.bad_count:
        return
    went = "sent unchecked" if unchecked else "not sent"
    print(f"{_of(summary.bad_count, 'bad line')}, {went}:", file=sys.stderr)
    for name, number, why in summary.bad[:BAD_SHOWN_MAX]:
        print(f"  {name}{f':{number}' if number else ''}: {why}", file=sys.stderr)
    if summary.bad_count > BAD_SHOWN_MAX:
        counts = Counter(why for _, _, why in summary.bad)
        print(f"  ... and {summary.bad_count - BAD_SHOWN_MAX:,} more; the most frequent reasons:", file=sys.stderr)
        for why, count in counts.most_common(5):
            print(f"  {count:,} x {why}", file=sys.stderr)


def _of(count: int, word: str) -> str:
    return f"{count:,} {word}{'' if count == 1 else 's'}"
