"""`a3cp token`: who may come in."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from processor.cli.commands import App
from processor.cli.extras import require
from processor.cli.printing.text import quoted
from processor.codec.oddities import fault_of_id
from processor.errors import UsageError
from processor.settings.sources import load

if TYPE_CHECKING:
    from processor.faces.auth.doors import Role

app = App("Make tokens that a3cp serve lets in.")


@app.callback()
def _token() -> None:
    pass


@app.command()
def new(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Whose it is, for the log: a program or a post.")],
    *,
    role: Annotated[str, typer.Option(metavar="ROLE", help="producer, reviewer or operator.")],
    users: Annotated[str, typer.Option(metavar="USERS", help="Whose sessions it sees: ids with commas, or '*'.")],
    file: Annotated[
        Path | None,
        typer.Option(metavar="FILE", show_default="A3CP_SERVE_TOKENS_FILE", help="The file of tokens; made if new."),
    ] = None,
) -> None:
    """Make a token, and print it once: the file holds only its hash.

    A service that runs lets it in within a second. To take it back, remove its entry from the file.
    """
    require("serve")
    from processor.client.commands import ANOTHER_ID  # noqa: PLC0415
    from processor.faces.auth.doors import ROLES  # noqa: PLC0415
    from processor.faces.auth.tokens import add_token  # noqa: PLC0415

    named = load(os.environ, Path.cwd()).settings.serve_tokens_file
    path = file or (Path(named) if named else None)
    if path is None:
        raise UsageError("no file of tokens is named", remedy="add --file, or set A3CP_SERVE_TOKENS_FILE")
    chosen: Role | None = next((known for known in ROLES if known == role), None)
    if chosen is None:
        raise UsageError(f"no role {role}", remedy=f"there are {', '.join(ROLES)}")
    owners = frozenset(user.strip() for user in users.split(",") if user.strip())
    if not owners:
        raise UsageError("--users is empty", remedy="name the users, or '*' for all")
    for owner in owners:
        if fault := fault_of_id(owner):
            raise UsageError(f"--users: {quoted([owner])} {fault}", remedy=ANOTHER_ID)
    print(add_token(path, name, chosen, owners))
