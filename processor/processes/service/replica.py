"""What a service knows, from the moment when Kafka answers: it connects, follows the topics, and heals by itself."""

import secrets
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Final

from structlog.typing import FilteringBoundLogger

from processor.broker import bootstrap_of_running
from processor.client.keeping import open_outbox
from processor.client.sending import Sender
from processor.codec.codec import Codec
from processor.codec.isotime import wall_ms
from processor.erasing.looking import Places
from processor.erasing.on_kafka import ErasureLogOnKafka
from processor.errors import A3CPError, BrokerUnavailable, StoreUnavailable, UsageError
from processor.faces.replica.context import Context
from processor.faces.replica.corner import Corner
from processor.faces.replica.meanwhile import Meanwhile
from processor.kafka.identities import ids_of
from processor.kafka.overview.corner import CornerOnKafka
from processor.kafka.topics.admin import check_topics
from processor.observe.disk import DiskMetrics
from processor.observe.outbox import OutboxMetrics, OutboxObserver
from processor.observe.serving import ServeMetrics
from processor.outbox.outbox import Outbox
from processor.outbox.ports import Kept
from processor.processes.service.tidying import tidy
from processor.processes.service.viewing import Viewing
from processor.profiles.pseudonyms import site_key
from processor.runtime.backoff import backoff_s
from processor.runtime.identities import CLUSTER
from processor.settings.model import Settings
from processor.store.sql import SqlStore
from processor.view.view import View
from processor.wiring import log_conf, profiles_of, recognise, schemas, signer_of, store_of

SOURCE: Final = "a3cp_serve"  # of the commands that the service sends
_BACKOFF_FIRST_S: Final = 0.2
_BACKOFF_MAX_S: Final = 5.0
_LOOK_EVERY_S: Final = 5.0
_TROUBLE_S: Final = 4.0  # While no broker answers, the tail says so every two seconds.


