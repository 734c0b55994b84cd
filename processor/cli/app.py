"""The command `a3cp`: what goes wrong becomes one line and an exit code."""

import errno
import gc
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from typing import Annotated

import typer

from processor.cli.commands import App, Root
from processor.cli.extras import missing_extra
from processor.cli.printing.text import plain
from processor.errors import A3CPError, UsageError
from processor.settings.addresses import masked
from processor.settings.documents import located

EXIT_FAILED = 1
EXIT_INTERRUPTED = 130
_OBJECTS_LOADED = 20_000  # between two looks, instead of 700

app = App(
    "Tag A3CP messages with their session, exactly once, over Kafka.",
    cls=Root,
    name="a3cp",
    epilog=f"\b\na3cp help COMMAND says what it takes, and so does COMMAND -h.\nDocuments: {located('docs/README.md')}",
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(version("a3cp-session-manager"))
        raise typer.Exit


@app.callback()
def _root(
    _version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    pass


@contextmanager
def _told_as_ours() -> Iterator[None]:
    """Turn two errors into ours: a package is not installed, or the Kafka client does not know a property."""
    try:
        yield
    except ModuleNotFoundError as error:
        told: A3CPError | None = missing_extra(error)
        if told is None:
            raise
        raise told from error
    except Exception as error:
        if "confluent_kafka" not in sys.modules:  # Loading it takes a while, and most commands do without.
            raise
        from processor.kafka.failures import usage_error  # noqa: PLC0415

        told = usage_error(error)
        if told is None:
            raise
        raise told from error


def main() -> None:
    """Run the command line: exit code 0 fine, 1 failed, 2 wrong usage; a user's mistake never shows a traceback."""
    # Loading makes many objects that stay: to look among them for garbage, now and at the end, is in vain.
    gc.freeze()
    gc.set_threshold(_OBJECTS_LOADED)
    os.umask(0o077)  # What people said stands in most files that are written: their owner reads them, nobody else.
    try:
        with _told_as_ours():
            sys.exit(app(prog_name="a3cp", standalone_mode=False))
    except A3CPError as error:
        _end(located(str(error)), error.exit_code)
    except typer.TyperException as error:
        _end(_usage_words(error), error.exit_code)
    except UnicodeEncodeError as error:
        if not any("\ud800" <= char <= "\udfff" for argument in sys.argv for char in argument):
            raise
        _end(f"an argument is not UTF-8 ({error.reason}); write it in UTF-8", UsageError.exit_code)
    except BrokenPipeError:
        # The reader, such as `head`, has what it wanted; else the interpreter complains when it flushes at its end.
        sys.stderr.close()
        sys.exit(EXIT_FAILED)
    except OSError as error:
        if error.errno != errno.ENAMETOOLONG:
            raise
        name = str(error.filename)[:60]
        _end(f"no file can have so long a name: {name}…; name another", UsageError.exit_code)
    except (KeyboardInterrupt, typer.Abort):
        sys.exit(EXIT_INTERRUPTED)


def _end(what: str, code: int) -> None:
    print(f"error: {plain(masked(what))}", file=sys.stderr)
    sys.exit(code)


def _usage_words(error: typer.TyperException) -> str:
    """Return what is wrong with the command line in our form: one line, lower case, with where to read more."""
    from processor.settings.wanted import refusal_in_words  # noqa: PLC0415

    error.message = refusal_in_words(error.__cause__) or error.message
    words = " ".join(error.format_message().split()).rstrip(".")
    context = getattr(error, "ctx", None)
    hint = "" if context is None or words.endswith("?") else f"; {context.command_path} --help says what it takes"
    return f"{words[:1].lower()}{words[1:]}{hint}"
