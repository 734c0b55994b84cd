"""`a3cp keys`: the keys that sign bundles."""

from pathlib import Path
from typing import Annotated

import typer

from processor.cli.commands import App

app = App("Make keys that sign bundles.")


@app.callback()
def _keys() -> None:
    pass


@app.command()
def new(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Where the private key goes; the public one: FILE.pub.")],
) -> None:
    """Make a pair of Ed25519 keys, and print their id.

    Keep FILE secret: a3cp export --sign-key FILE signs with it. Give FILE.pub to those who verify.
    """
    from processor.bundles.keys import make_keys  # noqa: PLC0415  # Of an extra.

    print(make_keys(file))
