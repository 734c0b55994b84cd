"""The Python producer for modules: send messages, ask for things, know the outcome.

from processor.client import SessionClient

with SessionClient() as client:
    client.send({"schema_version": "1.0.1", "record_id": "…", "user_id": "elias01", "timestamp": "…", "source": "ui"})
    outcome = client.command("elias01", "start", performer_id="carer01")
    print(outcome.session_id)
"""

import json
import os
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from difflib import get_close_matches
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Literal, NamedTuple, Self, TypeAlias, TypedDict, Unpack
from uuid import uuid4

from processor.broker import bootstrap_of_running
from processor.codec.codec import Codec
from processor.codec.events import SCHEMA_VERSION, EventView
from processor.codec.oddities import hidden_in
from processor.codec.schema import SHIPPED, Schemas
from processor.core.model import CommandName
from processor.errors import (
    A3CPError,
    BrokerUnavailable,
    DecodeError,
    InvalidMessage,
    RecordError,
    RegistryUnavailable,
    UsageError,
)
from processor.kafka.producer import DELIVERY_TIMEOUT_S, QUEUE_RECORDS_MAX, RecordProducer
from processor.kafka.reader import Reader
from processor.runtime.partitioner import partition_of
from processor.settings.documents import schema_text
from processor.settings.model import Settings
from processor.settings.sources import load

__all__ = [
    "A3CPError",
    "BrokerUnavailable",
    "DecodeError",
    "InvalidMessage",
    "NoOutcome",
    "Outcome",
    "Past",
    "RegistryUnavailable",
    "SessionClient",
    "UsageError",
]

OUTCOME_TIMEOUT_S: Final = 30.0
PAST_TIMEOUT_S: Final = 10.0
_POLL_S: Final = 0.1
_KINDS: Final = {
    "start": "started",
    "end": "ended",
    "pause": "paused",
    "resume": "resumed",
    "note": "note",
    "context": "context",
    "step": "step",
    "status": "status",
}


CommandWord: TypeAlias = Literal["start", "end", "pause", "resume", "note", "context", "step", "status"]
_ARGUMENTS: Final[Mapping[str, tuple[str, ...]]] = {
    "start": ("force_new", "template", "is_training_data", "session_notes", "training_intent_label"),
    "note": ("session_notes", "note"),
    "context": ("context",),
    "step": ("step",),
    "status": ("status",),
}


class Arguments(TypedDict, total=False):
    """What commands can be told; docs/producing.md says which takes what."""

    force_new: bool
    template: str
    is_training_data: bool
    session_notes: str
    training_intent_label: str
    note: str
    context: Mapping[str, Any]
    step: Mapping[str, Any]
    status: str


class NoOutcome(A3CPError):
    """A command was sent, but what came of it was not told in time."""


class Outcome(NamedTuple):
    """What came of a command."""

    accepted: bool  # False when the rules refused it; nothing changed then
    kind: str  # started, ended, paused, resumed, note, context, step, status, unchanged or rejected
    reason: str | None  # of a refusal: not_found, user_mismatch or already_closed; of unchanged: why
    session_id: str | None
    event: EventView  # the whole session event


def _variables(bootstrap_servers: str | None, kafka: Mapping[str, Any] | None) -> dict[str, str]:
    """Return as variables what the caller says: a file of the folder must not lead the caller's password elsewhere."""
    servers = {"KAFKA_BOOTSTRAP_SERVERS": bootstrap_servers} if bootstrap_servers else {}
    return servers | {f"A3CP_KAFKA__{name.replace('.', '__')}": str(value) for name, value in (kafka or {}).items()}


class Past(NamedTuple):
    """What a3cp.sessions tells of a user."""

    seen: bool | None  # whether there was ever a session; None when the time was not enough to tell
    last_end_ms: int | None  # when the latest one that is over ended


class _Registry:
    """The registry at `url`, only read: how tagged messages look there is the processor's to register."""

    def __init__(self, url: str) -> None:
        from processor.kafka.registry import Registry  # noqa: PLC0415  # With httpx 60 ms, which most do without.

        self.schema_text = Registry(url).schema_text

    def register(self, _subject: str, _text: str) -> int:
        """Return an id that goes nowhere, since nothing is tagged here."""
        return 0


