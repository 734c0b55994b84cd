"""Writes to the raw topic: messages as they are, and commands as records."""

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from typing import Any, Final, Self, Unpack

from processor.client.commands import ANOTHER_ID, Arguments, CommandRecord, CommandWord, as_json, command_record
from processor.client.connecting import codec_registry
from processor.codec.codec import Codec
from processor.codec.headers import Headers
from processor.codec.isotime import wall_ms
from processor.codec.oddities import fault_of_id
from processor.codec.schema import SHIPPED, Schemas
from processor.core.model import Command, Record
from processor.errors import InvalidMessage, RecordError, UsageError
from processor.kafka.producer import DELIVERY_TIMEOUT_S, QUEUE_RECORDS_MAX, RecordProducer
from processor.outbox.outbox import Outbox
from processor.outbox.ports import OnDone, RawProducer
from processor.settings.documents import schema_text
from processor.settings.model import Settings

_CALL_BACK_S: Final = 0.1
_TRACE: Final[ContextVar[Headers | None]] = ContextVar("a3cp_trace", default=None)
_SERVING_TIMEOUT_S: Final = 10.0  # Longer than a broker takes to start again; whoever asked waits all the time.


@contextmanager
def in_trace(trace: Headers | None) -> Iterator[None]:
    """Put `trace` on what this task, or this thread, sends meanwhile; see `processor.codec.traces`."""
    before = _TRACE.set(trace)
    try:
        yield
    finally:
        _TRACE.reset(before)


