"""The one place where ports meet their adapters; no rules."""

import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Final

from structlog.typing import FilteringBoundLogger

from processor.broker import bootstrap_of_running
from processor.codec.codec import Codec
from processor.codec.isotime import wall_ms
from processor.codec.schema import SHIPPED, Schemas
from processor.errors import NoKafka, UsageError
from processor.kafka.conf import LogConf, consumer_conf, producer_conf, restorer_conf
from processor.sessions.ports import EVERYTHING, SessionFilter
from processor.settings.documents import released_schemas, schema_text
from processor.settings.model import Settings
from processor.settings.sources import Loaded, Option, load
from processor.targets.target import Target

if TYPE_CHECKING:
    from processor.audit.report import AuditReport
    from processor.bundles.sealing import Sealer
    from processor.bundles.seals import SealLog
    from processor.bundles.signatures import Signer
    from processor.observe.spans import Spans
    from processor.profiles import Profiles
    from processor.sessions.ports import Source, Store
    from processor.store.sql import SqlStore

_OTLP: Final = "OTEL_EXPORTER_OTLP_"
PROFILES_FILE: Final = "profiles.db"
"""What `a3cp up` keeps of persons, beside its store."""


class SystemClock:
    """The machine's clock."""

    def now_ms(self) -> int:
        """Return the wall clock's time, ms since the epoch, UTC."""
        return wall_ms()

    def monotonic_s(self) -> float:
        """Return seconds since some moment."""
        return time.monotonic()


def load_settings(options: Mapping[str, Option]) -> Loaded:
    """Return the settings; without a named Kafka, the running embedded one's address is filled in.

    `options`: those of the command line, by the setting that they replace.

    Raises:
        UsageError: a setting is wrong, or no Kafka is named and none runs.
    """
    loaded = load(os.environ, Path.cwd(), options)
    if loaded.settings.kafka_conf().get("bootstrap.servers"):
        return loaded
    servers = bootstrap_of_running()
    if not servers:
        raise NoKafka(
            "no Kafka is named and the embedded one does not run",
            remedy="start it with a3cp broker up, or set KAFKA_BOOTSTRAP_SERVERS",
        )
    return loaded._replace(settings=loaded.settings.model_copy(update={"bootstrap_servers": servers}))


def log_conf(settings: Settings, slot: int, partitions: int) -> LogConf:
    """Return what the worker in `slot` needs to know of Kafka."""
    common = settings.kafka_conf()
    topics = settings.topics()
    return LogConf(
        common=common,
        consumer=consumer_conf(
            common,
            session_timeout_ms=settings.session_timeout_ms,
            group_protocol=settings.group_protocol,
        ),
        producer=producer_conf(common, transaction_timeout_ms=settings.transaction_timeout_ms),
        restorer=restorer_conf(common, group_id=settings.group_id),
        group_id=settings.group_id,
        slot=slot,
        slot_is_fixed=settings.slot is not None,  # A supervisor's worker has none set.
        is_static=settings.static_membership,
        raw=topics.raw,
        state=topics.state,
        tagged=topics.tagged,
        sessions=topics.sessions,
        partitions=partitions,
    )


def schemas(settings: Settings) -> Schemas:
    """Return the schemas that records may be written with: those we ship, and the registry's when there is one."""
    shipped = {name: schema_text(name) for name in SHIPPED}
    topics = settings.topics()
    source = None
    if settings.schema_registry_url is not None:
        from processor.kafka.registry import Registry  # With httpx it costs every start 60 ms, needed or not.

        source = Registry(settings.schema_registry_url)
    return Schemas(
        shipped,
        older=released_schemas(),
        source=source,
        tagged_subject=f"{topics.tagged}-value",
        events_subject=f"{topics.sessions}-value",
    )


def store_of(settings: Settings, *, must_exist: bool = False) -> "SqlStore":
    """Return the store that the settings name. Raises as `open_store` does."""
    from processor.store import open_store  # Costs a third of a second, and only those who export have a store.

    return open_store(settings.store_url, must_exist=must_exist)


def signer_of(settings: Settings) -> "Signer | None":
    """Return what signs bundles with the key that the settings name; None if they name none.

    Raises:
        UsageError: the key cannot be read.
    """
    if settings.sign_key_file is None:
        return None
    from processor.bundles.keys import read_signing_key  # Few sign, and it needs an extra.

    return read_signing_key(Path(settings.sign_key_file))


def sealer_of(settings: Settings, store: "Store", target: Target, wanted: SessionFilter = EVERYTHING) -> "Sealer":
    """Return what seals the bundles of `wanted` sessions that `store` has below `target`. Raises as `signer_of`."""
    from processor.bundles.sealing import Sealer  # Few seal.

    signer = signer_of(settings)
    return Sealer(store, target, seal_log(settings), now_ms=wall_ms, wanted=wanted, signer=signer)


