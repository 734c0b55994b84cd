"""`a3cp broker`: a real Kafka for one machine, without Docker or Java installed."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from processor import broker
from processor.broker import BrokerInfo
from processor.cli.commands import App
from processor.cli.printing.terminal import progress_bar
from processor.cli.printing.text import print_json

app = App("The embedded Kafka: start it, stop it, look whether it runs.")

DataDir = Annotated[
    Path | None,
    typer.Option(
        "--data-dir", metavar="DIR", envvar="A3CP_BROKER_DIR", help="Where its data is; default: a folder of this user."
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


@app.command()
def up(
    port: Annotated[
        int | None,
        typer.Option(
            "--port",
            metavar="N",
            min=1,
            max=65535,
            help="Listen here, on 127.0.0.1; default: as last time, or any free port.",
        ),
    ] = None,
    data_dir: DataDir = None,
    nodes: Annotated[
        int | None,
        typer.Option(
            "--nodes", metavar="N", help="1 or 3: three nodes keep three copies of all. Default: as last time, or 1."
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Start Kafka, and wait until it takes work.

    Where it runs already, that is fine. The first start fetches 45 MB once.
    """
    console = Console(stderr=True, highlight=False)
    before = broker.status(data_dir)
    with progress_bar("fetching Kafka, once", console=console) as show:
        info = broker.up(port, data_dir, nodes=nodes, say=lambda text: console.print(f"{text} ..."), progress=show)
    started = before != info
    if as_json:
        print_json({**_fields(info), "started": started})
        return
    _show(info, "running" if started else "running already")
    if started:
        named = f"KAFKA_BOOTSTRAP_SERVERS={info.bootstrap}"
        is_found = broker.bootstrap_of_running() == info.bootstrap  # Another folder's is not looked for.
        print(f"a3cp commands find it by themselves; for others: {named}" if is_found else f"now type: export {named}")
        if info.nodes:
            print("three nodes; topics with three copies are made with: a3cp topics apply --replicas 3")
        copies = "three copies on one disk" if info.nodes else "one node, one copy of the data"
        print(f"{copies}: for trying out and testing; what this disk loses is lost")


@app.command()
def down(data_dir: DataDir = None, as_json: Json = False) -> None:
    """Stop Kafka cleanly. Its data stays for the next start."""
    stopped = broker.down(data_dir)
    if as_json:
        print_json({"stopped": stopped})
    else:
        print("stopped" if stopped else "not running")


@app.command()
def status(data_dir: DataDir = None, as_json: Json = False) -> None:
    """Say whether Kafka runs, and where.

    Exit code 1: it does not run.
    """
    info = broker.status(data_dir)
    if as_json:
        print_json({"running": info is not None, **(_fields(info) if info else {})})
    elif info:
        _show(info, "running")
    else:
        print("not running; a3cp broker up starts it")
    if info is None:
        raise typer.Exit(1)


def _show(info: BrokerInfo, word: str) -> None:
    if not info.nodes:
        print(f"{word} at {info.bootstrap} (process {info.pid}, data in {info.data_dir}, log {info.log_file})")
        return
    print(f"{word} at {info.bootstrap}")
    told = {node.bootstrap: f"process {node.pid}, data in {node.data_dir}" for node in info.nodes}
    for address in info.bootstrap.split(","):
        print(f"  {address}: {told.get(address, 'not running')}")


def _fields(info: BrokerInfo) -> dict[str, object]:
    fields: dict[str, object] = {
        "bootstrap": info.bootstrap,
        "pid": info.pid,
        "data_dir": str(info.data_dir),
        "log_file": str(info.log_file),
    }
    return {**fields, "nodes": [_fields(node) for node in info.nodes]} if info.nodes else fields