class Sender:
    """Checks what is sent, and sends it; may be used by several threads. It waits for no outcome."""

    def __init__(
        self,
        producer: RawProducer | Outbox,
        schemas: Schemas,
        *,
        source: str,
        strict: bool = False,
        now_ms: Callable[[], int] = wall_ms,
    ) -> None:
        """Send through `producer`.

        Args:
            producer: appends to the raw topic, at once or through an outbox.
            schemas: those that messages may be written with.
            source: what commands name as their source: the module that sends them.
            strict: refuse messages that would be flagged `nonconforming`, unless `message` is told otherwise.
            now_ms: the time of commands that are given none.
        """
        self.codec: Final = Codec(schemas)
        self._strict_codec: Final = Codec(schemas, strict=True)
        self._producer = producer
        self._source = source
        self._strict = strict
        self._now_ms = now_ms
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    @classmethod
    def connect(
        cls,
        settings: Settings,
        *,
        source: str,
        queue_records_max: int = QUEUE_RECORDS_MAX,
        delivery_timeout_s: float = DELIVERY_TIMEOUT_S,
        outbox: Outbox | None = None,
    ) -> Self:
        """Return a sender to the Kafka of `settings`; through `outbox`, if there is one. Others as of `RecordProducer`.

        Raises:
            UsageError: a property is wrong, the topics do not exist, or A3CP_RAW_TOPIC is set.
            BrokerUnavailable: no broker answers.
        """
        producer = outbox or RecordProducer(
            settings.kafka_conf(),
            settings.raw_to_write(),
            queue_records_max=queue_records_max,
            delivery_timeout_s=delivery_timeout_s,
        )
        return cls(producer, _schemas(settings), source=source, strict=settings.strict)

    @classmethod
    def serving(cls, settings: Settings, *, source: str, outbox: Outbox | None = None) -> Self:
        """Return a sender for an event loop: it sends each record at once, waits for no place in the queue, and calls
        back from a thread of its own. Through `outbox`, if there is one. Raises as `connect`.
        """
        if outbox is not None:
            return cls(outbox, _schemas(settings), source=source, strict=settings.strict)
        producer = RecordProducer(
            {"linger.ms": 0, **settings.kafka_conf()},
            settings.raw_to_write(),
            delivery_timeout_s=_SERVING_TIMEOUT_S,
            queue_wait_s=0,
            calls_back=False,  # The thread of its own does.
        )
        sender = cls(producer, _schemas(settings), source=source, strict=settings.strict)
        sender._call_back()
        return sender

    def read(self, value: bytes, *, strict: bool | None = None) -> Record:
        """Return what the record `value` says, unless the processor would refuse it. Raises as `SessionClient.send`."""
        strict = self._strict if strict is None else strict
        return (self._strict_codec if strict else self.codec).decode(value, self._now_ms())

    def message(
        self,
        message: Mapping[str, Any] | bytes,
        *,
        user_id: str | None = None,
        strict: bool | None = None,
        record_id: str | None = None,
        on_done: OnDone | None = None,
        on_kept: Callable[[], None] | None = None,
    ) -> None:
        """Send a message. Arguments and errors as of `SessionClient.send`.

        `record_id` helps to find it in an outbox; `on_kept` is called in place of `on_done` if it waits there.
        """
        value = message if isinstance(message, bytes) else as_json(message)
        strict = self._strict if strict is None else strict
        if user_id is None or strict:
            read_id = self.read(value, strict=strict).user_id
            user_id = read_id if user_id is None else user_id
        if fault := fault_of_id(user_id):
            raise InvalidMessage(f"user_id {fault}", remedy=ANOTHER_ID)
        on_kept = on_kept or (_nothing if on_done is None else partial(on_done, None))
        self._append(value, user_id.encode(), record_id, on_done, on_kept)

    def command(
        self,
        user_id: str,
        name: CommandWord,
        *,
        record_id: str | None = None,
        timestamp_ms: int | None = None,
        performer_id: str | None = None,
        session_id: str | None = None,
        **arguments: Unpack[Arguments],
    ) -> CommandRecord:
        """Return the record of a command, ready for `send`; arguments as of `command_record`.

        Raises:
            UsageError: the command is not as it should be, takes no such argument, or an id has outer blanks or
                invisible characters.
        """
        now_ms = self._now_ms()
        command = command_record(
            user_id,
            name,
            performer_id=performer_id,
            session_id=session_id,
            source=self._source,
            arguments=arguments,
            record_id=record_id,
            timestamp_ms=now_ms if timestamp_ms is None else timestamp_ms,
        )
        try:
            if not isinstance(self.codec.decode(command.value, now_ms), Command):
                raise UsageError(f"{name} is no command of a session", remedy="erase a person with a3cp erase")
        except RecordError as error:
            raise UsageError(error.what, remedy=error.remedy) from error
        return command

    def send(self, command: CommandRecord, on_done: OnDone, on_kept: Callable[[], None] | None = None) -> None:
        """Send a command.

        Args:
            command: what to send.
            on_done: called once it is delivered (None) or was not (why).
            on_kept: called in its place once it waits in the outbox; None if it must not wait.

        Raises:
            BrokerUnavailable: it cannot be sent; `on_done` is not called, then.
            OutboxFull: Kafka is away, and the outbox takes no more.
        """
        self._append(command.value, command.key, command.record_id, on_done, on_kept)

    @property
    def outbox(self) -> Outbox | None:
        """The outbox that it sends through, if there is one."""
        return self._producer if isinstance(self._producer, Outbox) else None

    def _call_back(self) -> None:
        self._thread = threading.Thread(target=self._run, name="a3cp-deliveries", daemon=True)
        self._thread.start()

    def waiting(self) -> int:
        """Return how many records are not delivered yet; calls back for those that are."""
        return self._producer.waiting()

    def flush(self) -> None:
        """Wait until every record is delivered or has failed.

        Raises:
            A3CPError: some that had no `on_done` were not delivered.
        """
        self._producer.flush()

    def close(self) -> None:
        """Deliver what is queued. Raises as `flush` does."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()
        self.flush()

    def _append(
        self,
        value: bytes,
        key: bytes,
        record_id: str | None,
        on_done: OnDone | None,
        on_kept: Callable[[], None] | None,
    ) -> None:
        trace = _TRACE.get()
        if isinstance(self._producer, Outbox):
            self._producer.send(value, key, record_id=record_id, headers=trace, on_done=on_done, on_kept=on_kept)
        else:
            self._producer.send(value, key, headers=trace, on_done=on_done)

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._producer.waiting(_CALL_BACK_S)


def _schemas(settings: Settings) -> Schemas:
    return Schemas({name: schema_text(name) for name in SHIPPED}, source=codec_registry(settings))


def _nothing() -> None:
    """Tell nobody."""
