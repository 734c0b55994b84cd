"""The options that most commands share, and the settings they lead to."""

import sys
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from processor.config import Settings

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
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


def chosen(bootstrap: str | None, prefix: str | None) -> "Settings":
    """Return the settings with what the options say; odd variables are warned of on standard error.

    Raises:
        UsageError: a setting is wrong, or no Kafka is named and the embedded one does not run.
    """
    import os
    from pathlib import Path

    from processor.broker import bootstrap_of_running
    from processor.config import PREFIX, load
    from processor.core.errors import UsageError

    environ = dict(os.environ)
    if bootstrap:
        environ["KAFKA_BOOTSTRAP_SERVERS"] = bootstrap
    if prefix:
        environ[PREFIX + "TOPIC_PREFIX"] = prefix
    loaded = load(environ, Path.cwd())
    for warning in loaded.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    settings = loaded.settings
    if settings.kafka_conf().get("bootstrap.servers"):
        return settings
    servers = bootstrap_of_running()
    if not servers:
        raise UsageError(
            "no Kafka is named and the embedded one does not run",
            remedy="start it with a3cp broker up, or set KAFKA_BOOTSTRAP_SERVERS",
        )
    return settings.model_copy(update={"bootstrap_servers": servers})
