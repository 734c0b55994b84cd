"""Which Kafka, topics and registry a client uses: what its caller says, else the settings, else the embedded broker."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from processor.broker import bootstrap_of_running
from processor.codec.schema import SchemaSource
from processor.errors import UsageError
from processor.settings.model import Settings
from processor.settings.sources import load


def connected(
    settings: Settings | None,
    bootstrap_servers: str | None,
    topic_prefix: str | None,
    kafka: Mapping[str, Any] | None,
) -> Settings:
    """Return the settings with what the caller says.

    Raises:
        UsageError: a setting is wrong, or no Kafka is named and the embedded one does not run.
    """
    known = settings or load({**os.environ, **_variables(bootstrap_servers, kafka)}, Path.cwd()).settings
    update: dict[str, Any] = {"kafka": {**known.kafka, **(kafka or {})}}
    if bootstrap_servers or not known.kafka_conf().get("bootstrap.servers"):
        update["bootstrap_servers"] = bootstrap_servers or bootstrap_of_running()
    if topic_prefix:
        update["topic_prefix"] = topic_prefix
    known = known.model_copy(update=update)
    if not known.kafka_conf().get("bootstrap.servers"):
        raise UsageError(
            "no Kafka is named and the embedded one does not run",
            remedy="start it with a3cp broker up, or set KAFKA_BOOTSTRAP_SERVERS",
        )
    return known


def _variables(bootstrap_servers: str | None, kafka: Mapping[str, Any] | None) -> dict[str, str]:
    """Return as variables what the caller says: a file of the folder must not lead the caller's password elsewhere."""
    servers = {"KAFKA_BOOTSTRAP_SERVERS": bootstrap_servers} if bootstrap_servers else {}
    return servers | {f"A3CP_KAFKA__{name.replace('.', '__')}": str(value) for name, value in (kafka or {}).items()}


def codec_registry(settings: Settings) -> SchemaSource | None:
    """Return the schema registry of the settings; None when they name none."""
    return None if settings.schema_registry_url is None else _Registry(settings.schema_registry_url)


class _Registry:
    """The registry at `url`, only read: how tagged messages look there is the processor's to register."""

    def __init__(self, url: str) -> None:
        from processor.kafka.registry import Registry  # noqa: PLC0415  # With httpx 60 ms, which most do without.

        self.schema_text = Registry(url).schema_text

    def register(self, _subject: str, _text: str) -> int:
        """Return an id that goes nowhere, since nothing is tagged here."""
        return 0
