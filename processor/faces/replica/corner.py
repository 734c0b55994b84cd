"""Looks how everything stands, for operators: what waits to be read, dead letters, the outbox, what runs. No content.

Kafka is asked when somebody looks, and at most every few seconds. A part that does not answer is named with the reason;
the others are told all the same.
"""

import platform
import shlex
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from typing import Final, Protocol, TypeVar

from processor.codec.events import SCHEMA_VERSION
from processor.codec.isotime import format_time
from processor.codec.state import LAYOUT
from processor.errors import A3CPError, StoreUnavailable
from processor.faces.replica.standing import (
    Behind,
    BehindPartition,
    ExporterStanding,
    LetterGroup,
    Letters,
    OutboxStanding,
    ProcessorStanding,
    Standing,
    Versions,
)
from processor.kafka.deadletters.letter import DeadLetter, Group, grouped
from processor.kafka.overview.overview import Overview, troubles
from processor.outbox.ports import Stock
from processor.sessions.ports import SessionReader, Source
from processor.settings.model import Settings, TopicNames
from processor.store.forward import layout_of
from processor.view.position import STATE

T = TypeVar("T")

FRESH_S: Final = 5.0
PARTITIONS_SHOWN: Final = 12  # those with most to read
_PREFIX: Final = Settings.model_fields["topic_prefix"].default

Place = tuple[str, int]
Offsets = Mapping[Source, int]


class Broker(Protocol):
    """What a log tells of itself. Each method raises an A3CPError if there is no answer."""

    def overview(self) -> Overview:
        """Return how the processor stands."""

    def letters(self) -> Sequence[DeadLetter]:
        """Return the latest dead letters."""

    def appended_ms(self, spans: Mapping[Place, tuple[int, int]]) -> Mapping[Place, int]:
        """Return when the first record of each span was appended, ms. Spans without a record are left out."""


