"""The options that several commands share, and the settings they lead to."""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from processor.codec.codec import Codec
from processor.codec.isotime import parse_time
from processor.errors import UsageError
from processor.settings.model import Settings
from processor.settings.sources import Loaded, Option, load
from processor.wiring import load_settings, schemas, store_of

if TYPE_CHECKING:
    from processor.store.sql import SqlStore  # Of an extra, and not each of these commands has a store.

Bootstrap = Annotated[
    str | None,
    typer.Option(
        "--bootstrap",
        metavar="HOST:PORT",
        help="Kafka's address; default: KAFKA_BOOTSTRAP_SERVERS, a3cp.toml, then the running embedded one.",
        show_default=False,
    ),
]
Prefix = Annotated[
    str | None,
    typer.Option(
        "--prefix", metavar="NAME", help="Start of the topics' names; default: A3CP_TOPIC_PREFIX, else a3cp.",
        show_default=False,
    ),
]  # fmt: skip
Store = Annotated[
    str | None,
    typer.Option(
        "--store", metavar="URL", help="The store's address; default: A3CP_STORE_URL, else ./a3cp.db.",
        show_default=False,
    ),
]  # fmt: skip
MetricsPort = Annotated[
    int | None,
    typer.Option(
        "--metrics-port", metavar="PORT", min=0, max=65535, show_default="A3CP_METRICS_PORT",
        help="Port of /metrics, /livez and /readyz; 0 for none.",
    ),
]  # fmt: skip
SignKey = Annotated[
    str | None,
    typer.Option(
        "--sign-key", metavar="FILE", help="Sign with the private key in this file.", show_default="A3CP_SIGN_KEY_FILE"
    ),
]
Roots = Annotated[
    list[str] | None,
    typer.Option("--to", metavar="ROOT", help="Also below this root of bundles or training data; may be repeated."),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


def chosen(
    bootstrap: str | None, prefix: str | None, store: str | None = None, sign_key: str | None = None
) -> Settings:
    """Return the settings with those of the options. Warn of odd variables on standard error.

    Raises:
        UsageError: a setting is wrong, or no Kafka is named and the embedded one does not run.
    """
    return _told(load_settings(_options(bootstrap, prefix, store, sign_key)))


def stored(address: str | None) -> "SqlStore":
    """Return the store at `address`, by default that of the settings. No Kafka is needed.

    Raises:
        UsageError: a setting is wrong, or there is no such store.
        StoreUnavailable: it does not answer.
    """
    return store_of(_told(load(os.environ, Path.cwd(), _options(None, None, address))), must_exist=True)


def codec_of_settings() -> Codec:
    """Return the codec of the settings. No Kafka is needed."""
    return Codec(schemas(load(os.environ, Path.cwd()).settings))


def _options(
    bootstrap: str | None, prefix: str | None, store: str | None, sign_key: str | None = None
) -> dict[str, Option]:
    given = {
        "bootstrap_servers": ("--bootstrap", bootstrap),
        "topic_prefix": ("--prefix", prefix),
        "store_url": ("--store", store),
        "sign_key_file": ("--sign-key", sign_key),
    }
    return {field: Option(name, value) for field, (name, value) in given.items() if value is not None}


def _told(loaded: Loaded) -> Settings:
    for warning in loaded.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    for note in loaded.notes:
        print(f"note: {note}", file=sys.stderr)
    return loaded.settings


def time_ms(option: str, text: str | None) -> int | None:
    """Return the time that `option` gives, ms since the epoch.

    Raises:
        UsageError: it is no time.
    """
    try:
        return None if text is None else parse_time(text)
    except ValueError:
        raise UsageError(f"{option} is no ISO 8601 time", remedy="such as 2027-01-15 or 2027-01-15T09:00Z") from None


def one_of(option: str, word: str | None, words: tuple[str, ...]) -> str | None:
    """Return `word`, the value of `option`.

    Raises:
        UsageError: it is not one of `words`.
    """
    if word is not None and word not in words:
        raise UsageError(f"{option} cannot be {word}", remedy=f"there are {', '.join(words)}")
    return word
