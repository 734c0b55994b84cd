"""Every setting: type, unit, default, meaning. Read once at start (`sources.load`), handed on as values.

docs/configuration.md has the table; tests/test_repository.py keeps both equal.
"""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Final, Literal, NamedTuple

from pydantic import Field, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, PydanticBaseSettingsSource, SettingsConfigDict

from processor.core.model import CANARY, DAY_MS, HOUR_MS, IdFormat, Rules
from processor.errors import UsageError
from processor.settings.templates import BUILT_IN, YEAR_MS, Template, over
from processor.settings.wanted import WholeNumbers

PREFIX: Final = "A3CP_"

UNPREFIXED: Final = {"bootstrap_servers": "KAFKA_BOOTSTRAP_SERVERS", "schema_registry_url": "SCHEMA_REGISTRY_URL"}
"""Settings whose variables are named as elsewhere in the Kafka world."""

ELSEWHERE: Final = {
    "A3CP_CONFIG": "The TOML file to read instead of ./a3cp.toml.",
    "A3CP_SECRETS_DIR": "A folder of files named as the variables, each holding one value; for passwords.",
    "A3CP_URL": "The service that Python's `Sessions` ask when they are given none.",
    "A3CP_TOKEN": "What `Sessions` are known by at that service.",
    "A3CP_BROKER_DIR": "Where the embedded Kafka keeps its data.",
    "A3CP_BROKER_HEAP": "Memory of the embedded Kafka's heap.",
    "A3CP_CACHE_DIR": "Where the embedded Kafka's program files are kept once fetched.",
}
"""Variables that are no settings of the processor."""

OWNED: Final = {
    "acks": "exactly once needs acks=all",
    "auto.offset.reset": "what came before a reader's first commit must be read, not skipped: it is earliest",
    "client.id": "it names the worker's slot",
    "delivery.report.only.error": "what is sent counts once its delivery is reported",
    "enable.auto.commit": "offsets are committed in the transaction",
    "enable.auto.offset.store": "offsets are committed in the transaction",
    "enable.idempotence": "exactly once needs it",
    "enable.partition.eof": "it tells whether a partition is caught up",
    "group.id": "set A3CP_GROUP_ID",
    "group.instance.id": "set A3CP_STATIC_MEMBERSHIP",
    "group.protocol": "set A3CP_GROUP_PROTOCOL",
    "isolation.level": "exactly once needs read_committed",
    "partition.assignment.strategy": "the processor takes partitions up and lets them go one by one: "
    "it is cooperative-sticky",
    "partitioner": "a user's records must all be in the partition that Java's murmur2 gives",
    "session.timeout.ms": "set A3CP_SESSION_TIMEOUT_MS",
    "transaction.timeout.ms": "set A3CP_TRANSACTION_TIMEOUT_MS",
    "transactional.id": "it names the worker's slot",
}
"""librdkafka properties that the guarantees rest on, and why they are not free."""

WORKERS_MAX: Final = 64  # of one command
_TOPIC_NAME: Final = r"^[A-Za-z0-9._-]{1,200}$"


class TopicNames(NamedTuple):
    """The five topics."""

    raw: str
    tagged: str
    sessions: str
    state: str
    dlq: str

    @property
    def by_role(self) -> Mapping[str, str]:
        """The names of the topics whose ids are noted beside a group's offsets, by role, in the order of that text."""
        return {"raw": self.raw, "state": self.state, **self.outputs}

    @property
    def outputs(self) -> Mapping[str, str]:
        """The names of the two topics that everybody reads, by role."""
        return {"tagged": self.tagged, "sessions": self.sessions}


def _setting(default: object, meaning: str, unit: str = "", **limits: Any) -> Any:
    return Field(default, description=meaning, json_schema_extra={"unit": unit}, **limits)


