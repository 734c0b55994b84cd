"""The options that most commands share, and the settings they lead to."""

import sys
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from processor.codec import Codec
    from processor.settings.model import Settings
    from processor.store.sql import SqlStore

Bootstrap = Annotated[
    str | None,
    typer.Option(
        "--bootstrap",
        help="Kafka's address; default: KAFKA_BOOTSTRAP_SERVERS, a3cp.toml, then the running embedded one.",
        show_default=False,
    ),
]
Prefix = Annotated[
    str | None,
    typer.Option(
        "--prefix", help="Start of the topics' names; default: A3CP_TOPIC_PREFIX, else a3cp.", show_default=False
    ),
]
Store = Annotated[
    str | None,
    typer.Option("--store", help="The store's address; default: A3CP_STORE_URL, else ./a3cp.db.", show_default=False),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


def chosen(bootstrap: str | None, prefix: str | None, store: str | None = None) -> "Settings":
    """Return the settings with what the options say; odd variables are warned of on standard error.

    Raises:
        UsageError: a setting is wrong, or no Kafka is named and the embedded one does not run.
    """
    from processor.broker import bootstrap_of_running
    from processor.errors import UsageError

    settings = _loaded(bootstrap, prefix, store)
    if settings.kafka_conf().get("bootstrap.servers"):
        return settings
    servers = bootstrap_of_running()
    if not servers:
        raise UsageError(
            "no Kafka is named and the embedded one does not run",
            remedy="start it with a3cp broker up, or set KAFKA_BOOTSTRAP_SERVERS",
        )
    return settings.model_copy(update={"bootstrap_servers": servers})


def stored(address: str | None) -> "SqlStore":
    """Return the store that is named, else that of the settings; no Kafka is needed to look into it.

    Raises:
        UsageError: a setting is wrong, or there is no such store.
        StoreUnavailable: it does not answer.
    """
    from processor.wiring import store_of

    return store_of(_loaded(None, None, address), must_exist=True)


def codec_of_settings() -> "Codec":
    """Return the codec that the settings ask for; no Kafka is needed to read what a store holds."""
    import os
    from pathlib import Path

    from processor.codec import Codec
    from processor.settings.sources import load
    from processor.wiring import schemas

    return Codec(schemas(load(dict(os.environ), Path.cwd()).settings))


def _loaded(bootstrap: str | None, prefix: str | None, store: str | None) -> "Settings":
    import os
    from pathlib import Path

    from processor.settings.sources import Option, load

    given = {
        "bootstrap_servers": ("--bootstrap", bootstrap),
        "topic_prefix": ("--prefix", prefix),
        "store_url": ("--store", store),
    }
    options = {field: Option(name, value) for field, (name, value) in given.items() if value is not None}
    loaded = load(os.environ, Path.cwd(), options)
    for warning in loaded.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    for note in loaded.notes:
        print(f"note: {note}", file=sys.stderr)
    return loaded.settings
