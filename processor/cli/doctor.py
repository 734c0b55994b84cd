"""`a3cp doctor`: what may keep the system from its work, and what to do."""

from typing import Annotated

import typer

from processor.cli.arguments.settings import Bootstrap, Json, Prefix, Store, chosen
from processor.cli.printing.text import plain, print_json


def doctor(
    *,
    to: Annotated[
        list[str] | None,
        typer.Option("--to", metavar="ROOT", help="Also a root of bundles that is not used yet; may be repeated."),
    ] = None,
    store: Store = None,
    bootstrap: Bootstrap = None,
    prefix: Prefix = None,
    as_json: Json = False,
) -> None:
    """Look for what may keep the system from its work: a line a check, with what to do.

    Exit codes: 0 nothing is wrong, 1 something is, 2 wrong usage.
    """
    from processor.doctor import State, examine  # noqa: PLC0415  # With all adapters it takes a while to load.

    settings = chosen(bootstrap, prefix, store)
    is_wrong = False
    told = []
    for finding in examine(settings, to or []):
        is_wrong |= finding.state is State.WRONG
        told.append({**finding._asdict(), "state": finding.state.value})
        if not as_json:
            word = "WRONG" if finding.state is State.WRONG else finding.state.value
            words = f"{finding.what}; {finding.remedy}" if finding.remedy else finding.what
            print(f"{word:6} {finding.check:17} {plain(words)}", flush=True)
    if as_json:
        print_json({"well": not is_wrong, "checks": told})
    if is_wrong:
        raise typer.Exit(1)