class Settings(WholeNumbers, BaseSettings):
    """All settings, checked. Made by `sources.load`."""

    model_config = SettingsConfigDict(
        frozen=True,
        extra="ignore",  # `load` warns of unknown names instead.
        env_prefix=PREFIX,
        env_nested_delimiter="__",
        hide_input_in_errors=True,
        validate_default=False,
    )

    bootstrap_servers: str | None = _setting(
        None, "Kafka's address, `host:port`, several with commas; unset: the embedded Kafka, when it runs."
    )
    schema_registry_url: str | None = _setting(
        None, "Address of the schema registry; needed only for messages in Confluent framing.", repr=False
    )
    topic_prefix: str = _setting("a3cp", "Start of the names of the five topics.", pattern=_TOPIC_NAME)
    raw_topic: str | None = _setting(
        None, "Another topic to read instead of the prefix's `raw`, to tag the same log again into other outputs; "
        "nothing is written to it.", pattern=_TOPIC_NAME,
    )  # fmt: skip
    group_id: str = _setting(
        "a3cp-session-manager",
        "Consumer group of the workers, and start of their transactional ids.",
        pattern=r"^[A-Za-z0-9._-]{1,200}$",
    )

    gap_ms: int = _setting(HOUR_MS, "Session gap: a longer silence ends a session.", "ms", ge=1, le=YEAR_MS)
    quiet_ms: int = _setting(
        10_000, "How long a user's records must have stopped arriving before the clock may end a session.", "ms", ge=0,
        le=DAY_MS,
    )  # fmt: skip
    pause_ms: int = _setting(DAY_MS, "How long a session may stay paused.", "ms", ge=1, le=YEAR_MS)
    max_session_ms: int = _setting(DAY_MS, "Longest session.", "ms", ge=1, le=YEAR_MS)
    late_horizon_ms: int = _setting(
        DAY_MS, "How far back a late message still finds its session, and users are remembered.", "ms", ge=1,
        le=YEAR_MS,
    )  # fmt: skip
    skew_ms: int = _setting(
        300_000, "How far ahead of the broker's clock an event time may be before it counts as wrong.", "ms", ge=0,
        le=YEAR_MS,
    )  # fmt: skip
    strict: bool = _setting(
        False, "Send messages that miss something A3CP demands to the dead letters, instead of flagging them."
    )
    passive_sources: Annotated[frozenset[str], NoDecode] = _setting(
        Rules().passive_sources,
        "Sources that never open or prolong a session; with commas, empty for none but `canary`.",
    )
    session_id_format: IdFormat = _setting(
        IdFormat.DATED,
        "How session ids look: `dated` (sess_YYYYMMDD_HHMMSS_ and 32 hex) or `short` (sess_ and 16 hex).",
    )
    templates_file: str | None = _setting(
        None, "File of session templates, YAML or JSON; A3CP_TEMPLATES goes over what it says."
    )
    templates: dict[str, Template] = _setting(
        dict(BUILT_IN), "Session templates by name (docs/templates.md). Some are built in, and keep what is left out."
    )

    batch_records_max: int = _setting(
        50_000, "Most records in one transaction.", "records", ge=1, le=1_000_000
    )  # fmt: skip
    punctuate_ms: int = _setting(500, "How often the clock is looked at for idle sessions.", "ms", ge=10, le=60_000)
    workers: Annotated[int, Field(ge=1, le=WORKERS_MAX)] | Literal["auto"] = _setting(
        1, "Worker processes that `a3cp process` runs; `auto`: one a core, at most one a partition.", "processes"
    )
    slot: int | None = _setting(
        None, "Number of this worker in its group, for its transactional id; unset: the lowest free one.", "",
        ge=0, le=9999,
    )  # fmt: skip
    static_membership: bool = _setting(
        False, "Keep a worker's partitions while it restarts, for up to the session time-out (group.instance.id)."
    )
    group_protocol: Literal["classic", "consumer"] = _setting(
        "classic", "Kafka's rebalance protocol: `classic` (cooperative-sticky) or `consumer` (KIP-848)."
    )
    session_timeout_ms: int = _setting(
        6_000, "After how long without a heartbeat a worker counts as dead; at least the broker's "
        "group.min.session.timeout.ms.", "ms", ge=1_000, le=1_800_000,
    )  # fmt: skip
    transaction_timeout_ms: int = _setting(
        10_000, "After how long the broker aborts the open transaction of a dead worker.", "ms", ge=1_000, le=900_000
    )

    store_url: str = _setting(
        "sqlite:///a3cp.db",
        "Where `a3cp export` keeps sessions: `sqlite:///PATH` or `postgresql://USER:PASSWORD@HOST/DATABASE`.",
        repr=False,
        min_length=1,
    )

    sign_key_file: str | None = _setting(
        None,
        "File of the private key that `a3cp export` and `a3cp serve` sign bundles with; `a3cp keys new` makes one.",
    )

    serve_host: str = _setting("127.0.0.1", "Address that `a3cp serve` listens on; another than loopback needs doors.")
    serve_port: int = _setting(8080, "Port that `a3cp serve` listens on; 0 takes a free one.", "", ge=0, le=65_535)
    serve_tokens_file: str | None = _setting(
        None, "File of the tokens that `a3cp serve` lets in; `a3cp token new` adds one."
    )
    serve_oidc_issuer: str | None = _setting(
        None, "Address of the OpenID provider whose tokens `a3cp serve` lets in, as they name it (`iss`)."
    )
    serve_oidc_audience: str = _setting("a3cp", "Whom the provider's tokens must be for (`aud`).", min_length=1)
    serve_oidc_jwks_url: str | None = _setting(
        None, "Where the provider's keys are; unset: where the provider's own description says."
    )
    serve_oidc_leeway_ms: int = _setting(
        30_000, "How far the provider's clock may differ from ours.", "ms", ge=0, le=HOUR_MS
    )
    serve_oidc_role_claim: str = _setting(
        "a3cp_role", "Claim that holds the role: producer, reviewer or operator.", min_length=1
    )
    serve_oidc_users_claim: str = _setting(
        "a3cp_users", "Claim that lists the users whose sessions one sees, or `*`; without it one's own.", min_length=1
    )
    serve_oidc_client_id: str | None = _setting(
        None, "Client id of the page at the provider; with it people sign in to the page there."
    )
    serve_oidc_client_secret: str | None = _setting(
        None, "The client's secret at the provider; unset: a public client.", repr=False
    )
    serve_requests_per_s_max: int = _setting(
        2_000, "Most requests of one caller in a second; 0 for no limit.", "requests", ge=0, le=1_000_000
    )
    ws_user: str = _setting(
        "human_reviewer_1", "Whose sessions sockets without `user_id` are, where no token is asked for.", min_length=1
    )
    ws_grace_ms: int = _setting(
        30_000, "How long after a socket was closed its session ends, unless its client comes back; 0: at once.", "ms",
        ge=0, le=DAY_MS,
    )  # fmt: skip
    ws_sockets_per_user_max: int = _setting(
        5_000, "Most sockets of one user on one process of `a3cp serve`.", "sockets", ge=1, le=1_000_000
    )
    profile_store_url: str | None = _setting(
        None, "Where e-mail addresses, names and resumes are kept, apart from the log: as A3CP_STORE_URL, another "
        "database; unset: an e-mail address as user id is refused.", repr=False,
    )  # fmt: skip
    profile_store_key: str | None = _setting(
        None, "Secret key that profiles are encrypted with; unset: they are not.", repr=False
    )
    site_key: str | None = _setting(
        None, "Secret key of pseudonyms and cursors, the same on all replicas; unset: one is made and kept beside the "
        "store, in `a3cp-site.key`.", repr=False, min_length=16,
    )  # fmt: skip

    outbox: str | None = _setting(
        None, "File in which `a3cp serve` keeps records while Kafka is away; each process needs its own."
    )
    outbox_bytes_max: int = _setting(
        256 << 20, "Most that an outbox holds; then it takes no more.", "bytes", ge=1 << 16, le=1 << 40
    )
    outbox_age_max_ms: int = _setting(
        DAY_MS, "Once a record has waited in an outbox for longer, it takes no more.", "ms", ge=1_000, le=YEAR_MS
    )

    metrics_port: int = _setting(
        0, "Port of /metrics, /livez and /readyz; 0 turns them off. Of several workers the first has it, each other "
        "one the next port.", "", ge=0, le=65_535,
    )  # fmt: skip
    metrics_host: str = _setting("127.0.0.1", "Address to serve them on; 0.0.0.0 for all.")
    live_ms: int = _setting(
        30_000,
        "After how long without a turn of its loop a worker counts as hung (/livez).",
        "ms",
        ge=1_000,
        le=HOUR_MS,
    )
    log_format: Literal["auto", "json", "console"] = _setting(
        "auto", "`json` (one object a line), `console` (readable), or `auto`: console on a terminal, else json."
    )
    log_level: Literal["debug", "info", "warning", "error"] = _setting("info", "Least level that is logged.")
    log_key: str | None = _setting(
        None, "Secret key by which ids are hashed in the log; without it user ids are left out.", repr=False
    )

    kafka: dict[str, str] = _setting({}, "Any librdkafka property, handed on as it is.", repr=False)

    @field_validator("passive_sources", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value

    @field_validator("workers", "log_level", "log_format", "group_protocol", "session_id_format", mode="before")
    @classmethod
    def _lower(cls, value: object) -> object:
        return value.strip().lower() if isinstance(value, str) else value

    @field_validator("kafka", mode="before")
    @classmethod
    def _flatten(cls, value: object) -> object:
        return dict(flat(value)) if isinstance(value, Mapping) else value

    @field_validator("templates", mode="before")
    @classmethod
    def _with_built_in(cls, value: object) -> object:
        return over(BUILT_IN, value) if isinstance(value, Mapping) else value

    @field_validator(
        "bootstrap_servers", "schema_registry_url", "raw_topic", "slot", "log_key", "serve_tokens_file",
        "serve_oidc_issuer", "serve_oidc_jwks_url", "serve_oidc_client_id",
        "serve_oidc_client_secret", "outbox", "profile_store_url", "profile_store_key", "site_key",
        "templates_file", "sign_key_file",
        mode="before",
    )  # fmt: skip
    @classmethod
    def _blank_is_unset(cls, value: object) -> object:
        return None if isinstance(value, str) and not value.strip() else value

    @model_validator(mode="after")
    def _fits_together(self) -> "Settings":
        for name in self.kafka:
            if name in OWNED:
                raise ValueError(f"kafka.{name} cannot be set: {OWNED[name]}")
        workers = WORKERS_MAX if self.workers == "auto" else self.workers
        if self.metrics_port and self.metrics_port + workers - 1 > 65_535:
            raise ValueError("metrics_port leaves no room for a port for each worker")
        if self.serve_oidc_client_id is not None and self.serve_oidc_issuer is None:
            raise ValueError(
                "serve_oidc_client_id is set, and serve_oidc_issuer is not: where people sign in is not known"
            )
        return self

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003  # The signature is pydantic's.
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Take values from `load` only, which says where they are from; nothing reads the environment by itself."""
        return (init_settings,)

    def rules(self) -> Rules:
        """Return the settings that the rules depend on."""
        return Rules(
            gap_ms=self.gap_ms,
            max_session_ms=self.max_session_ms,
            pause_ms=self.pause_ms,
            late_horizon_ms=self.late_horizon_ms,
            quiet_ms=self.quiet_ms,
            skew_ms=self.skew_ms,
            id_format=self.session_id_format,
            passive_sources=self.passive_sources | {CANARY},
            templates={name: template.policy for name, template in self.templates.items()},
        )

    def kafka_conf(self) -> dict[str, str]:
        """Return librdkafka's properties: those passed through, and where the brokers are when that is set.

        What matters comes as an error or is told by our own log: the client prints nothing to stderr besides.
        """
        servers = {"bootstrap.servers": self.bootstrap_servers} if self.bootstrap_servers else {}
        return {"log_level": "0", **self.kafka, **servers}

    def topics(self) -> TopicNames:
        """Return the names of the five topics."""
        names = TopicNames(*(f"{self.topic_prefix}.{name}" for name in TopicNames._fields))
        return names if self.raw_topic is None else names._replace(raw=self.raw_topic)

    @property
    def reads_another_log(self) -> bool:
        """Whether the raw topic is not the prefix's own: it is only read then."""
        return self.topics().raw != f"{self.topic_prefix}.raw"

    def raw_to_write(self) -> str:
        """Return the raw topic, for those who send.

        Raises:
            UsageError: A3CP_RAW_TOPIC is set; that topic is another's log, and is only read.
        """
        if self.raw_topic is not None:
            raise UsageError(
                f"A3CP_RAW_TOPIC is set, and nothing is written to {self.raw_topic}",
                remedy="unset A3CP_RAW_TOPIC (raw_topic in a3cp.toml) where messages and commands are sent",
            )
        return self.topics().raw


def flat(table: Mapping[str, Any], start: str = "") -> Iterator[tuple[str, str]]:
    """Yield properties by their dotted names; TOML reads `sasl.username` as a table in a table."""
    for name, value in table.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{start}{name}.")
        else:
            yield start + name, str(value).lower() if isinstance(value, bool) else str(value)
