"""`a3cp serve`: sessions over HTTP."""

import os
from pathlib import Path
from typing import Annotated

import typer

from processor.cli.arguments.settings import Store
from processor.cli.extras import require
from processor.processes.signals import leave_on_signals
from processor.settings.sources import Option, load


def serve(
    *,
    host: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS", show_default="A3CP_SERVE_HOST, else 127.0.0.1",
            help="Address to listen on; another than loopback needs tokens.",
        ),
    ] = None,
    port: Annotated[
        int | None,
        typer.Option(
            metavar="PORT", min=0, max=65535, show_default="A3CP_SERVE_PORT, else 8080",
            help="Port to listen on; 0 takes a free one.",
        ),
    ] = None,
    store: Store = None,
    bundles: Annotated[
        str | None, typer.Option(metavar="ROOT", help="Where a3cp export --to writes bundles.")
    ] = None,
    openapi: Annotated[bool, typer.Option("--openapi", help="Print the OpenAPI document, and stop.")] = False,
) -> None:  # fmt: skip
    """Serve sessions over HTTP, until stopped.

    Commands go to a3cp.raw, reads come from the output topics and the store. It starts and lives without Kafka: then
    it says so. Ctrl-C and SIGTERM stop it.

    Exit codes: 0 stopped, 1 failed, 2 wrong usage.
    """
    leave_on_signals()  # Before all that takes a while to load.
    require("serve")
    if openapi:
        from processor.faces.app import make_app  # noqa: PLC0415
        from processor.faces.describing import openapi_text  # noqa: PLC0415

        print(openapi_text(make_app(None)), end="")
        return
    from processor.processes.service.serve import run_service  # noqa: PLC0415  # FastAPI takes half a second to load.

    given = {"serve_host": ("--host", host), "serve_port": ("--port", port), "store_url": ("--store", store)}
    options = {field: Option(name, str(value)) for field, (name, value) in given.items() if value is not None}
    run_service(load(os.environ, Path.cwd(), options), bundles_root=bundles)