class SessionClient:
    """Writes to the raw topic and reads outcomes; `send` may be called by several threads.

    A context manager: leaving it waits until all is delivered, and raises when something was not.
    """

    def __init__(
        self,
        bootstrap_servers: str | None = None,
        *,
        topic_prefix: str | None = None,
        kafka: Mapping[str, str] | None = None,
        settings: Settings | None = None,
        source: str = "session_client",
        queue_records_max: int = QUEUE_RECORDS_MAX,
        delivery_timeout_s: float = DELIVERY_TIMEOUT_S,
    ) -> None:
        """Connect. What is not given comes from the settings (environment, a3cp.toml), then from the embedded broker.

        Args:
            bootstrap_servers: Kafka's address.
            topic_prefix: start of the topics' names.
            kafka: further librdkafka properties.
            settings: instead of those of environment and file.
            source: what commands name as their source: the module that sends them.
            queue_records_max: messages that wait to be delivered; `send` waits when there are as many.
            delivery_timeout_s: how long a message is tried for.

        Raises:
            UsageError: a setting is wrong, no Kafka is named, the topics do not exist, or A3CP_RAW_TOPIC is set.
            BrokerUnavailable: no broker answers.
        """
        known = settings or load({**os.environ, **_variables(bootstrap_servers, kafka)}, Path.cwd()).settings
        update: dict[str, Any] = {"kafka": {**known.kafka, **(kafka or {})}}
        if bootstrap_servers or not known.kafka_conf().get("bootstrap.servers"):
            update["bootstrap_servers"] = bootstrap_servers or bootstrap_of_running()
        if topic_prefix:
            update["topic_prefix"] = topic_prefix
        known = known.model_copy(update=update)
        self._conf = known.kafka_conf()
        if not self._conf.get("bootstrap.servers"):
            raise UsageError(
                "no Kafka is named and the embedded one does not run",
                remedy="start it with a3cp broker up, or set KAFKA_BOOTSTRAP_SERVERS",
            )
        raw = known.raw_to_write()
        self._source = source
        self._topics = known.topics()
        self._registry = _Registry(known.schema_registry_url) if known.schema_registry_url is not None else None
        schemas = Schemas({name: schema_text(name) for name in SHIPPED}, source=self._registry)
        self._codec, self._strict_codec = Codec(schemas), Codec(schemas, strict=True)
        self._strict = known.strict
        self._producer = RecordProducer(
            self._conf, raw, queue_records_max=queue_records_max, delivery_timeout_s=delivery_timeout_s
        )
        self._outcomes: Reader | None = None
        self._command_lock = threading.Lock()

    def send(
        self,
        message: Mapping[str, Any] | bytes,
        *,
        user_id: str | None = None,
        strict: bool | None = None,
        on_done: Callable[[A3CPError | None], None] | None = None,
    ) -> None:
        """Queue a message; it is delivered in the background, in the order of the calls.

        Args:
            message: the message's fields, or its bytes in one of the three encodings, sent as they are.
            user_id: whose message it is. When not given it is read from the message, which is checked with that: what
                the processor could not tag is refused here, where its sender can mend it.
            strict: refuse what would be flagged `nonconforming`, and say why; by default as A3CP_STRICT says.
            on_done: called once the message is delivered (None) or was not (why), by the thread that sends or flushes.

        Raises:
            DecodeError, InvalidMessage: the message could not be tagged, does not conform though `strict`, or its user
                id has outer blanks or invisible characters, which make it another person's.
            RegistryUnavailable: it is in Confluent framing, and the registry with its schema does not answer.
            BrokerUnavailable: the queue has been full for the delivery time-out.
            A3CPError: an earlier message without `on_done` was not delivered; this one was not sent, then.
        """
        value = message if isinstance(message, bytes) else _json(message)
        strict = self._strict if strict is None else strict
        if user_id is None or strict:
            read_id = (self._strict_codec if strict else self._codec).decode(value, _now_ms()).user_id
            user_id = read_id if user_id is None else user_id
        if hidden := hidden_in(user_id):
            raise InvalidMessage(f"user_id {hidden}", remedy=_WITHOUT)
        self._producer.send(value, user_id.encode(), on_done=on_done)

    def flush(self) -> None:
        """Wait until every message is delivered or has failed.

        Raises:
            A3CPError: some were not delivered.
        """
        self._producer.flush()

    def command(
        self,
        user_id: str,
        name: CommandWord,
        *,
        performer_id: str | None = None,
        session_id: str | None = None,
        timeout_s: float = OUTCOME_TIMEOUT_S,
        **arguments: Unpack[Arguments],
    ) -> Outcome:
        """Ask for something and wait for what came of it.

        Args:
            user_id: whose session is meant.
            name: start, end, pause, resume, note, context, step or status.
            performer_id: who asks.
            session_id: the session that is meant; the open one when None.
            timeout_s: how long to wait.
            arguments: the command's own (docs/producing.md): force_new, template, is_training_data, session_notes,
                training_intent_label, context, step, status.

        Raises:
            UsageError: the command is not as it should be, takes no such argument, or an id has outer blanks or
                invisible characters; nothing was sent.
            NoOutcome: it was sent, but no outcome came in time.
            BrokerUnavailable: it could not be sent.
        """
        _refuse_unknown(name, arguments)
        record_id = str(uuid4())
        fields = {
            "schema_version": SCHEMA_VERSION,
            "record_id": record_id,
            "user_id": user_id,
            "timestamp": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "performer_id": performer_id,
            "source": self._source,
            "session_id": session_id,
            "command": name,
            **arguments,
        }
        value = _json({key: field for key, field in fields.items() if field is not None})
        try:
            self._codec.decode(value, _now_ms())
        except RecordError as error:
            raise UsageError(error.what, remedy=error.remedy) from error
        for key, typed in (("user_id", user_id), ("performer_id", performer_id), ("session_id", session_id)):
            if hidden := hidden_in(typed or ""):
                raise UsageError(f"{key} {hidden}", remedy=_WITHOUT)
        with self._command_lock:
            return self._await_outcome(user_id, CommandName(name), record_id, value, timeout_s)

    def past(self, user_id: str, *, timeout_s: float = PAST_TIMEOUT_S) -> Past:
        """Return what a3cp.sessions tells of a user, as far as it can be read in time.

        Raises:
            BrokerUnavailable: no broker answers.
        """
        key, deadline_s = user_id.encode(), time.monotonic() + timeout_s
        ends: list[int] = []
        seen = False
        with Reader(self._conf, self._topics.sessions) as reader:
            for record in reader.read_all([partition_of(key, reader.partitions)]):
                if time.monotonic() > deadline_s:
                    return Past(seen or None, max(ends, default=None))
                if record.key != key or record.value is None:
                    continue
                try:
                    event = self._codec.decode_event(record.value)
                except DecodeError:
                    continue
                seen = seen or event.kind != "rejected"
                if event.kind == "ended" and event.end_time is not None:
                    ends.append(event.end_time)
        return Past(seen, max(ends, default=None))

    def close(self) -> None:
        """Deliver what is queued and let go of the connections.

        Raises:
            A3CPError: some messages were not delivered.
        """
        if self._outcomes is not None:
            self._outcomes.close()
            self._outcomes = None
        self._producer.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _await_outcome(
        self, user_id: str, name: CommandName, record_id: str, value: bytes, timeout_s: float
    ) -> Outcome:
        key = user_id.encode()
        deadline_s = time.monotonic() + timeout_s
        if self._outcomes is None:
            self._outcomes = Reader(self._conf, self._topics.sessions)

        self._outcomes.start_at_end(partition_of(key, self._producer.partitions))
        failures: list[A3CPError] = []
        self._producer.send(value, key, on_done=lambda error: failures.append(error) if error else None)
        while time.monotonic() < deadline_s:
            self._producer.waiting()
            if failures:
                raise failures[0]
            record = self._outcomes.next(_POLL_S)
            if record is None or record.value is None or record.key != key or record_id.encode() not in record.value:
                continue
            try:
                event = self._codec.decode_event(record.value)
            except DecodeError:
                continue  # Another release's event; ours is still to come.
            if event.command_record_id == record_id and event.kind in (_KINDS[name.value], "unchanged", "rejected"):
                return Outcome(event.kind != "rejected", event.kind, event.reason, event.session_id, event)
        raise NoOutcome(
            f"no outcome within {timeout_s:g} s",
            remedy="see that a3cp process runs; the command is in the log, and is carried out when it does",
        )


_WITHOUT: Final = "leave them out: with them it is another one"


def _refuse_unknown(name: str, arguments: Iterable[str]) -> None:
    """Refuse arguments that the command `name` does not take; an unknown command is refused by the codec."""
    known = _ARGUMENTS.get(name, ())
    unknown = [argument for argument in arguments if argument not in known]
    if unknown and name in _KINDS:
        near = get_close_matches(unknown[0], known, 1)
        remedy = f"do you mean {near[0]}?" if near else f"it takes {', '.join(known) or 'no arguments of its own'}"
        raise UsageError(f"the command {name} takes no {unknown[0]}", remedy=remedy)


def _json(fields: Mapping[str, Any]) -> bytes:
    try:
        return json.dumps(fields, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise UsageError(
            f"the message cannot be written as JSON ({type(error).__name__})",
            remedy="use text, numbers other than NaN, lists and objects; times as ISO 8601 text",
        ) from None


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
