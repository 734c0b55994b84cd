"""`a3cp up`: everything on one machine."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from processor.cli.extras import require
from processor.cli.printing.terminal import program
from processor.processes.signals import leave_on_signals
from processor.settings.sources import Option, load

if TYPE_CHECKING:
    from processor.processes.up import Place

_DATA_DIR: Final = Path("a3cp-data")


def up(
    *,
    port: Annotated[
        int | None,
        typer.Option(
            metavar="PORT", min=0, max=65535, show_default="A3CP_SERVE_PORT, else 8080",
            help="Port of the service; 0 takes a free one.",
        ),
    ] = None,
    data_dir: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", show_default="a3cp-data, or the demo's a3cp-demo",
            help="Where all of it is kept, Kafka's data too.",
        ),
    ] = None,
) -> None:  # fmt: skip
    """Run everything on one machine, until Ctrl-C or SIGTERM.

    That is Kafka (the embedded one, unless another is named), the topics, the processor, the exporter with bundles, and
    the service. It says where everything is. A part that dies is started again.

    Exit codes: 0 stopped, 1 failed, 2 wrong usage.
    """
    leave_on_signals()
    require("broker", "export", "serve")
    from processor.processes.up import run_all  # noqa: PLC0415  # It needs all three.

    options = {} if port is None else {"serve_port": Option("--port", str(port))}
    settings = load(os.environ, Path.cwd(), options).settings
    place = _place(data_dir, settings.topic_prefix)
    run_all(settings, place, port=settings.serve_port, program=program(), say=lambda words: print(words, flush=True))


def _place(data_dir: Path | None, prefix: str) -> "Place":
    """Return where everything is kept: in `data_dir`, Kafka's data too.

    Without one it is `a3cp-data` here, with the user's own embedded Kafka; or the demo's folder, if a demo has run here
    and there is no `a3cp-data` yet. A demo's folder goes with the demo's topics, in the Kafka where they are.
    """
    from processor.demo.exported import DEMO_DIR, marked_prefix  # noqa: PLC0415
    from processor.processes.up import Place  # noqa: PLC0415

    folder = data_dir or (DEMO_DIR if marked_prefix(DEMO_DIR) and not _DATA_DIR.exists() else _DATA_DIR)
    demo = marked_prefix(folder)
    return Place(folder, None if data_dir is None or demo else folder / "kafka", demo or prefix)
