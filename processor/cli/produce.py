"""`a3cp produce`: messages from files into the raw topic."""

import json
import stat
import sys
import time
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, BinaryIO, Final

import typer

from processor.cli.arguments.settings import Bootstrap, Json, Prefix, chosen
from processor.cli.printing.terminal import Show, progress_bar
from processor.cli.printing.text import print_json
from processor.codec.isotime import wall_ms
from processor.codec.oddities import explained
from processor.core.model import odd_words
from processor.errors import A3CPError, BrokerUnavailable, UsageError
from processor.intake.files import Bad, FileReader, Good, Item
from processor.kafka.producer import RecordProducer
from processor.upstream.words.counting import counted

STDIN: Final = "-"
BAD_SHOWN_MAX: Final = 20
BAD_LISTED_MAX: Final = 1_000


@dataclass(slots=True)
class SentSummary:
    """What was sent and what was not."""

    sent: int = 0
    commands: int = 0
    unwrapped: int = 0
    users: set[str] = field(default_factory=set)
    bad_count: int = 0
    bad: list[tuple[str, int, str]] = field(default_factory=list)  # file, line or record, why
    odd_count: int = 0  # sent, though they do not conform
    odd: list[tuple[str, int, int]] = field(default_factory=list)  # file, line or record, bits of `Odd`
    odd_words: Counter[str] = field(default_factory=Counter)
    unread: list[str] = field(default_factory=list)  # files, each with why
    undelivered: A3CPError | None = None

    def add_bad(self, name: str, number: int, why: str) -> None:
        """Count what was bad, and list it while the list is not too long."""
        self.bad_count += 1
        if len(self.bad) < BAD_LISTED_MAX:
            self.bad.append((name, number, why))

    def add_odd(self, name: str, number: int, odd: int) -> None:
        """Count what does not conform, and list it while the list is not too long."""
        self.odd_count += 1
        self.odd_words.update(odd_words(odd))
        if len(self.odd) < BAD_LISTED_MAX:
            self.odd.append((name, number, odd))


def produce(
    files: Annotated[
        list[str],
        typer.Argument(help="JSON or Avro container files, compressed or not; - is standard input.", metavar="FILE"),
    ],
    unchecked: Annotated[
        bool, typer.Option("--unchecked", help="Send bad lines too; the processor puts them into the dead letters.")
    ] = False,
    bootstrap: Bootstrap = None,
    prefix: Prefix = None,
    as_json: Json = False,
) -> None:
    """Send messages from files to a3cp.raw.

    Each goes to the partition of its user. A JSON object is a message, a command, or upstream's
    {"module", "direction", "message"}, which is unwrapped. Bad ones are told by their line and left out; the others
    are sent all the same, also those that do not conform, which are told too (A3CP_STRICT refuses them). Exit code 1
    when anything was bad, 2 when a file could not be read.
    """
    if missing := [name for name in files if name != STDIN and not _is_there(name)]:
        folders = [name for name in missing if _is_folder(name)]
        if folders:
            raise UsageError(f"{folders[0]} is a folder", remedy=f"name the files in it, such as {folders[0]}/*")
        raise UsageError(f"no file {', '.join(missing)}", remedy="name files, or - for standard input")
    settings = chosen(bootstrap, prefix)
    raw = settings.raw_to_write()
    summary = SentSummary()
    begun_s = time.monotonic()
    producer = RecordProducer(settings.kafka_conf(), raw)
    reader = FileReader(wall_ms, strict=settings.strict)
    _send_all(files, reader, producer, summary, unchecked=unchecked, quiet=as_json)
    seconds = time.monotonic() - begun_s
    _print_json(summary, seconds) if as_json else _print(summary, files, seconds, raw, unchecked)
    if summary.undelivered is not None:
        raise BrokerUnavailable(summary.undelivered.what, remedy=summary.undelivered.remedy)
    if summary.unread:
        raise UsageError(
            f"cannot read {', '.join(summary.unread)}",
            remedy="what could be read was sent; name the others so that they can be read",
        )
    if summary.bad_count:
        raise typer.Exit(1)


def _is_there(name: str) -> bool:
    """Whether there is something to read from: a file, or a pipe as of `<(zcat messages.jsonl.gz)`."""
    try:
        return not stat.S_ISDIR(Path(name).stat().st_mode)
    except (OSError, ValueError):  # A name with a zero byte is the latter.
        return False


def _is_folder(name: str) -> bool:
    try:
        return Path(name).is_dir()
    except (OSError, ValueError):
        return False


def _send_all(
    files: list[str],
    reader: FileReader,
    producer: RecordProducer,
    summary: SentSummary,
    *,
    unchecked: bool,
    quiet: bool,
) -> None:
    with progress_bar(quiet=quiet) as show:
        for name in files:
            try:
                _send_file(name, reader, producer, summary, show, unchecked=unchecked)
            except OSError as error:
                summary.unread.append(f"{name} ({error.strerror or type(error).__name__})")
            if summary.undelivered is not None:
                break
        producer.flush()


