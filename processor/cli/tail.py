"""`a3cp tail`: the records of a topic as they come."""

import re
import sys
from collections.abc import Iterator, Mapping
from typing import Annotated, Final

import typer

from processor.cli.arguments.settings import Bootstrap, Prefix, chosen
from processor.cli.printing.record_lines import fields_of, line_of, said_by
from processor.cli.printing.text import print_json
from processor.codec import Codec
from processor.errors import BrokerUnavailable, RecordsGone, UsageError
from processor.kafka.reading.endless import EndlessReader
from processor.runtime.ports import TopicRecord
from processor.wiring import schemas

_WORDS: Final = ("tagged", "sessions", "raw", "dlq")
_POSITION: Final = re.compile(r"(?:([^\[\]@]+)\[([0-9]{1,9})\]|([0-9]{1,9}))@([0-9]{1,18})")
_POLL_S: Final = 0.5

_Json = Annotated[bool, typer.Option("--json", help="Print one JSON object a line.")]


def tail(
    topic: Annotated[
        str, typer.Argument(help=f"Which: {', '.join(_WORDS)}, or the topic's whole name.", metavar="TOPIC")
    ] = "tagged",
    *,
    user: Annotated[str | None, typer.Option("--user", metavar="USER", help="Only this user's records.")] = None,
    start: Annotated[
        str,
        typer.Option(
            "--from", metavar="PLACE", help="Where to begin: now, beginning, or a position such as a3cp.raw[3]@1042."
        ),
    ] = "now",
    count: Annotated[int | None, typer.Option("-n", min=1, metavar="N", help="End after so many records.")] = None,
    bootstrap: Bootstrap = None,
    prefix: Prefix = None,
    as_json: _Json = False,
) -> None:
    """Print records as they come, one line each; Ctrl-C ends it. From a position, only its partition is read."""
    settings = chosen(bootstrap, prefix)
    names = settings.topics()._asdict()
    word, name = word_and_name(topic, {word: names[word] for word in _WORDS})
    offsets = offsets_of(start, name)
    codec = Codec(schemas(settings))
    left = count
    from_beginning = start == "beginning"
    with EndlessReader(settings.kafka_conf(), [name], from_beginning=from_beginning, offsets=offsets) as following:
        for record in _records(following):
            is_wanted = not offsets or (name, record.partition) in offsets
            if not is_wanted or (user is not None and record.key != user.encode()):
                continue
            said = said_by(word, record, codec)
            if as_json:
                print_json(fields_of(record, said))
            else:
                print(line_of(record, said))
            sys.stdout.flush()
            if left is not None and (left := left - 1) == 0:
                return


def word_and_name(topic: str, names: Mapping[str, str]) -> tuple[str, str]:
    """Return the word and the name of the topic that is meant. `names` has the names by word.

    Raises:
        UsageError: there is no such topic.
    """
    for word, name in names.items():
        if topic in (word, name):
            return word, name
    raise UsageError(f"no topic {topic}", remedy=f"there are {', '.join(names)}, or {', '.join(names.values())}")


def offsets_of(start: str, topic: str) -> dict[tuple[str, int], int]:
    """Return the partition and offset in `start`. It is empty for `now` and `beginning`.

    Raises:
        UsageError: `start` is no place in `topic`.
    """
    if start in ("now", "beginning"):
        return {}
    match = _POSITION.fullmatch(start)
    if match is None or match[1] not in (None, topic):
        raise UsageError(
            f"--from {start} is no place in {topic}",
            remedy=f"say now, beginning, or a position such as {topic}[3]@1042",
        )
    return {(topic, int(match[2] or match[3])): int(match[4])}


def _records(following: EndlessReader) -> Iterator[TopicRecord]:
    told = ""
    while True:
        try:
            yield from following.poll(_POLL_S)
        except (BrokerUnavailable, RecordsGone) as error:
            if str(error) != told:
                told = str(error)
                print(f"warning: {told}", file=sys.stderr)
