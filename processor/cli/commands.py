"""The commands by name. Each is loaded when it is called, so `a3cp --help` lists them all at once."""

from collections.abc import Callable, Mapping
from difflib import get_close_matches
from importlib import import_module
from typing import Any, Final, NamedTuple, TypeVar

import typer
from typer.core import TyperCommand, TyperGroup

Function = TypeVar("Function", bound=Callable[..., Any])


class Entry(NamedTuple):
    """A command, before its module `processor.cli.NAME` is loaded."""

    line: str  # in the list of commands
    words: tuple[str, ...] = ()  # of a group: its own commands


COMMANDS: Final = {
    "demo": Entry("Run the whole system on a lifelike day, and check it"),
    "up": Entry("Run everything on one machine, and say where it is"),
    "broker": Entry("Start and stop the embedded Kafka", ("up", "down", "status")),
    "topics": Entry("Compare and make the topics as topics/*.yaml want them", ("plan", "apply", "grow", "adopt")),
    "process": Entry("Tag the messages of a3cp.raw, until stopped"),
    "serve": Entry("Serve sessions over HTTP, until stopped"),
    "hooks": Entry("Tell other programs of sessions, until stopped"),
    "keys": Entry("Make keys that sign bundles", ("new",)),
    "token": Entry("Make tokens that a3cp serve lets in", ("new",)),
    "produce": Entry("Send messages from files to a3cp.raw"),
    "session": Entry(
        "Start, end, pause a session: ask, and wait for the outcome",
        ("start", "end", "pause", "resume", "touch", "note", "context", "tag"),
    ),
    "export": Entry("Write what was tagged into the store, and bundles from there"),
    "seal": Entry("Seal the bundles of a day, in a file and in the log"),
    "sessions": Entry("Look at the sessions in the store", ("list", "show", "search", "timeline")),
    "what-if": Entry("Tell which sessions would split or join under other limits"),
    "verify": Entry("Check that bundles are whole and unaltered"),
    "audit": Entry("Prove from the topics that each record has one outcome"),
    "doctor": Entry("Look for what may keep the system from its work"),
    "status": Entry("Say how things stand: topics, workers, lag, exporters"),
    "canary": Entry("Measure how long a message takes to be tagged, until stopped"),
    "tail": Entry("Print the records of a topic as they come"),
    "replay": Entry("Send a session's messages to a topic once more"),
    "retention": Entry("Remove sessions that ended long ago"),
    "erase": Entry("Remove a person, and leave a proof"),
    "state": Entry("Look at what the processor remembers of a user", ("show",)),
    "dlq": Entry("Look at dead letters, and put them back", ("list", "show", "retry")),
}


class Command(TyperCommand):
    """A command whose help names its arguments as manuals do: USER, not {USER} or USER <str>."""

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """Return what follows the command's name in the line of its usage."""
        return [piece.replace("{", "").replace("}", "") for piece in super().collect_usage_pieces(ctx)]

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write the arguments, then the options."""
        for heading, kind in (("Arguments", "argument"), ("Options", "option")):
            params = [param for param in self.get_params(ctx) if param.param_type_name == kind]
            records = [record for param in params if (record := param.get_help_record(ctx)) is not None]
            if kind == "argument":
                records = [(name.partition(" <")[0], text) for name, text in records]
            if records:
                with formatter.section(heading):
                    formatter.write_dl(records)


class Group(TyperGroup):
    """A group of commands. It takes `help COMMAND`, and suggests commands for an unknown word."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Take `help COMMAND` as `COMMAND --help`; without a word print the help."""
        if not args and not ctx.resilient_parsing:
            typer.echo(ctx.get_help(), err=True)
            ctx.exit(2)
        if args[:1] == ["help"]:
            args = [*args[1:], "--help"]
        return super().parse_args(ctx, args)

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        """Return the name, the command and its arguments."""
        if args[0] not in self.commands and not ctx.resilient_parsing:
            meant = _meant(args[0], "" if ctx.parent is None else ctx.info_name, self.commands)
            hint = f"; did you mean {' or '.join(meant)}?" if meant else ""
            ctx.fail(f"no command {args[0]!r} in {ctx.command_path}{hint}")
        return super().resolve_command(ctx, args)


class Root(Group):
    """The group of all commands, each a name and a line until it is called."""

    def __init__(self, **attrs: Any) -> None:
        super().__init__(**attrs)
        for name, entry in COMMANDS.items():
            self.add_command(TyperCommand(name, help=entry.line))

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        """Return the name, the command and its arguments; its module is loaded now."""
        name, _, rest = super().resolve_command(ctx, args)
        return name, None if name is None else load(name), rest


class App(typer.Typer):
    """Commands with plain help and our hints."""

    def __init__(self, help: str | None = None, *, cls: type[TyperGroup] = Group, **more: Any) -> None:  # noqa: A002
        super().__init__(cls=cls, help=help, rich_markup_mode=None, pretty_exceptions_enable=False, **more)

    def command(self, name: str | None = None, **more: Any) -> Callable[[Function], Function]:
        """Return the decorator that adds a command."""
        return super().command(name, cls=Command, **more)


def load(name: str) -> TyperCommand | TyperGroup:
    """Return the command `name`: the module's `app` if it is a group, else its function of this name."""
    function = name.replace("-", "_")
    module = import_module(f"processor.cli.{function}")
    app: App | None = getattr(module, "app", None)
    if app is not None:
        return typer.main.get_group(app)
    app = App(add_completion=False)
    app.command(name)(getattr(module, function))
    command = typer.main.get_command(app)
    assert isinstance(command, TyperCommand)
    return command


def _meant(word: str, group: str, own: Mapping[str, Any]) -> list[str]:
    """Return the commands that may be meant by `word` in `group`: those spelt alike, or of this name elsewhere."""
    start = f"a3cp {group}".strip()
    meant = [f"{start} {name}" for name in get_close_matches(word, own)]
    groups = [other for other, entry in COMMANDS.items() if word in entry.words and other != group]
    if word in COMMANDS:
        meant.append(f"a3cp {word}")
    like = get_close_matches(group, groups, len(groups) or 1) if group else groups
    return meant + [f"a3cp {other} {word}" for other in like or groups]
