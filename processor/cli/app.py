"""Puts the command groups together, and turns what goes wrong into one line and an exit code."""

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from typing import Annotated

import typer

from processor.cli import broker, dlq, session, sessions, state, topics
from processor.cli.audit import audit
from processor.cli.demo import demo
from processor.cli.erase import erase
from processor.cli.export import export
from processor.cli.extras import missing_extra
from processor.cli.process import process
from processor.cli.produce import produce
from processor.cli.replay import replay
from processor.cli.retention import retention
from processor.cli.terminal import plain
from processor.cli.timeline import timeline
from processor.cli.verify import verify
from processor.errors import A3CPError, UsageError
from processor.settings.addresses import masked
from processor.settings.documents import located

EXIT_FAILED = 1
EXIT_INTERRUPTED = 130

app = typer.Typer(
    name="a3cp",
    help="Tag A3CP messages with their session, exactly once, over Kafka.",
    epilog=f"\b\nDocuments: {located('docs/README.md')}",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
app.add_typer(broker.app, name="broker")
app.add_typer(topics.app, name="topics")
app.add_typer(session.app, name="session")
sessions.app.command()(timeline)
app.add_typer(sessions.app, name="sessions")
app.add_typer(state.app, name="state")
app.add_typer(dlq.app, name="dlq")
app.command()(process)
app.command()(produce)
app.command()(export)
app.command()(verify)
app.command()(audit)
app.command()(replay)
app.command()(retention)
app.command()(erase)
app.command()(demo)


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
    """Make our errors of a package that is not installed, and of what the Kafka client raises by itself.

    The latter is so for a property that the client does not know.
    """
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
        from processor.kafka.failures import usage_error

        told = usage_error(error)
        if told is None:
            raise
        raise told from error


def main() -> None:
    """Run the command line: exit code 0 fine, 1 failed, 2 wrong usage; a user's mistake never shows a traceback."""
    os.umask(0o077)  # What people said stands in most files that are written: their owner reads them, nobody else.
    try:
        with _told_as_ours():
            app()
    except A3CPError as error:
        print(f"error: {plain(located(masked(str(error))))}", file=sys.stderr)
        sys.exit(error.exit_code)
    except UnicodeEncodeError as error:
        if not any("\ud800" <= char <= "\udfff" for argument in sys.argv for char in argument):
            raise
        print(f"error: an argument is not UTF-8 ({error.reason}); write it in UTF-8", file=sys.stderr)
        sys.exit(UsageError.exit_code)
    except BrokenPipeError:
        # The reader, such as `head`, has what it wanted; else the interpreter complains when it flushes at its end.
        sys.stderr.close()
        sys.exit(EXIT_FAILED)
    except OSError as error:
        if error.errno != errno.ENAMETOOLONG:
            raise
        name = plain(str(error.filename)[:60])
        print(f"error: no file can have so long a name: {name}…; name another", file=sys.stderr)
        sys.exit(UsageError.exit_code)
    except KeyboardInterrupt:
        sys.exit(EXIT_INTERRUPTED)
