"""`a3cp hooks` on Kafka: what it reads and where it begins, and where it sets aside what was not taken."""

import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager, nullcontext
from functools import partial
from typing import Final

from prometheus_client import CollectorRegistry
from structlog.typing import FilteringBoundLogger

from processor.codec.codec import Codec
from processor.codec.isotime import wall_ms
from processor.errors import A3CPError, BrokerUnavailable, UsageError, WebhookFailed
from processor.faces.replica.context import Context
from processor.hooks.due import Delivery, hooked
from processor.hooks.letters import Letter, buried, letter_in
from processor.kafka.offsets import committed_offsets, offsets_since, patiently
from processor.kafka.producer import RecordProducer
from processor.kafka.reading.feed import KafkaFeed
from processor.observe.health import Health, HealthServer
from processor.observe.hooks import HooksMetrics, HooksObserver
from processor.observe.logs import log_of
from processor.observe.serving import ServeMetrics
from processor.processes.hooks.hooking import Hooks
from processor.processes.hooks.telling import Telling
from processor.processes.service.replica import Replica
from processor.processes.signals import stop_on_signals
from processor.sessions.ports import Source
from processor.settings.model import Settings
from processor.settings.sources import secret_of
from processor.settings.templates import Hook
from processor.wiring import schemas

_FOLLOWER_STOPS_S: Final = 1.0
_DELIVERED_S: Final = 15.0
_READY_S: Final = 120.0
_LOOK_S: Final = 0.05


def run_hooks(settings: Settings, metrics_port: int | None) -> None:
    """Tell receivers until SIGTERM or SIGINT.

    Raises:
        UsageError: no template has a hook, a secret is missing, or a topic does not exist.
    """
    began_ms = wall_ms()
    hooks, secrets = _hooks_of(settings)
    stopped = threading.Event()
    stop_on_signals(stopped)
    log = log_of("hooks", settings)
    registry, health = CollectorRegistry(), Health(live_s=settings.live_ms / 1000)
    observer = HooksObserver(HooksMetrics(registry), health, log, hooks)
    port = settings.metrics_port if metrics_port is None else metrics_port
    topics, conf, group_id = settings.topics(), settings.kafka_conf(), f"{settings.group_id}-hooks"
    names = topics.outputs

    def committed(partitions: frozenset[int]) -> Mapping[Source, int]:
        return _where_to_begin(conf, group_id, names, partitions, began_ms)

    def join() -> KafkaFeed:
        return KafkaFeed(
            conf,
            tagged=topics.tagged,
            sessions=topics.sessions,
            group_id=group_id,
            session_timeout_ms=settings.session_timeout_ms,
        )

    contexts: list[Context] = []
    telling = Telling(hooks, secrets, lambda: contexts[-1], stopped)
    with (
        HealthServer(settings.metrics_host, port, health, registry) if port else nullcontext(),
        _following(settings, log, contexts.append),
    ):
        Hooks(
            hooks,
            telling,
            view=lambda: contexts[-1].view if contexts else None,
            bury=_Burying(settings, names),
            observer=observer,
            stopped=stopped,
            codec=Codec(schemas(settings)),
            committed=committed,
        ).run(join)
        log.info("stopped", operation="stop")


def tell_again(settings: Settings, values: Mapping[str, bytes]) -> Iterator[tuple[str, A3CPError | None]]:
    """Send what receivers had not taken, each once more, and write the answers; yield what is wrong with each, if any.

    `values`: those of the dead letters, by position.

    Raises:
        UsageError: no template has a hook, or a secret is missing.
        BrokerUnavailable: what is known of sessions was not read in time.
    """
    hooks, secrets = _hooks_of(settings)
    hooks = {name: hook.model_copy(update={"patience_ms": 0}) for name, hook in hooks.items()}
    log = log_of("hooks", settings, level="error")
    contexts: list[Context] = []
    telling = Telling(hooks, secrets, lambda: contexts[-1], threading.Event())
    with _following(settings, log, contexts.append):
        end_s = time.monotonic() + _READY_S
        while not contexts or not contexts[-1].view.progress.is_ready():
            if time.monotonic() > end_s:
                raise BrokerUnavailable("the topics could not be read in time", remedy="try again; nothing was sent")
            time.sleep(_LOOK_S)
        for position, value in values.items():
            yield position, _fault_of(telling, hooks, letter_in(value))


