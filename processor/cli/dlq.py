"""`a3cp dlq`: the dead letters, and their way back."""

import re
from typing import Annotated, Any, Final

import typer
from rich.text import Text

from processor.cli.arguments.settings import Bootstrap, Json, Prefix, chosen, one_of
from processor.cli.commands import App
from processor.cli.extras import require
from processor.cli.printing.terminal import new_console, new_table
from processor.cli.printing.text import plain, print_json, when
from processor.codec.codec import Codec
from processor.codec.headers import DLQ_START
from processor.errors import BrokerUnavailable, OutcomeUnknown, UsageError
from processor.kafka.deadletters.letter import DeadLetter, grouped, read_letter, read_letters
from processor.kafka.deadletters.retrying import choose, put_back, topic_to_fill
from processor.kafka.reading.reader import Reader
from processor.runtime.deadletters import why_value_is_withheld
from processor.settings.model import Settings
from processor.upstream.words.counting import counted
from processor.wiring import schemas

app = App("Dead letters: what could not be tagged, and why.")

STAGES: Final = {
    "decode": "its bytes cannot be read",
    "validate": "a field that it needs is missing or wrong",
    "size": "it is too large once it is tagged",
    "hook": "the receiver of a hook has not taken it",
    "unknown": "no header says how far it came",
}
VALUE_SHOWN_BYTES: Final = 4_000
_is_position: Final = re.compile(r"(?P<topic>[\w.-]+)\[(?P<partition>\d{1,9})\]@(?P<offset>\d{1,18})").fullmatch
SHOWN: Final = 20

Stage = Annotated[
    str | None,
    typer.Option("--stage", metavar="STAGE", help=f"Only those that came as far as this: {', '.join(STAGES)}."),
]
Why = Annotated[str | None, typer.Option("--why", metavar="TEXT", help="Only those whose reason has this text.")]


@app.command("list")
def list_command(
    *,
    stage: Stage = None,
    why: Why = None,
    everything: Annotated[bool, typer.Option("--all", help="Also those that were put back.")] = False,
    limit: Annotated[
        int, typer.Option("--limit", metavar="N", min=0, help="How many to show one by one, the latest first.")
    ] = SHOWN,
    bootstrap: Bootstrap = None,
    prefix: Prefix = None,
    as_json: Json = False,
) -> None:
    """Show why records were set aside, and how many for each reason."""
    one_of("--stage", stage, tuple(STAGES))
    settings = chosen(bootstrap, prefix)
    topic = settings.topics().dlq
    with Reader(settings.kafka_conf(), topic) as reader:
        matching = [letter for letter in read_letters(reader) if _matches(letter, stage, why)]
    letters = [letter for letter in matching if everything or letter.status != "retried"]
    latest = sorted(letters, key=lambda letter: letter.dead_ms, reverse=True)[:limit]
    if as_json:
        print_json({"count": len(letters), "groups": _groups(letters), "letters": [_fields(x) for x in latest]})
        return
    if letters:
        _show(letters, latest)
    else:
        print(f"no dead letters in {topic}" + (" that match" if stage or why else ""))
    if hidden := len(matching) - len(letters):
        print(f"{hidden:,} were put back and are not shown; --all shows them")
    if any(letter.status == "waiting" for letter in letters):
        print("once what is wrong is mended, a3cp dlq retry puts those that are waiting back, once each")


@app.command()
def show(
    position: Annotated[str, typer.Argument(metavar="TOPIC[P]@O", help="Its position, as a3cp dlq list shows it.")],
    *,
    bootstrap: Bootstrap = None,
    prefix: Prefix = None,
    as_json: Json = False,
) -> None:
    """Show one dead letter whole: why, what to do, where it was.

    Headers and value are shown too. Raw media and partial transcripts are not.

    Exit code 2: there is no dead letter at this position.
    """
    settings = chosen(bootstrap, prefix)
    topic = settings.topics().dlq
    place = _is_position(position)
    if place is None or place["topic"] != topic:
        raise UsageError(f"{position} is no position in {topic}", remedy=f"such as '{topic}[0]@12'; see a3cp dlq list")
    with Reader(settings.kafka_conf(), topic) as reader:
        partition = int(place["partition"])
        found = read_letter(reader, partition, int(place["offset"])) if partition < reader.partitions else None
    if found is None:
        raise UsageError(f"no dead letter at {position}", remedy="a3cp dlq list shows those there are")
    letter, record = found
    value = record.value or b""
    hidden = letter.withheld or why_value_is_withheld(value, Codec(schemas(settings)))
    headers = [(name, _text(content or b"")) for name, content in record.headers if not name.startswith(DLQ_START)]
    key = None if record.key is None else _text(record.key)
    if as_json:
        told = {"key": key, "headers": headers, "not_shown": hidden, "value": None if hidden else _text(value)}
        print_json({**_fields(letter), **told})
    else:
        _show_whole(letter, key, headers, value, hidden)


def _text(content: bytes) -> str:
    """Return bytes as text if they are UTF-8, else as hexadecimal digits."""
    try:
        return content.decode()
    except UnicodeDecodeError:
        return f"hex {content.hex()}"


