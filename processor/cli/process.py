"""`a3cp process`: the processor itself."""

from typing import Annotated

import typer

from processor.errors import A3CPError
from processor.processes.signals import leave_on_signals


def process(
    workers: Annotated[
        str | None,
        typer.Option(
            "--workers", metavar="N|auto", show_default="A3CP_WORKERS, else 1",
            help="Worker processes; auto: one a core, at most one a partition.",
        ),
    ] = None,
    supervised: Annotated[bool, typer.Option("--supervised", hidden=True, help="Given by the supervisor.")] = False,
) -> None:  # fmt: skip
    """Tag the messages of a3cp.raw, exactly once, until stopped.

    Ctrl-C and SIGTERM stop it.

    Exit codes: 0 stopped, 1 failed, 2 wrong usage.
    """
    leave_on_signals()  # Before all that takes a while to load.
    from processor.observe.logs import log_of
    from processor.processes.collecting import tune_garbage_collection
    from processor.processes.worker.spare import await_told
    from processor.processes.worker.supervisor import run_workers
    from processor.processes.worker.worker import run_worker
    from processor.settings.sources import Option
    from processor.wiring import load_settings

    options = {} if workers is None else {"workers": Option("--workers", workers)}
    first_slot = None
    if supervised:
        tune_garbage_collection()  # It takes a while, and a spare worker has time.
        first_slot, port = await_told()
        options["metrics_port"] = Option("A3CP_METRICS_PORT", str(port))
    loaded = load_settings(options)
    settings = loaded.settings
    count = settings.workers
    try:
        if count == 1:
            run_worker(loaded, first_slot)
        else:
            run_workers(loaded, count)
    except A3CPError as error:  # A service's last word belongs into its log.
        log = log_of("processor", settings)
        if first_slot is not None:
            log = log.bind(slot=first_slot)
        log.error(str(error), operation="stop", error=type(error).__name__)
        raise typer.Exit(error.exit_code) from error
