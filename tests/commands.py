"""All commands of `a3cp`, by their names."""

from collections.abc import Iterator
from typing import Any

from processor.cli.commands import COMMANDS, load


def commands() -> Iterator[tuple[str, Any]]:
    for name in COMMANDS:
        command = load(name)
        for word, inner in getattr(command, "commands", {"": command}).items():
            yield f"a3cp {name} {word}".strip(), inner


ALL_COMMANDS = dict(commands())
