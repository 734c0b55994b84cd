"""`a3cp status`: how things stand, on one screen."""

from typing import Final

import typer
from rich.text import Text

from processor.cli.arguments.settings import Bootstrap, Json, Prefix, chosen
from processor.cli.printing.terminal import new_console, new_table
from processor.cli.printing.text import plain, print_json
from processor.kafka.overview.overview import Overview, PartitionProgress, numbered, overview, troubles
from processor.upstream.words.counting import counted

PARTITIONS_SHOWN: Final = 12  # those with the greatest lag


def status(*, bootstrap: Bootstrap = None, prefix: Prefix = None, as_json: Json = False) -> None:
    """Say how things stand: topics, workers, lag, exporters.

    Exit codes: 0 all is well, 1 something is not, 2 wrong usage.
    """
    settings = chosen(bootstrap, prefix)
    found = overview(settings.kafka_conf(), settings.topics(), settings.group_id)
    wrong = troubles(found)
    if as_json:
        told = {name: [one._asdict() for one in getattr(found, name)] for name in found._fields}
        print_json({"well": not wrong, "troubles": wrong, "group_id": settings.group_id, **told})
    else:
        _show(found, settings.group_id)
        for trouble in wrong:
            print(f"WRONG  {trouble}")
        if not wrong:
            print("all is well")
    if wrong:
        raise typer.Exit(1)


def _show(found: Overview, group_id: str) -> None:
    console = new_console()
    table = new_table("topic", "partitions", "offsets", right=("partitions", "offsets"), folded=("topic",))
    for topic in found.topics:
        table.add_row(Text(topic.name), f"{topic.partitions:,}", f"{topic.offsets:,}")
    console.print(table)
    lag = sum(one.lag for one in found.progress)
    print(f"group {plain(group_id)}: {counted(len(found.workers), 'worker')}, {counted(lag, 'offset')} behind")
    for worker in found.workers:
        print(f"  slot {worker.slot} at {plain(worker.host)}: {numbered(worker.partitions)}")
    if found.progress:
        _show_progress(found.progress)
    print(f"{counted(len(found.exporters), 'exporter')} with --follow")
    for exporter in found.exporters:
        print(f"  {plain(exporter.group_id)} at {plain(exporter.host)}: {numbered(exporter.partitions)}")
    for process in found.hooks:
        print(f"hooks at {plain(process.host)}: {numbered(process.partitions)}")


def _show_progress(progress: tuple[PartitionProgress, ...]) -> None:
    columns = ("partition", "next", "end", "lag")
    table = new_table(*columns, "worker", right=columns)
    most = sorted(progress, key=lambda one: (-one.lag, one.partition))[:PARTITIONS_SHOWN]
    for one in sorted(most):
        worker = "none" if one.slot is None else f"slot {one.slot}"
        state = ", stands still" if one.stands_still else ""
        table.add_row(str(one.partition), f"{one.committed:,}", f"{one.end:,}", f"{one.lag:,}", worker + state)
    new_console().print(table)
    if (hidden := len(progress) - len(most)) > 0:
        print(f"{counted(hidden, 'partition')} more, with no greater lag; --json has them all")
