"""How everything stands, as operators are told it."""

from collections.abc import Sequence
from typing import Literal

import msgspec


class Behind(msgspec.Struct, frozen=True):
    """What somebody has still to read: how many records, and for how long the first of them has waited."""

    records: int
    seconds: float | None


class BehindPartition(msgspec.Struct, frozen=True):
    """A partition of a3cp.raw that the processor has still to read."""

    partition: int
    records: int
    slot: int | None
    stands_still: bool


class ProcessorStanding(Behind, frozen=True):
    """How the processor stands: what it has to read, who works, what is wrong, in words."""

    workers: int
    partitions: list[BehindPartition]
    troubles: list[str]


class ExporterStanding(Behind, frozen=True):
    """How far the store is behind the topics, and how many exporters follow them."""

    following: int | None


class LetterGroup(msgspec.Struct, frozen=True):
    """Dead letters that have all in common: why they were set aside, and what puts them back."""

    count: int
    status: Literal["waiting", "failed again", "withheld"]
    stage: str
    why: str
    remedy: str | None
    latest: str
    position: str
    command: str | None


class Letters(msgspec.Struct, frozen=True):
    """The dead letters that were not put back yet, among the latest ones."""

    count: int
    groups: list[LetterGroup]


class OutboxStanding(msgspec.Struct, frozen=True):
    """What waits in the outbox for Kafka, and since when."""

    records: int
    size_bytes: int
    size_bytes_max: int
    oldest_since: str | None
    age_ms_max: int
    refused: int
    kafka_is_away: bool


class Versions(msgspec.Struct, frozen=True):
    """What runs: the release, Python, the message schema, the layouts of the state and of the store."""

    release: str
    python: str
    message_schema: str
    state_layout: int
    store_layout: int


class Standing(msgspec.Struct, frozen=True):
    """How everything stands. A part that is null is not there, or `unknown` says why it cannot be told."""

    at: str
    versions: Versions
    ready: bool = True
    reasons: Sequence[str] = ()
    warnings: Sequence[str] = ()
    service: Behind | None = None
    processor: ProcessorStanding | None = None
    exporter: ExporterStanding | None = None
    dead_letters: Letters | None = None
    outbox: OutboxStanding | None = None
    unknown: dict[str, str] = {}