class Corner:
    """Looks how everything stands; may be used by several threads."""

    def __init__(
        self,
        broker: Broker,
        *,
        settings: Settings,
        topics: TopicNames,
        store: SessionReader | None,
        outbox: Callable[[], tuple[Stock, bool]] | None,
        positions: Callable[[], Offsets],
        ends: Callable[[], Offsets],
        away: Callable[[], Sequence[str]],
        now_ms: Callable[[], int],
        fresh_s: float = FRESH_S,
    ) -> None:
        """Prepare.

        Args:
            broker: the log. topics: their names.
            settings: the service's.
            store: the exporter's; None if there is none.
            outbox: returns what waits, and whether Kafka counts as away; None if there is none.
            positions, ends: where the view is in each partition, and where that ends.
            away: says that Kafka does not answer, so that it is not asked.
            now_ms: the clock.
            fresh_s: for how long it does not look again.
        """
        self._broker = broker
        self._settings = settings
        self._topics = {STATE: topics.state, **topics.outputs}
        self._raw = topics.raw
        self._store = store
        self._outbox = outbox
        self._positions = positions
        self._ends = ends
        self._away = away
        self._now_ms = now_ms
        self._fresh_s = fresh_s
        self._lock = threading.Lock()
        self._seen: Standing | None = None
        self._fresh_until_s = 0.0

    def now(self) -> Standing:
        """Return how everything stands, as it was at most a few seconds ago."""
        with self._lock:
            if self._seen is None or time.monotonic() > self._fresh_until_s:
                self._seen = self._look()
                self._fresh_until_s = time.monotonic() + self._fresh_s
            return self._seen

    def _look(self) -> Standing:
        unknown: dict[str, str] = {}
        away = self._away()

        def known(part: str, ask: Callable[[], T]) -> T | None:
            try:
                if away:
                    unknown[part] = away[0]
                    return None
                return ask()
            except A3CPError as error:
                unknown[part] = str(error)
                return None

        overview = known("processor", self._broker.overview)
        ends = known("service", self._ends)
        if ends is None and self._store is not None:
            unknown["exporter"] = unknown["service"]
        return Standing(
            at=format_time(self._now_ms()),
            versions=_versions(),
            service=None if ends is None else self._behind("service", self._positions(), ends, unknown),
            processor=None if overview is None else self._processor(overview, unknown),
            exporter=None if ends is None else self._exporter(ends, overview, unknown),
            dead_letters=known("dead_letters", lambda: self._letters(self._broker.letters())),
            outbox=self._outbox_standing(),
            unknown=unknown,
        )

    def _processor(self, overview: Overview, unknown: dict[str, str]) -> ProcessorStanding:
        late = sorted((one for one in overview.progress if one.lag), key=lambda one: (-one.lag, one.partition))
        spans = {(self._raw, one.partition): (one.committed, one.end) for one in late}
        behind = self._waiting("processor", spans, unknown)
        return ProcessorStanding(
            records=behind.records,
            seconds=behind.seconds,
            workers=len(overview.workers),
            partitions=[
                BehindPartition(one.partition, one.lag, one.slot, one.stands_still) for one in late[:PARTITIONS_SHOWN]
            ],
            troubles=troubles(overview),
        )

    def _exporter(self, ends: Offsets, overview: Overview | None, unknown: dict[str, str]) -> ExporterStanding | None:
        if self._store is None:
            return None
        try:
            stored = self._store.offsets()
        except StoreUnavailable as error:
            unknown["exporter"] = str(error)
            return None
        outputs = {source: end for source, end in ends.items() if source[0] != STATE}
        behind = self._behind("exporter", stored, outputs, unknown)
        following = None if overview is None else len(overview.exporters)
        return ExporterStanding(records=behind.records, seconds=behind.seconds, following=following)

    def _behind(self, part: str, positions: Offsets, ends: Offsets, unknown: dict[str, str]) -> Behind:
        spans = {
            (self._topics[source[0]], source[1]): (positions.get(source, 0), end)
            for source, end in ends.items()
            if positions.get(source, 0) < end
        }
        return self._waiting(part, spans, unknown)

    def _waiting(self, part: str, spans: Mapping[Place, tuple[int, int]], unknown: dict[str, str]) -> Behind:
        """Return what `spans` hold. Where there are only transaction markers, nothing waits."""
        try:
            firsts = self._broker.appended_ms(spans)
        except A3CPError as error:
            unknown[part] = str(error)
            return Behind(sum(end - first for first, end in spans.values()), None)
        records = sum(end - first for place, (first, end) in spans.items() if place in firsts)
        oldest_ms = min(firsts.values(), default=self._now_ms())
        return Behind(records, max(0, self._now_ms() - oldest_ms) / 1000)

    def _letters(self, letters: Sequence[DeadLetter]) -> Letters:
        left = [letter for letter in letters if letter.status != "retried"]
        return Letters(len(left), [self._group(group, members) for group, members in grouped(left)])

    def _group(self, group: Group, members: Sequence[DeadLetter]) -> LetterGroup:
        latest = max(members, key=lambda letter: letter.dead_ms)
        why, _, remedy = group.why.partition("; ")
        return LetterGroup(
            count=len(members),
            status=group.status,  # type: ignore[arg-type]  # `retried` ones are left out.
            stage=group.stage,
            why=why,
            remedy=remedy or None,
            latest=format_time(latest.dead_ms),
            position=latest.position,
            command=retry_command(group, self._settings.topic_prefix),
        )

    def _outbox_standing(self) -> OutboxStanding | None:
        if self._outbox is None:
            return None
        stock, is_away = self._outbox()
        return OutboxStanding(
            records=stock.records,
            size_bytes=stock.size_bytes,
            size_bytes_max=self._settings.outbox_bytes_max,
            oldest_since=None if stock.oldest_ms is None else format_time(stock.oldest_ms),
            age_ms_max=self._settings.outbox_age_max_ms,
            refused=stock.refused,
            kafka_is_away=is_away,
        )


def retry_command(group: Group, prefix: str) -> str | None:
    """Return what puts the letters of a group back, to be copied into a shell; None if nothing can.

    The reason may be anybody's text, so it is quoted. Characters that a terminal would not show as they are end it:
    `--why` takes a part of the reason too.
    """
    if group.status == "withheld":
        return None
    why = _until_hidden(group.why.partition("; ")[0])
    words = ["a3cp", "dlq", "retry", "--stage", group.stage, *(["--why", why] if why else [])]
    words += ["--again"] if group.status == "failed again" else []
    words += [] if prefix == _PREFIX else ["--prefix", prefix]
    return shlex.join(words)


def _until_hidden(text: str) -> str:
    hidden = next((place for place, each in enumerate(text) if not each.isprintable()), len(text))
    return text[:hidden]


def _versions() -> Versions:
    return Versions(version("a3cp-session-manager"), platform.python_version(), SCHEMA_VERSION, LAYOUT, layout_of())
