"""`a3cp topics`: the topics as their files in topics/ want them."""

from functools import partial
from typing import Annotated, Final

import typer

from processor.cli.arguments.settings import Bootstrap, Prefix, chosen
from processor.cli.commands import App
from processor.cli.printing.terminal import new_console, new_table
from processor.cli.printing.text import print_json
from processor.errors import UsageError
from processor.kafka.stopped.adopting import adopt
from processor.kafka.stopped.growing import Growing, Growth
from processor.kafka.topics import admin
from processor.kafka.topics.desired import Difference, Topic, check_partitions
from processor.upstream.words.counting import counted
from processor.wiring import log_conf

WAITING_MS_MAX: Final = 300_000  # for which raw records may have waited when users move; never half of a session's gap

app = App("The topics as code: what differs from topics/*.yaml, and the making of it.")

Partitions = Annotated[
    int | None,
    typer.Option("--partitions", metavar="N", min=1, help="Partitions of each topic; default: as in the files."),
]
Replicas = Annotated[
    int | None,
    typer.Option(
        "--replicas", metavar="N", min=1, help="Copies of each partition; in production 3. Default: as in the files."
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON: a list of differences.")]


@app.command("plan")
def plan_command(
    prefix: Prefix = None,
    partitions: Partitions = None,
    replicas: Replicas = None,
    bootstrap: Bootstrap = None,
    as_json: Json = False,
) -> None:
    """Show what apply would do.

    Exit code 1: it would refuse something.
    """
    _conf, _desired, differences = _differences(prefix, partitions, replicas, bootstrap)
    _show(differences, as_json, done=False)
    if any(difference.action.value == "refuse" for difference in differences):
        raise typer.Exit(1)


@app.command("apply")
def apply_command(
    prefix: Prefix = None,
    partitions: Partitions = None,
    replicas: Replicas = None,
    bootstrap: Bootstrap = None,
    as_json: Json = False,
) -> None:
    """Make missing topics and set what differs.

    Nothing at all is done when something would shrink or be deleted.
    """
    conf, desired, differences = _differences(prefix, partitions, replicas, bootstrap)
    refused = any(difference.action.value == "refuse" for difference in differences)
    if not refused:
        admin.apply(conf, desired, differences)
    _show(differences, as_json, done=not refused)
    if refused:
        raise typer.Exit(1)


@app.command("grow")
def grow_command(
    partitions: Annotated[
        int, typer.Option("--partitions", metavar="N", min=1, help="How many: a multiple of the present number.")
    ],
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would move.")] = False,
    prefix: Prefix = None,
    bootstrap: Bootstrap = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Give all topics more partitions, and move the users' states.

    Open sessions keep their ids and numbers. Stop all workers before. It may be interrupted, and run again.
    """
    settings = chosen(bootstrap, prefix)
    if settings.reads_another_log:
        raise UsageError(
            f"{settings.raw_topic} is another log, of which this system is only a reader",
            remedy="grow where it is written; then tag it anew with new outputs (docs/operations.md)",
        )
    growing = Growing(log_conf(settings, 0, 0), settings.topics(), partitions)
    if growing.is_done:
        growing.require_offsets()
        growth = Growth(partitions, partitions)
    elif dry_run:
        growth = growing.look()
    else:
        waiting_ms_max = min(WAITING_MS_MAX, settings.rules().gap_ms // 2)
        growth = growing.grow(waiting_ms_max=waiting_ms_max, on_step=partial(_tell_step, as_json=as_json))
    if as_json:
        print_json(growth._asdict())
    else:
        _tell_growth(growth, settings.group_id, dry_run=dry_run)


@app.command("adopt")
def adopt_command(
    *,
    prefix: Prefix = None,
    bootstrap: Bootstrap = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Go on with topics that a mirror of another cluster has filled.

    All that is in them must have been processed there, and no worker may run here.
    """
    settings = chosen(bootstrap, prefix)
    names = settings.topics()
    counts = admin.count_partitions(settings.kafka_conf(), names)
    check_partitions(Topic(name, count, 0, {}) for name, count in counts.items())
    taken = adopt(log_conf(settings, 0, counts[names.raw]), names)
    if as_json:
        print_json(taken._asdict())
    else:
        print(f"adopted: the group {settings.group_id} goes on behind {counted(taken.raw, 'offset')} of {names.raw}")
        print(f"  with the states of {counted(taken.users, 'user')}, in {counted(taken.partitions, 'partition')}")


def _tell_step(words: str, *, as_json: bool) -> None:
    if not as_json:
        print(f"{words} ...", flush=True)


def _tell_growth(growth: Growth, group_id: str, *, dry_run: bool) -> None:
    if growth.before == growth.after:
        print(f"the topics have {counted(growth.after, 'partition')} already")
        return
    verb = "would get" if dry_run else "have got"
    print(f"the topics {verb} {counted(growth.after, 'partition')}, from {growth.before}")
    if growth.is_begun:
        print("  the states had moved already: an earlier run was interrupted")
    else:
        print(f"  {growth.moving:,} of {counted(growth.users, 'user')} {'would move' if dry_run else 'have moved'}")
    if growth.waiting:
        print(
            f"  {counted(growth.waiting, 'offset')} of raw to process, "
            f"{growth.waiting_ms / 1000:,.1f} s from first to newest"
        )
    if not dry_run:
        print("start the workers now; start exporters anew")
    elif growth.is_at_work:
        print(f"  in the way: workers of the group {group_id} run; stop all of them first")


def _differences(
    prefix: str | None, partitions: int | None, replicas: int | None, bootstrap: str | None
) -> tuple[dict[str, str], list[Topic], list[Difference]]:
    settings = chosen(bootstrap, prefix)
    conf = settings.kafka_conf()
    return conf, *admin.compare(conf, settings.topic_prefix, partitions=partitions, replicas=replicas)


def _show(differences: list[Difference], as_json: bool, *, done: bool) -> None:
    if as_json:
        fields = ("topic", "subject", "actual", "desired", "remedy")
        listed = [
            {**{field: getattr(difference, field) for field in fields}, "action": difference.action.value}
            for difference in differences
        ]
        print_json(listed)
        return
    if not differences:
        print("the topics are as their files want them")
        return
    table = new_table("topic", "what", "is", "should be", "done" if done else "to do")
    words = {"create": "created", "set": "set"} if done else {"create": "create", "set": "set", "refuse": "refused"}
    for difference in differences:
        word = words[difference.action.value]
        table.add_row(difference.topic, difference.subject, difference.actual or "-", difference.desired, word)
    new_console().print(table)
    refused: dict[tuple[str, str], list[str]] = {}
    for difference in differences:
        if difference.remedy:
            refused.setdefault((difference.subject, difference.remedy), []).append(difference.topic)
    for (subject, remedy), names in refused.items():
        print(f"refused: {subject} of {', '.join(names)}: {remedy}")
    if refused:
        print("nothing is changed while something is refused")