class Replica:
    """One replica of what is known; its thread runs from `start` to `stop`."""

    def __init__(
        self,
        settings: Settings,
        log: FilteringBoundLogger,
        metrics: ServeMetrics,
        *,
        bundles_root: str | None,
        ready: Callable[[Context], None],
    ) -> None:
        """Prepare.

        Args:
            settings: where Kafka and the store are; without a named Kafka it is the embedded one, once that runs.
            log, metrics: told how it goes.
            bundles_root: where an exporter writes bundles.
            ready: called with what routes work with, whenever that is made anew.

        Raises:
            UsageError: profiles cannot be where they should, or have no site key that stays; or the key that signs
                bundles cannot be read.
        """
        self._settings = settings
        self._log = log
        self._metrics = metrics
        self.site_key: Final = _site_key(settings, log)
        self._profiles = profiles_of(settings, self.site_key)
        self._bundles_root = bundles_root
        self._signer = signer_of(settings)
        self._ready = ready
        self._outbox: Outbox | None = None
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="a3cp-replica", daemon=True)
        self._trouble: str | None = None
        self._trouble_until_s = 0.0
        self._no_store: str | None = None
        self._view: View | None = None

    def start(self) -> None:
        """Begin to connect and to follow."""
        self._thread.start()
        if self._profiles is not None:
            tidying = (self._profiles, self._log, self._stopping, wall_ms)
            threading.Thread(target=tidy, args=tidying, name="a3cp-tidy", daemon=True).start()

    def let_go(self) -> None:
        """Let all who watch go; called when the service is to stop."""
        if self._view is not None:
            self._view.close()

    def stop(self, timeout_s: float) -> None:
        """Stop following, and wait for that at most so long."""
        self._stopping.set()
        self._thread.join(timeout_s)
        if self._outbox is not None:
            self._outbox.close()

    def troubles(self) -> Sequence[str]:
        """Return what does not answer at the moment."""
        if self._trouble is not None and time.monotonic() > self._trouble_until_s:
            self._log.info("Kafka answers again", operation="follow")
            self._trouble = None
        return () if self._trouble is None else (self._trouble,)

    def incomplete(self) -> Sequence[str]:
        """Return what is missing in answers at the moment."""
        return () if self._no_store is None else (self._no_store,)

    def _run(self) -> None:
        failures = 0
        while not self._stopping.is_set():
            try:
                self._follow_once()
                failures = 0
            except A3CPError as error:
                failures += 1
                self._note(error, for_s=float("inf"))
                self._stopping.wait(backoff_s(failures, first_s=_BACKOFF_FIRST_S, max_s=_BACKOFF_MAX_S))

    def _follow_once(self) -> None:
        """Connect, and follow until it is stopped or has to begin anew, as when the store has come.

        Raises:
            A3CPError: Kafka does not answer, or its topics are not as they should be.
        """
        settings = self._named()
        conf, topics = settings.kafka_conf(), settings.topics()
        partitions = check_topics(conf, settings.topic_prefix, raw=settings.raw_topic)
        store = self._store(settings)
        view = self._view = View(
            Codec(schemas(settings)),
            None if store is None else store.reader,
            partitions=partitions,
            cluster_id=ids_of(conf, ()).get(CLUSTER, ""),
            now_ms=wall_ms,
        )
        meanwhile = self._meanwhile(settings, view)
        sender = Sender.serving(settings, source=SOURCE, outbox=self._outbox)
        with closing(sender), Viewing(conf, topics, view, partitions) as viewing:
            self._trouble = None
            context = Context(
                view=view,
                sender=sender,
                settings=settings,
                now_ms=wall_ms,
                store=None if store is None else store.reader,
                bundles_root=self._bundles_root,
                signer=self._signer,
                profiles=self._profiles,
                places=None if store is None else self._places(settings, partitions, store),
                site_key=self.site_key,
                metrics=self._metrics,
                meanwhile=meanwhile,
                corner=self._corner(settings, partitions, store, viewing),
            )
            self._ready(context)
            self._log.info("following the topics", operation="follow", partitions=partitions)
            self._feed(settings, view, viewing, store)

    def _feed(self, settings: Settings, view: View, viewing: Viewing, store: SqlStore | None) -> None:
        """Feed the view until this is stopped, or the view has to begin anew."""
        begin_anew = threading.Event()
        around = (settings, view, viewing, store, begin_anew)
        looking = threading.Thread(target=self._look_around, args=around, name="a3cp-look", daemon=True)
        looking.start()
        try:
            while not self._stopping.is_set() and not begin_anew.is_set():
                try:
                    viewing.follow()
                except BrokerUnavailable as error:
                    self._note(error, for_s=_TROUBLE_S)
        finally:
            view.close()
            begin_anew.set()
            looking.join()

    def _meanwhile(self, settings: Settings, view: View) -> Meanwhile | None:
        """Return what shows records that wait in the outbox. Returns None if there is no outbox."""
        outbox = self._outbox = self._outbox or self._open_outbox(settings)
        if outbox is None:
            return None
        outbox.was_seen = partial(_was_seen, view)
        return Meanwhile(view, outbox, codec=view.codec, rules=settings.rules(), now_ms=wall_ms)

    def _corner(self, settings: Settings, partitions: int, store: SqlStore | None, viewing: Viewing) -> Corner:
        topics = settings.topics()
        return Corner(
            CornerOnKafka(settings.kafka_conf(), topics, settings.group_id, partitions),
            settings=settings,
            topics=topics,
            store=None if store is None else store.reader,
            outbox=None if self._outbox is None else self._outbox.standing,
            positions=viewing.positions,
            ends=viewing.ends,
            away=self.troubles,
            now_ms=wall_ms,
        )

    def _places(self, settings: Settings, partitions: int, store: SqlStore) -> Places:
        log = ErasureLogOnKafka(log_conf(settings, 0, partitions), settings.topics())
        return Places(log, store, self._profiles, None if settings.outbox is None else Path(settings.outbox))

    def _open_outbox(self, settings: Settings) -> Outbox | None:
        if settings.outbox is None:
            return None
        DiskMetrics(self._metrics.registry, {"outbox": Path(settings.outbox)})
        observer = OutboxObserver(self._log, OutboxMetrics(self._metrics.registry))
        return open_outbox(Path(settings.outbox), settings, observer)

    def _look_around(
        self, settings: Settings, view: View, viewing: Viewing, store: SqlStore | None, begin_anew: threading.Event
    ) -> None:
        """Every few seconds, trim the view and measure; until the view has to begin anew, or somebody says so.

        It has a thread of its own, since a store that is away takes seconds to say so.
        """
        while not begin_anew.wait(_LOOK_EVERY_S) and not self._stopping.is_set():
            try:
                view.trim()
                if store is not None:
                    self._no_store = None
                viewing.check()
                self._measure(viewing)
            except StoreUnavailable as error:
                self._lacks_store(error)
            except BrokerUnavailable as error:
                self._note(error, for_s=_TROUBLE_S)
            except UsageError as error:
                self._note(error, for_s=_TROUBLE_S)
                begin_anew.set()
            if store is None and self._store(settings) is not None:
                begin_anew.set()

    def _measure(self, viewing: Viewing) -> None:
        positions = viewing.positions()
        for (kind, partition), end in viewing.ends().items():
            self._metrics.view_at(kind, partition, positions.get((kind, partition), 0), end)

    def _named(self) -> Settings:
        if self._settings.kafka_conf().get("bootstrap.servers"):
            return self._settings
        servers = bootstrap_of_running()
        if not servers:
            raise UsageError(
                "no Kafka is named and the embedded one does not run",
                remedy="start it with a3cp broker up, or set KAFKA_BOOTSTRAP_SERVERS",
            )
        return self._settings.model_copy(update={"bootstrap_servers": servers})

    def _store(self, settings: Settings) -> SqlStore | None:
        try:
            store = store_of(settings, must_exist=True)
            recognise(store, settings)
        except (StoreUnavailable, UsageError) as error:
            self._lacks_store(error)
            return None
        self._no_store = None
        return store

    def _lacks_store(self, error: A3CPError) -> None:
        if self._no_store is None:
            self._log.warning(str(error), operation="store")
        self._no_store = f"only what the topics hold is known: {error.what}"

    def _note(self, error: A3CPError, *, for_s: float) -> None:
        if str(error) != self._trouble:
            self._log.warning(str(error), operation="follow", error=type(error).__name__)
        self._trouble_until_s = time.monotonic() + for_s
        self._trouble = str(error)


def _was_seen(view: View, record: Kept) -> bool:
    """Whether the log has the command that `record` is; of messages that is not known."""
    return record.record_id is not None and view.memory.outcome(record.record_id, record.key.decode()) is not None


def _site_key(settings: Settings, log: FilteringBoundLogger) -> bytes:
    """Return the site's key, and say where it comes from if it is not in the settings.

    Raises:
        UsageError: there is none, and pseudonyms need one that stays.
    """
    try:
        key, file = site_key(settings.site_key, settings.store_url)
    except UsageError as error:
        if settings.profile_store_url is not None:
            raise
        log.warning("sign-ins and cursors end with this process: no site key", operation="start", reason=str(error))
        return secrets.token_bytes(32)
    if settings.profile_store_url is not None and settings.profile_store_key is None:
        is_open_to_others = settings.serve_tokens_file is not None or settings.serve_oidc_issuer is not None
        tell = log.warning if is_open_to_others else log.info  # Without tokens it is a trial on one machine.
        tell("profiles are not encrypted, since A3CP_PROFILE_STORE_KEY is not set", operation="start")
    if file is not None:
        log.info("the site's key is beside the store; keep a copy of it", operation="start", file=str(file))
    return key