def _send_file(
    name: str, reader: FileReader, producer: RecordProducer, summary: SentSummary, show: Show, *, unchecked: bool
) -> None:
    shown = "standard input" if name == STDIN else name
    with ExitStack() as stack:
        file: BinaryIO = sys.stdin.buffer if name == STDIN else stack.enter_context(Path(name).open("rb"))
        told = None if name == STDIN else Path(name).stat()
        size = told.st_size if told and stat.S_ISREG(told.st_mode) else None  # A pipe's is not known.
        for count, item in enumerate(reader.read(file, name), 1):
            _send(item, shown, producer, summary, unchecked=unchecked)
            if count % 500 == 0:
                show(0 if size is None else file.tell(), size, f"{shown}: {summary.sent:,} sent")
            if summary.undelivered is not None:
                break


def _send(item: Item, name: str, producer: RecordProducer, summary: SentSummary, *, unchecked: bool) -> None:
    def done(error: A3CPError | None) -> None:
        if error is None:
            summary.sent += 1
            if isinstance(item, Good) and item.odd:
                summary.add_odd(name, item.number, item.odd)
        elif isinstance(error, BrokerUnavailable):
            summary.undelivered = error
        else:
            summary.add_bad(name, item.number, str(error))

    if isinstance(item, Good):
        summary.commands += item.is_command
        summary.unwrapped += item.was_wrapped
        summary.users.add(item.user_id)
        key: bytes | None = item.user_id.encode()
    else:
        summary.add_bad(name, item.number, item.why)
        if not unchecked or not item.value:
            return
        key = _keycounted(item)
    try:
        producer.send(item.value, key, on_done=done)
    except A3CPError as error:  # The client itself refuses what it could never send.
        done(error)


def _keycounted(bad: Bad) -> bytes | None:
    """Return the user a bad message names, as well as can be told."""
    try:
        user_id = json.loads(bad.value)["user_id"]
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    return user_id.encode("utf-8", "replace") if isinstance(user_id, str) else None


def _print_json(summary: SentSummary, seconds: float) -> None:
    bad = [{"file": name, "number": number, "why": why} for name, number, why in summary.bad]
    odd = [{"file": name, "number": number, "reasons": odd_words(bits)} for name, number, bits in summary.odd]
    answer: dict[str, Any] = {
        "sent": summary.sent,
        "commands": summary.commands,
        "unwrapped": summary.unwrapped,
        "users": len(summary.users),
        "bad": summary.bad_count,
        "bad_lines": bad,
        "nonconforming": summary.odd_count,
        "nonconforming_reasons": dict(summary.odd_words.most_common()),
        "nonconforming_lines": odd,
        "seconds": round(seconds, 3),
    }
    print_json(answer)


def _print(summary: SentSummary, files: list[str], seconds: float, topic: str, unchecked: bool) -> None:
    rate = f", {summary.sent / seconds:,.0f} a second" if summary.sent >= 1_000 else ""
    told = f"{summary.commands} of them commands, " if summary.commands else ""
    print(
        f"sent {summary.sent:,} to {topic} ({told}{counted(len(summary.users), 'user')}, "
        f"{counted(len(files), 'file')}, {seconds:.1f} s{rate})"
    )
    if summary.unwrapped:
        print(f'{summary.unwrapped:,} were taken out of upstream\'s {{"module", "direction", "message"}}')
    _print_odd(summary)
    if not summary.bad_count:
        return
    went = "sent unchecked" if unchecked else "not sent"
    what = "bad line" if any(number for _, number, _ in summary.bad) else "bad file"
    print(f"{counted(summary.bad_count, what)}, {went}:", file=sys.stderr)
    for name, number, why in summary.bad[:BAD_SHOWN_MAX]:
        print(f"  {name}{f':{number}' if number else ''}: {why}", file=sys.stderr)
    if summary.bad_count > BAD_SHOWN_MAX:
        counts = Counter(why for _, _, why in summary.bad)
        print(f"  ... and {summary.bad_count - BAD_SHOWN_MAX:,} more; the most frequent reasons:", file=sys.stderr)
        for why, count in counts.most_common(5):
            print(f"  {count:,} x {why}", file=sys.stderr)


def _print_odd(summary: SentSummary) -> None:
    if not summary.odd_count:
        return
    print(f"{counted(summary.odd_count, 'message')} sent though nonconforming:", file=sys.stderr)
    for name, number, odd in sorted(summary.odd)[:BAD_SHOWN_MAX]:
        print(f"  {name}:{number}: {explained(odd)}", file=sys.stderr)
    if summary.odd_count > BAD_SHOWN_MAX:
        print(f"  ... and {summary.odd_count - BAD_SHOWN_MAX:,} more; the reasons:", file=sys.stderr)
        for word, count in summary.odd_words.most_common():
            print(f"  {count:,} x {word}", file=sys.stderr)