def _show_whole(
    letter: DeadLetter, key: str | None, headers: list[tuple[str, str]], value: bytes, hidden: str | None
) -> None:
    why, _, remedy = letter.why.partition("; ")
    appended = "" if letter.appended_ms is None else f", appended {when(letter.appended_ms)}"
    lines = [
        ("dead letter", letter.position),
        ("was at", f"{letter.source}{appended}"),
        ("set aside", when(letter.dead_ms)),
        ("status", letter.status + (f" of {letter.retry_of}" if letter.retry_of else "")),
        ("stage", f"{letter.stage}: {STAGES.get(letter.stage, 'unknown to this release')}"),
        ("why", why),
        ("what to do", remedy or "see docs/dead-letters.md"),
        ("key", "none" if key is None else key),
        ("size", counted(letter.size_bytes, "byte")),
        ("sha256", letter.sha256),
        *(("header", f"{name}: {text}") for name, text in headers),
    ]
    for name, text in lines:
        print(f"{name:11}  {plain(text)}")
    if hidden:
        print(f"value        not shown: {hidden}")
        return
    print("value")
    for line in _text(value[:VALUE_SHOWN_BYTES]).splitlines():
        print(f"  {plain(line)}")
    if (more := len(value) - VALUE_SHOWN_BYTES) > 0:
        print(f"  … {counted(more, 'more byte')}; --json has them all")


@app.command()
def retry(
    *,
    stage: Stage = None,
    why: Why = None,
    again: Annotated[bool, typer.Option("--again", help="Also those whose retry failed again.")] = False,
    limit: Annotated[
        int | None, typer.Option("--limit", metavar="N", min=1, help="At most so many, the first first.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be put back.")] = False,
    bootstrap: Bootstrap = None,
    prefix: Prefix = None,
    as_json: Json = False,
) -> None:
    """Put dead letters back into a3cp.raw, unchanged, each once.

    Each is put back once, however often this runs. Those of hooks are sent to their receivers instead.
    """
    one_of("--stage", stage, tuple(STAGES))
    settings = chosen(bootstrap, prefix)
    conf, topics = settings.kafka_conf(), settings.topics()
    raw = topic_to_fill(conf, settings.raw_to_write())
    with Reader(conf, topics.dlq) as reader:
        matching = [letter for letter in read_letters(reader) if _matches(letter, stage, why)]
    going, refused, left = choose(matching, raw, again=again, limit=limit)
    done: list[DeadLetter] = []
    interruption = None
    if dry_run:
        done = going
    elif going:
        not_taken = _tell_again(settings, [letter for letter in going if letter.is_of_hook])
        refused += [(letter, why) for letter in going if (why := not_taken.get(letter.position)) is not None]
        going = [letter for letter in going if letter.position not in not_taken]
        try:
            for part in put_back(conf, going, raw=raw, dlq=topics.dlq, group_id=settings.group_id):
                done += part
        except (BrokerUnavailable, OutcomeUnknown) as error:
            interruption = error
    if as_json:
        told = {
            "retried": 0 if dry_run else len(done),
            "dry_run": dry_run,
            "letters": [_fields(letter) for letter in done],
            "left": left,
            "refused": [{**_fields(letter), "refusal": reason} for letter, reason in refused],
        }
        print_json(told)
    else:
        word = "would be put back" if dry_run else "put back"
        cannot = left["withheld"] + len(refused)
        print(f"{len(done):,} {word} into {raw.name}, {left['retried']:,} were before, {cannot:,} cannot be")
        _show_left(left["withheld"], left["failed again"], refused)
    if interruption is not None:
        raise interruption


def _tell_again(settings: Settings, letters: list[DeadLetter]) -> dict[str, str]:
    """Send what hooks were to be told; return why receivers have not taken it, by position."""
    if not letters:
        return {}
    require("serve")
    from processor.processes.hooks.hooks import tell_again  # noqa: PLC0415  # It takes half a second to load.

    wanted = {letter.position for letter in letters}
    with Reader(settings.kafka_conf(), settings.topics().dlq) as reader:
        values = {record.position: record.value or b"" for record in reader.read_all() if record.position in wanted}
    return {position: str(error) for position, error in tell_again(settings, values) if error is not None}


def _show_left(withheld: int, failed_again: int, refused: list[tuple[DeadLetter, str]]) -> None:
    """Say which letters were not put back, and why."""
    if withheld:
        print(f"{withheld:,} whose content (raw media, partial transcripts) was not kept; send it anew")
    reasons: dict[str, list[str]] = {}
    for letter, reason in refused:
        reasons.setdefault(reason, []).append(letter.position)
    for reason, positions in reasons.items():
        more = f" and {len(positions) - SHOWN:,} more" if len(positions) > SHOWN else ""
        print(f"{len(positions):,} {reason}: {', '.join(positions[:SHOWN])}{more}")
    if failed_again:
        print(f"{failed_again:,} failed again after a retry; --again puts them back once more")


def _show(letters: list[DeadLetter], latest: list[DeadLetter]) -> None:
    table = new_table("#", "how many", "status", "stage", "latest", "why", right=("how many",), folded=("why",))
    numbers = {}
    for number, (group, members) in enumerate(grouped(letters), 1):
        numbers[group] = str(number)
        newest = max(letter.dead_ms for letter in members)
        table.add_row(
            str(number), f"{len(members):,}", group.status, plain(group.stage), when(newest), Text(plain(group.why))
        )
    console = new_console()
    console.print(table)
    if not latest:
        return
    detail = new_table("#", "dead letter", "was at", "set aside", "bytes", right=("bytes",))
    for letter in latest:
        detail.add_row(
            numbers[letter.group], letter.position, plain(letter.source), when(letter.dead_ms), f"{letter.size_bytes:,}"
        )
    console.print(detail)


def _matches(letter: DeadLetter, stage: str | None, why: str | None) -> bool:
    return stage in (None, letter.stage) and (why is None or why.lower() in letter.why.lower())


def _groups(letters: list[DeadLetter]) -> list[dict[str, Any]]:
    return [{**group._asdict(), "count": len(members)} for group, members in grouped(letters)]


def _fields(letter: DeadLetter) -> dict[str, Any]:
    return {**letter._asdict(), "status": letter.status}
