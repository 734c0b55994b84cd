"""`a3cp demo`: the whole system on a lifelike day."""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from processor import broker
from processor.cli.extras import require
from processor.cli.printing.terminal import program, progress_bar
from processor.cli.printing.text import print_json

PIPE_WIDTH = 110


def demo(
    *,
    prefix: Annotated[
        str | None,
        typer.Option(
            "--prefix", metavar="NAME", help="Start of the demo's topics, which are deleted and made anew: a3cp-demo…."
        ),
    ] = None,
    messages: Annotated[
        list[Path] | None,
        typer.Option("--messages", metavar="FILE", help="A file of JSON lines to send besides; may come repeatedly."),
    ] = None,
    out: Annotated[
        Path,
        typer.Option(
            "--out", metavar="DIR", help="A folder for the sessions' store and bundles; the last demo's go first."
        ),
    ] = Path("a3cp-demo"),
    replicas: Annotated[
        int | None,
        typer.Option(
            "--replicas", metavar="N", min=1, help="Copies of each partition, where your Kafka wants more than one."
        ),
    ] = None,
    down: Annotated[
        bool, typer.Option("--down", help="Stop the embedded Kafka at the end, when the demo has started it.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object; what is being done goes to standard error.")
    ] = False,
) -> None:
    """Run the whole system on a lifelike day, and check it.

    Kafka, topics, messages, the processor, bundles, a readable table: nothing else is needed.
    It uses the Kafka that KAFKA_BOOTSTRAP_SERVERS or a3cp.toml names, else the embedded one, which goes on running.
    Exit code 1 when anything that was promised is not so.
    """
    require("broker", "export")
    from processor.demo import report, run  # noqa: PLC0415  # They need both.

    console = _console(stderr=as_json)
    shown = run.run_demo(
        report.Steps(console, progress_bar), prefix=prefix, files=messages or [], out=out, replicas=replicas
    )
    stopped = down and shown.started_broker and broker.down()
    if as_json:
        print_json(report.as_json(shown))
    else:
        report.show(shown, console, program(), broker_runs=shown.broker is not None and not stopped)
    if not all(check.kept for check in shown.checks):
        raise typer.Exit(1)


def _console(*, stderr: bool) -> Console:
    """Return a console that is wide enough in a pipe, where nobody says how wide it is."""
    is_terminal = (sys.stderr if stderr else sys.stdout).isatty()
    width = None if is_terminal or os.environ.get("COLUMNS") else PIPE_WIDTH
    return Console(stderr=stderr, width=width, highlight=False)