def seal_log(settings: Settings) -> "SealLog":
    """Return the log that has the records of seals. Nothing is connected yet."""
    from processor.kafka.seals import KafkaSealLog  # Few seal.

    return KafkaSealLog(settings.kafka_conf(), settings.topics().sessions, Codec(schemas(settings)))


@contextmanager
def spans_of(part: str, settings: Settings, log: FilteringBoundLogger) -> Iterator["Spans | None"]:
    """Yield what makes spans of a part of the system; None if the OTEL_* variables name no receiver of them.

    Raises:
        UsageError: one of the variables is wrong.
    """
    spans = _spans_of(part, settings, log)
    with nullcontext() if spans is None else closing(spans):
        yield spans


def _spans_of(part: str, settings: Settings, log: FilteringBoundLogger) -> "Spans | None":
    environ = os.environ
    exporters = environ.get("OTEL_TRACES_EXPORTER", "otlp" if _names_receiver(environ) else "none")
    if environ.get("OTEL_SDK_DISABLED", "").lower() == "true" or "otlp" not in exporters.split(","):
        return None
    protocol = environ.get(f"{_OTLP}TRACES_PROTOCOL", environ.get(f"{_OTLP}PROTOCOL", "http/protobuf"))
    if protocol != "http/protobuf":
        raise UsageError(
            f"{_OTLP}PROTOCOL is {protocol}", remedy="spans are sent by http/protobuf, mostly to port 4318"
        )
    try:
        from processor.observe.spans import Spans  # Of an extra that few have.
    except ModuleNotFoundError:
        remedy = "pip install 'a3cp-session-manager[otel]', or set OTEL_SDK_DISABLED=true"
        log.warning("no spans are sent: the extra otel is missing", operation="start", remedy=remedy)
        return None
    try:
        return Spans(part, log, key=settings.log_key)
    except ValueError as error:
        raise UsageError(f"OpenTelemetry refuses its settings ({error})", remedy="see the OTEL_* variables") from error


def _names_receiver(environ: Mapping[str, str]) -> bool:
    return any(environ.get(f"{_OTLP}{name}ENDPOINT") for name in ("", "TRACES_"))


def profiles_of(settings: Settings, site_key: bytes | None = None) -> "Profiles | None":
    """Return the profiles that the settings name; None if they name none. `site_key`: None for that of the settings.

    Raises:
        UsageError: no database can be there, or there is no site key.
    """
    if settings.profile_store_url is None:
        return None
    from processor import profiles  # Few have them, and they need an extra.

    key = site_key or profiles.site_key(settings.site_key, settings.store_url)[0]
    return profiles.open_profiles(settings.profile_store_url, profiles.Pseudonyms(key), settings.profile_store_key)


def with_profiles_beside(settings: Settings) -> Settings:
    """Return the settings, with the profile store that `a3cp up` has beside the store's file if they name none."""
    from sqlalchemy.engine import make_url  # Who names a store has it.

    url = make_url(settings.store_url)
    if settings.profile_store_url is not None or url.get_backend_name() != "sqlite" or not url.database:
        return settings
    file = Path(url.database).absolute().with_name(PROFILES_FILE)
    return settings.model_copy(update={"profile_store_url": f"sqlite:///{file}"}) if file.is_file() else settings


def recognise(store: "Store", settings: Settings) -> Mapping["Source", int]:
    """Return how far `store` is in the topics that the settings name; an empty one is nobody's yet.

    Raises:
        UsageError: it is filled from others: another cluster, or topics deleted and made anew since.
        BrokerUnavailable, StoreUnavailable: Kafka or the store does not answer.
    """
    from processor.kafka.identities import ids_of  # Only those who read a store need it.

    offsets = store.writer.offsets()
    if offsets:
        topics = settings.topics()
        store.writer.follow(f"{topics.tagged} and {topics.sessions}")
        store.writer.recognise(ids_of(settings.kafka_conf(), (topics.tagged, topics.sessions)))
    return offsets


def audited(
    settings: Settings, *, rules_changed: bool = False, on_read: Callable[[int, int], None] = lambda _read, _all: None
) -> "AuditReport":
    """Audit the topics that the settings name.

    Args:
        settings: of the processor; its rules are those that outputs are compared with.
        rules_changed: whether other rules were in force since the raw log begins; then nothing is compared with these.
        on_read: told how many offsets were passed, and how many there are in all.

    Raises as `KafkaTopics` and `audit` do.
    """
    from processor.audit.outcomes import audit  # Only those who audit need them.
    from processor.kafka.audit import KafkaTopics

    names = settings.topics()
    topics = KafkaTopics(
        settings.kafka_conf(),
        (names.tagged, names.sessions, names.state, names.dlq, names.raw),
        raw=names.raw,
        group_id=settings.group_id,
        origin=names.by_role,
        on_read=on_read,
    )
    codec = Codec(schemas(settings), strict=settings.strict)
    rules = None if rules_changed else settings.rules()
    is_mirror = settings.reads_another_log
    return audit(topics, codec, names, rules, now_ms=wall_ms(), is_mirror=is_mirror)
