"""`a3cp canary`: measure how long a message takes to be tagged."""

from typing import Annotated

import typer

from processor.cli.arguments.settings import Bootstrap, MetricsPort, Prefix, chosen
from processor.processes.canary import run_canary
from processor.processes.signals import leave_on_signals


def canary(
    *,
    bootstrap: Bootstrap = None,
    prefix: Prefix = None,
    every: Annotated[
        float, typer.Option(metavar="SECONDS", min=0.1, help="How often each partition gets a message.")
    ] = 10,
    metrics_port: MetricsPort = None,
) -> None:
    """Send a message to each partition every few seconds, and measure until it is tagged, until stopped.

    The messages are of no person: they open no session, leave no state, and are not exported.

    Exit codes: 0 stopped, 1 failed, 2 wrong usage.
    """
    leave_on_signals()
    run_canary(chosen(bootstrap, prefix), every, metrics_port)
