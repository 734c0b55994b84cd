"""`a3cp what-if`: what other limits would make of stored sessions."""

import os
import re
from contextlib import closing
from pathlib import Path
from typing import Annotated, Final

import typer

from processor.cli.arguments.settings import Json, Store, codec_of_settings, stored, time_ms
from processor.cli.printing.text import print_json, when
from processor.core.model import DAY_MS, HOUR_MS
from processor.errors import UsageError
from processor.sessions.forms.jsonforms import what_if_fields
from processor.sessions.ports import SessionFilter
from processor.sessions.what_if import OtherLimits, WhatIf, histories, policy_of
from processor.sessions.what_if import what_if as answer_of
from processor.settings.sources import load
from processor.upstream.words.counting import counted
from processor.upstream.words.ids import plain_id

_UNITS_MS: Final = {"ms": 1, "s": 1_000, "m": 60_000, "min": 60_000, "h": HOUR_MS, "d": DAY_MS}
_length: Final = re.compile(r"(\d{1,12})(ms|s|min|m|h|d)").fullmatch


def what_if(
    *,
    gap: Annotated[
        str | None, typer.Option("--gap", metavar="LENGTH", help="Another session gap: 15m, 2h, 1d.")
    ] = None,
    pause: Annotated[
        str | None, typer.Option("--pause", metavar="LENGTH", help="How long a session may stay paused instead.")
    ] = None,
    longest: Annotated[str | None, typer.Option("--max", metavar="LENGTH", help="Another longest session.")] = None,
    user: Annotated[str | None, typer.Option("--user", metavar="USER", help="Only this person's sessions.")] = None,
    since: Annotated[
        str | None, typer.Option("--since", metavar="TIME", help="Only sessions that started then or later, ISO 8601.")
    ] = None,
    store: Store = None,
    as_json: Json = False,
) -> None:
    """Tell which stored sessions would split or join under other limits. Nothing is changed.

    The processor's rules run over the stored messages once more, and over the commands as their outcome events tell
    them. The limits of templates and users go before these, as always.
    """
    limits = OtherLimits(_ms("--gap", gap), _ms("--max", longest), _ms("--pause", pause))
    if limits == OtherLimits():
        raise UsageError("no other limit is given", remedy="give --gap, --pause or --max, such as --gap 15m")
    since_ms = time_ms("--since", since)
    rules = load(os.environ, Path.cwd()).settings.rules()
    with closing(stored(store)) as opened:
        found = histories(opened.reader, SessionFilter(owner=user, since_ms=since_ms), policy_of(codec_of_settings()))
        told = answer_of(found, rules, limits, since_ms=since_ms or 0)
    if as_json:
        print_json(what_if_fields(told))
    else:
        _tell(told)


def _tell(told: WhatIf) -> None:
    print(
        f"{counted(told.sessions, 'session')} would be {told.would_be:,}: {told.split:,} split, "
        f"{told.joined:,} by joining"
    )
    for split in told.splits:
        parts = ", ".join(
            f"{count} from {when(start_ms)}" for start_ms, count in zip(split.starts_ms, split.messages, strict=True)
        )
        print(f"split  {split.session_id} of {plain_id(split.user_id)}: messages {parts}")
    for join in told.joins:
        print(f"join   {', '.join(join.session_ids)} of {plain_id(join.user_id)}: {counted(join.messages, 'message')}")
    if told.not_repeated:
        print(
            f"{counted(told.not_repeated, 'record was', 'records were')} processed with other "
            "rules than those of now: this is not exact"
        )
    print(f"commands are known from their {told.commands_from}; refused ones are left out")


def _ms(option: str, text: str | None) -> int | None:
    """Return the length that `option` gives, ms.

    Raises:
        UsageError: it is none.
    """
    if text is None:
        return None
    found = _length(text)
    if found is None or not int(found[1]):
        raise UsageError(f"{option} {text!r} is no length of time", remedy="such as 90s, 15m, 2h or 1d")
    return int(found[1]) * _UNITS_MS[found[2]]
