"""The producer that modules import."""

import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any, Final, Self, Unpack

from prometheus_client import CollectorRegistry

from processor.client.commands import Arguments, CommandRecord, CommandWord
from processor.client.connecting import connected
from processor.client.foreseeing import asked, foresee, may_wait
from processor.client.keeping import open_outbox
from processor.client.outcomes import Outcome, Outcomes
from processor.client.past import Past, past_of
from processor.client.sending import Sender
from processor.codec.isotime import wall_ms
from processor.errors import A3CPError, BrokerUnavailable
from processor.kafka.producer import DELIVERY_TIMEOUT_S, QUEUE_RECORDS_MAX
from processor.kafka.reading.endless import EndlessReader, ReadingThread
from processor.kafka.reading.reader import Reader
from processor.observe.logs import log_of
from processor.observe.outbox import OutboxMetrics, OutboxObserver
from processor.outbox.outbox import Outbox
from processor.runtime.ports import TopicRecord
from processor.settings.model import Settings

OUTCOME_TIMEOUT_S: Final = 30.0
_PAST_TIMEOUT_S: Final = 10.0


class SessionClient:
    """Writes to the raw topic and reads outcomes; may be used by several threads.

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
        outbox: str | Path | None = None,
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
            outbox: the file, this process's own, in which records wait while Kafka is away (docs/outbox.md).

        Raises:
            UsageError: a setting is wrong, no Kafka is named, the topics do not exist, A3CP_RAW_TOPIC is set, or
                another process uses the outbox.
            BrokerUnavailable: no broker answers, and there is no outbox.
        """
        known = connected(settings, bootstrap_servers, topic_prefix, kafka)
        self._conf = known.kafka_conf()
        self._topics = known.topics()
        self._rules = known.rules()
        self._outbox = None if outbox is None else open_outbox(Path(outbox), known, _observer(known))
        self._sender = Sender.connect(
            known,
            source=source,
            queue_records_max=queue_records_max,
            delivery_timeout_s=delivery_timeout_s,
            outbox=self._outbox,
        )
        self._outcomes = Outcomes(self._sender.codec.decode_event)
        self._following: ReadingThread | None = None  # once a command was sent
        self._following_lock = threading.Lock()

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
            on_done: called once the message is delivered, or waits in the outbox (None), or was not delivered (why), by
                a thread that sends or flushes, or by the one that follows the outcomes of commands.

        Raises:
            DecodeError, InvalidMessage: the message could not be tagged, does not conform though `strict`, or its user
                id has outer blanks or invisible characters, which make it another person's.
            RegistryUnavailable: it is in Confluent framing, and the registry with its schema does not answer.
            BrokerUnavailable: the queue has been full for the delivery time-out.
            OutboxFull: Kafka is away, and the outbox takes no more.
            A3CPError: an earlier message without `on_done` was not delivered; this one was not sent, then.
        """
        self._sender.message(message, user_id=user_id, strict=strict, on_done=on_done)

    @property
    def outbox(self) -> Outbox | None:
        """The outbox, if there is one: what waits in it (`stock`)."""
        return self._outbox

    def flush(self) -> None:
        """Wait until every message is delivered or has failed.

        Raises:
            A3CPError: some were not delivered.
        """
        self._sender.flush()

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
            name: start, end, pause, resume, touch, note, context, step, status or tag.
            performer_id: who asks.
            session_id: the session that is meant; the open one when None.
            timeout_s: how long to wait.
            arguments: the command's own (docs/producing.md): force_new, template, is_training_data, session_notes,
                training_intent_label, owner, context, step, status, tags.

        Raises:
            UsageError: the command is not as it should be, takes no such argument, or an id has outer blanks or
                invisible characters; nothing was sent.
            NoOutcome: it was sent, but no outcome came in time.
            BrokerUnavailable: it could not be sent, and must not or cannot wait in an outbox.
            OutboxFull: Kafka is away, and the outbox takes no more.
        """
        return self.submit(
            user_id, name, performer_id=performer_id, session_id=session_id, timeout_s=timeout_s, **arguments
        ).result()

    def submit(
        self,
        user_id: str,
        name: CommandWord,
        *,
        performer_id: str | None = None,
        session_id: str | None = None,
        timeout_s: float = OUTCOME_TIMEOUT_S,
        **arguments: Unpack[Arguments],
    ) -> "Future[Outcome]":
        """Ask for something without waiting; any number may be under way.

        The future holds what `command` returns or raises. A callback of it must be quick: the thread that calls it
        follows the outcomes of all commands. Arguments as for `command`.

        Raises:
            UsageError, BrokerUnavailable, OutboxFull: as `command` raises it.
        """
        command = self._sender.command(user_id, name, performer_id=performer_id, session_id=session_id, **arguments)
        may_wait = self._may_wait(command)
        try:
            self._follow()
        except BrokerUnavailable:
            if not may_wait:
                raise
        future = self._outcomes.expect(command, timeout_s)

        def sent(error: A3CPError | None) -> None:
            if error is not None:
                self._outcomes.fail(command, error)

        def kept() -> None:
            self._outcomes.tell(command, self._foreseen(command))

        try:
            self._sender.send(command, sent, kept if may_wait else None)
        except A3CPError as error:
            self._outcomes.fail(command, error)
            raise
        return future

    def past(self, user_id: str) -> Past:
        """Return what a3cp.sessions tells of a user, as far as it can be read in time.

        Raises:
            BrokerUnavailable: no broker answers.
        """
        with Reader(self._conf, self._topics.sessions) as reader:
            return past_of(user_id.encode(), reader, self._sender.codec.decode_event, _PAST_TIMEOUT_S)

    def close(self) -> None:
        """Deliver what is queued and let go of the connections.

        Raises:
            A3CPError: some messages were not delivered.
        """
        try:
            self._sender.flush() if self._outbox is None else self._outbox.close()
        finally:
            if self._following is not None:
                self._following.close()
                self._following = None
            self._outcomes.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _follow(self) -> None:
        """Follow the session events from now on; one follower does for all commands.

        Raises:
            BrokerUnavailable: no broker answers.
        """
        if self._following is None and self._outbox is not None and self._outbox.is_away:
            raise BrokerUnavailable("Kafka is away", remedy="see that the broker runs, and try again")
        with self._following_lock:
            if self._following is None:
                reader = EndlessReader(self._conf, [self._topics.sessions])
                self._following = ReadingThread(reader, self._take, self._outcomes.trouble)

    def _may_wait(self, command: CommandRecord) -> bool:
        return self._outbox is not None and may_wait(self._sender.codec, command.value, now_ms=wall_ms())

    def _foreseen(self, command: CommandRecord) -> Outcome:
        """Return the outcome of a command that waits: of a start in a lane the real one, else what is asked for."""
        codec, now_ms = self._sender.codec, wall_ms()
        if command.kind == "started":
            event = foresee(codec, command.value, self._rules, now_ms=now_ms)
        else:
            event = asked(codec, command.value, now_ms=now_ms)
        return Outcome(True, event.kind, event.reason, event.session_id, event, "fallback")

    def _take(self, records: Sequence[TopicRecord]) -> None:
        self._sender.waiting()  # Calls back for what was delivered, and for what was not.
        self._outcomes.take(records)


def _observer(settings: Settings) -> OutboxObserver:
    log = log_of("outbox", settings)
    return OutboxObserver(log, OutboxMetrics(CollectorRegistry()))
