"""`a3cp replay`: a session's messages once more, as they came, into a topic."""

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Annotated, Final, NamedTuple

import typer

from processor.bundles.reading import read_metadata, read_records
from processor.cli.arguments.places import bundle_or_view
from processor.cli.arguments.settings import Bootstrap, Json, Store, chosen, codec_of_settings
from processor.cli.printing.text import print_json
from processor.codec.isotime import parse_time
from processor.errors import UsageError
from processor.kafka.producer import RecordProducer
from processor.targets.target import Target
from processor.upstream.words.counting import counted

MAX_SPEED: Final = "max"
SLOWEST: Final = 0.001  # A minute's silence then takes most of a day; what is much longer no clock can wait for.


class Sent(NamedTuple):
    """A message to send again."""

    seq: int
    append_ms: int  # when the log took it first
    user_id: str
    content: bytes | None  # None if it is withheld: then it cannot be sent


def replay(
    session: Annotated[
        str, typer.Argument(metavar="SESSION|BUNDLE", help="A session's id or its beginning, or a bundle's folder.")
    ],
    *,
    to: Annotated[str, typer.Option("--to", metavar="TOPIC", help="The topic that the messages go to.")],
    speed: Annotated[
        str, typer.Option("--speed", metavar="FACTOR", help="How many times as fast as they came, or max.")
    ] = "1",
    store: Store = None,
    bootstrap: Bootstrap = None,
    as_json: Json = False,
) -> None:
    """Send a session's messages to a topic once more.

    They have the same keys and bytes, and are spaced as they came.
    Messages only: no session events, no commands, no tags. A processor that reads the topic makes its own.

    Exit code 1: some could not be sent, since their content was withheld.
    """
    factor = _factor(speed)
    settings = chosen(bootstrap, None)
    names = settings.topics()
    if to == names.raw:
        settings.raw_to_write()
    elif to in names:
        raise UsageError(
            f"{to} is the processor's own, and has what it alone writes",
            remedy=f"name {names.raw}, or a topic of yours",
        )
    sent, withheld = 0, []
    with _messages(session, store) as messages:
        producer = RecordProducer(settings.kafka_conf(), to)
        for message in paced(messages, factor, now_s=time.monotonic, wait=time.sleep):
            if message.content is None:
                withheld.append(message.seq)
            else:
                producer.send(message.content, message.user_id.encode())
                sent += 1
        producer.flush()
    if as_json:
        print_json({"sent": sent, "topic": to, "withheld": withheld})
    else:
        print(f"sent {counted(sent, 'message')} to {to}")
        if withheld:
            print(f"{len(withheld):,} could not be sent: raw media and partial transcripts are not kept")
    if withheld:
        raise typer.Exit(1)


def paced(
    messages: Iterable[Sent], factor: float | None, *, now_s: Callable[[], float], wait: Callable[[float], object]
) -> Iterator[Sent]:
    """Yield each of `messages` when it is due: spaced as they came, `factor` times as fast. None: at once."""
    begun_s = now_s()
    first_ms: int | None = None
    for message in messages:
        if factor is not None:
            first_ms = message.append_ms if first_ms is None else first_ms
            due_s = begun_s + (message.append_ms - first_ms) / 1000 / factor
            if (left_s := due_s - now_s()) > 0:
                wait(left_s)
        yield message


def _factor(speed: str) -> float | None:
    if speed == MAX_SPEED:
        return None
    try:
        factor = float(speed)
    except ValueError:
        factor = 0.0
    if not SLOWEST <= factor < float("inf"):
        raise UsageError(f"--speed cannot be {speed}", remedy=f"give a number from {SLOWEST}, such as 1 or 10, or max")
    return factor


@contextmanager
def _messages(session: str, address: str | None) -> Iterator[Iterable[Sent]]:
    with bundle_or_view(session, address) as place:
        if isinstance(place, Target):
            read_metadata(place)
            yield (
                Sent(record.line.seq, parse_time(record.line.appended_at), record.line.key, record.content)
                for record in read_records(place)
            )
            return
        codec = codec_of_settings()
        yield (
            Sent(one.seq or 0, one.append_ms, one.user_id, None if one.value is None else codec.strip(one.value))
            for one in place.messages()
        )