def _fault_of(telling: Telling, hooks: Mapping[tuple[str, str], Hook], letter: Letter | None) -> A3CPError | None:
    """Tell what the letter is of once more; return what is wrong with that, if anything."""
    if letter is None:
        return UsageError("it is no letter of a hook")
    if letter.lane[:2] not in hooks:
        return UsageError(f"the template {letter.template} has no hook {letter.hook} any more")
    try:
        body, now_s = bytes(letter.payload), time.monotonic()
        telling.send(letter.lane, letter.delivery, body, since_s=now_s, traceparent=letter.traceparent)
    except WebhookFailed as error:
        return error
    return None


def _hooks_of(settings: Settings) -> tuple[Mapping[tuple[str, str], Hook], Mapping[tuple[str, str], str]]:
    hooks = hooked(settings.templates)
    if not hooks:
        raise UsageError("no template has a hook", remedy="name one in A3CP_TEMPLATES_FILE; see docs/hooks.md")
    secrets = {}
    for (template, name), hook in hooks.items():
        secret = secret_of(hook.secret, os.environ)
        if not secret:
            raise UsageError(
                f"{hook.secret}, the secret of the hook {name} of the template {template}, is not set",
                remedy="set the variable, or put a file of this name into A3CP_SECRETS_DIR",
            )
        secrets[template, name] = secret
    return hooks, secrets


@contextmanager
def _following(settings: Settings, log: FilteringBoundLogger, ready: Callable[[Context], None]) -> Iterator[None]:
    """Follow the topics as a replica of the service does; `ready` is told of what is known, whenever it begins anew."""
    # The outbox and the profiles are the service's.
    own = settings.model_copy(update={"outbox": None, "profile_store_url": None})
    replica = Replica(own, log, ServeMetrics(CollectorRegistry()), bundles_root=None, ready=ready)
    replica.start()
    try:
        yield
    finally:
        replica.let_go()
        replica.stop(_FOLLOWER_STOPS_S)


def _where_to_begin(
    conf: Mapping[str, str], group_id: str, names: Mapping[str, str], partitions: frozenset[int], began_ms: int
) -> Mapping[Source, int]:
    """Return what the group has committed; without a commit, where the topics were when this process began.

    Raises:
        BrokerUnavailable: no broker answers.
    """
    starts = {}
    for kind, name in names.items():
        since = offsets_since(conf, [(name, number) for number in partitions], began_ms)
        ask = partial(committed_offsets, conf, group_id, name, partitions)
        done = patiently(ask, "asking for the offsets", conf)
        starts.update({(kind, number): done.get(number, since[name, number]) for number in partitions})
    return starts


class _Burying:
    """Sets aside what was not taken; may be used by several threads."""

    def __init__(self, settings: Settings, names: Mapping[str, str]) -> None:
        self._settings = settings
        self._names = names
        self._producer: RecordProducer | None = None
        self._lock = threading.Lock()

    def __call__(self, delivery: Delivery, body: bytes, error: WebhookFailed) -> None:
        """Return once it is in the log.

        Raises:
            BrokerUnavailable: it is not.
        """
        letter = buried(delivery, body, error, self._names[delivery.trigger.source[0]])
        done: Future[A3CPError | None] = Future()
        with self._lock:
            if self._producer is None:
                self._producer = RecordProducer(self._settings.kafka_conf(), self._settings.topics().dlq)
            self._producer.send(
                letter.value, letter.key, partition=letter.partition, headers=letter.headers, on_done=done.set_result
            )
            self._producer.flush()
        failed = done.result(_DELIVERED_S)
        if failed is not None:
            raise failed
