"""`a3cp seal`: what bundles there are when a day has ended, so that nobody can change them unseen."""

from contextlib import closing
from typing import Annotated

import msgspec
import typer

from processor.cli.arguments.settings import Bootstrap, Json, Prefix, SignKey, Store, chosen
from processor.cli.extras import require
from processor.cli.printing.text import print_json
from processor.codec.isotime import parse_time, wall_ms
from processor.core.model import DAY_MS
from processor.errors import UsageError
from processor.removal.roots import targets_of
from processor.targets.paths import date_part, is_date_part
from processor.upstream.words.counting import counted
from processor.wiring import recognise, sealer_of, store_of


def seal(
    root: Annotated[str, typer.Argument(metavar="ROOT", help="The folder that a3cp export writes to, or fsspec URL.")],
    *,
    day: Annotated[
        str | None, typer.Option("--day", metavar="DATE", help="The day, UTC.", show_default="yesterday")
    ] = None,
    sign_key: SignKey = None,
    store: Store = None,
    bootstrap: Bootstrap = None,
    prefix: Prefix = None,
    as_json: Json = False,
) -> None:
    """Seal the bundles that no seal has yet: in a file below ROOT, and as a record in the log.

    A day that is sealed keeps its seal. a3cp export --seal does it by itself.
    """
    require("export")
    wanted = date_part(wall_ms() - DAY_MS) if day is None else _day(day)
    settings, (target,) = chosen(bootstrap, prefix, store, sign_key), targets_of([root])
    with closing(store_of(settings, must_exist=True)) as opened:
        recognise(opened, settings)
        made = sealer_of(settings, opened, target).seal(wanted)
    if as_json:
        print_json({**msgspec.to_builtins(made.seal), "position": made.position})
    else:
        print(
            f"sealed {made.seal.day}: {counted(made.seal.leaves, 'leaf', 'leaves')}, root "
            f"{made.seal.root}, {made.position}"
        )


def _day(text: str) -> str:
    try:
        if is_date_part(text):
            parse_time(f"{text}T00:00:00Z")
            return text
    except ValueError:
        pass
    raise UsageError("--day is no date", remedy="such as 2027-01-15")
