"""`a3cp broker`: a real Kafka for one machine, without Docker or Java installed."""

from pathlib import Path
from typing import Annotated

import typer

from processor.broker import BrokerInfo
from processor.cli.terminal import print_json

app = typer.Typer(help="The embedded Kafka: start it, stop it, look whether it runs.", no_args_is_help=True)

DataDir = Annotated[
    Path | None,
    typer.Option("--data-dir", envvar="A3CP_BROKER_DIR", help="Where its data is; default: a folder of this user."),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


@app.command()
def up(
    port: Annotated[
        int | None,
        typer.Option(
            "--port", min=1, max=65535, help="Listen here, on 127.0.0.1; default: as last time, or any free port."
        ),
    ] = None,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Start Kafka and wait until it takes work; where it runs already, say so. The first start fetches 45 MB once."""
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    from processor import broker

    console = Console(stderr=True, highlight=False)
    before = broker.status(data_dir)
    bar = Progress(
        TextColumn("fetching Kafka, once"), BarColumn(), DownloadColumn(), TimeRemainingColumn(), console=console
    )
    task = bar.add_task("fetch", total=None)

    def progress(done: int, total: int) -> None:
        bar.start()
        bar.update(task, completed=done, total=total)

    try:
        info = broker.up(port, data_dir, say=lambda text: bar.console.print(f"{text} ..."), progress=progress)
    finally:
        if bar.live.is_started:  # Else it would print an empty line.
            bar.stop()
    if as_json:
        print_json({**_fields(info), "started": before is None})
        return
    word = "running already" if before else "running"
    print(f"{word} at {info.bootstrap} (process {info.pid}, data in {info.data_dir})")
    if before is None:
        print("a3cp commands find it by themselves; for others: KAFKA_BOOTSTRAP_SERVERS=" + info.bootstrap)
        print("one node, one copy of the data: for trying out and testing; what this disk loses is lost")


@app.command()
def down(data_dir: DataDir = None, as_json: Json = False) -> None:
    """Stop Kafka cleanly; its data stays for the next start."""
    from processor import broker

    stopped = broker.down(data_dir)
    if as_json:
        print_json({"stopped": stopped})
    else:
        print("stopped" if stopped else "not running")


@app.command()
def status(data_dir: DataDir = None, as_json: Json = False) -> None:
    """Say whether Kafka runs, and where; exit code 1 when it does not."""
    from processor import broker

    info = broker.status(data_dir)
    if as_json:
        print_json({"running": info is not None, **(_fields(info) if info else {})})
    elif info:
        print(f"running at {info.bootstrap} (process {info.pid}, data in {info.data_dir}, log {info.log_file})")
    else:
        print("not running; a3cp broker up starts it")
    if info is None:
        raise typer.Exit(1)


def _fields(info: BrokerInfo) -> dict[str, str | int]:
    return {
        "bootstrap": info.bootstrap,
        "pid": info.pid,
        "data_dir": str(info.data_dir),
        "log_file": str(info.log_file),
    }
