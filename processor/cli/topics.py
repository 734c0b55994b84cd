"""`a3cp topics`: the topics as their files in topics/ want them."""

from typing import Annotated

import typer

from processor.cli.commands import App
from processor.cli.settings import Bootstrap, Prefix, chosen
from processor.cli.terminal import new_console, new_table
from processor.cli.text import print_json
from processor.kafka import topic_admin
from processor.kafka.topics import Difference, Topic, desired_topics, plan

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
        topic_admin.apply(conf, desired, differences)
    _show(differences, as_json, done=not refused)
    if refused:
        raise typer.Exit(1)


def _differences(
    prefix: str | None, partitions: int | None, replicas: int | None, bootstrap: str | None
) -> tuple[dict[str, str], list[Topic], list[Difference]]:
    settings = chosen(bootstrap, prefix)
    conf = settings.kafka_conf()
    desired = desired_topics(settings.topic_prefix, partitions=partitions, replicas=replicas)
    return conf, desired, plan(desired, topic_admin.read_topics(conf, [topic.name for topic in desired]))


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
