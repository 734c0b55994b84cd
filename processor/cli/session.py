"""`a3cp session`: ask something of a user's session, and wait for what came of it."""

import json
from typing import TYPE_CHECKING, Annotated, Any, Final, NamedTuple

import typer

from processor.cli.settings import Bootstrap, Json, Prefix, chosen
from processor.cli.terminal import print_json

if TYPE_CHECKING:
    from processor.client import CommandWord, Past

app = typer.Typer(
    help="Start, end, pause, ...: ask, and wait for the outcome.",
    no_args_is_help=True,
)

User = Annotated[str, typer.Argument(help="Whose session: the user's pseudonym.", metavar="USER")]
Performer = Annotated[str | None, typer.Option("--performer", help="Who asks: a pseudonym, or system.")]
Session = Annotated[str | None, typer.Option("--session", help="The session that is meant; default: the open one.")]
Timeout = Annotated[float, typer.Option("--timeout", min=0.1, help="How long to wait for the outcome, seconds.")]

TIMEOUT_S: Final = 30.0
_DONE: Final = {
    "started": "started {session}",
    "ended": "ended {session} ({count}, {length})",
    "paused": "paused {session}",
    "resumed": "resumed {session} (paused for {paused})",
    "note": "noted in {session}",
    "context": "context added to {session}",
}
_UNCHANGED: Final = {
    "already_active": "nothing to do: {session} is open already",
    "already_paused": "nothing to do: {session} is paused already",
    "not_paused": "nothing to do: {session} is not paused",
    "duplicate": "nothing to do: this very command was carried out before",
}


@app.command()
def start(
    user: User,
    *,
    performer: Performer = None,
    training: Annotated[bool, typer.Option("--training", help="The session is training data.")] = False,
    label: Annotated[str | None, typer.Option("--label", help="The intent that the session is to train.")] = None,
    notes: Annotated[str | None, typer.Option("--notes", help="Notes on the session.")] = None,
    template: Annotated[str | None, typer.Option("--template", help="The session template to use.")] = None,
    force_new: Annotated[
        bool, typer.Option("--force-new", help="End the open session, if any, and start anew.")
    ] = False,
    timeout: Timeout = TIMEOUT_S,
    bootstrap: Bootstrap = None,
    prefix: Prefix = None,
    as_json: Json = False,
) -> None:
    """Start a session; where one is open, it stays and is named."""
    arguments = {
        "is_training_data": training,
        "training_intent_label": label,
        "session_notes": notes,
        "template": template,
        "force_new": force_new,
    }
    _ask("start", user, arguments, Asked(performer, None, timeout, bootstrap, prefix, as_json))


@app.command()
def end(
    user: User,
    *,
    performer: Performer = None,
    session: Session = None,
    timeout: Timeout = TIMEOUT_S,
    bootstrap: Bootstrap = None,
    prefix: Prefix = None,
    as_json: Json = False,
) -> None:
    """End the session."""
    _ask("end", user, {}, Asked(performer, session, timeout, bootstrap, prefix, as_json))


@app.command()
def pause(
    user: User,
    *,
    performer: Performer = None,
    session: Session = None,
    timeout: Timeout = TIMEOUT_S,
    bootstrap: Bootstrap = None,
    prefix: Prefix = None,
    as_json: Json = False,
) -> None:
    """Pause the session: messages stay in it, but the time does not count as active."""
    _ask("pause", user, {}, Asked(performer, session, timeout, bootstrap, prefix, as_json))


@app.command()
def resume(
    user: User,
    *,
    performer: Performer = None,
    session: Session = None,
    timeout: Timeout = TIMEOUT_S,
    bootstrap: Bootstrap = None,
    prefix: Prefix = None,
    as_json: Json = False,
) -> None:
    """Resume the paused session."""
    _ask("resume", user, {}, Asked(performer, session, timeout, bootstrap, prefix, as_json))


@app.command()
def note(
    user: User,
    text: Annotated[str, typer.Argument(help="What to note.", metavar="TEXT")],
    *,
    performer: Performer = None,
    session: Session = None,
    timeout: Timeout = TIMEOUT_S,
    bootstrap: Bootstrap = None,
    prefix: Prefix = None,
    as_json: Json = False,
) -> None:
    """Add a note to the session."""
    _ask("note", user, {"session_notes": text}, Asked(performer, session, timeout, bootstrap, prefix, as_json))


@app.command()
def context(
    user: User,
    values: Annotated[
        list[str], typer.Argument(help="What is so now: location=kitchen, or one JSON object.", metavar="NAME=VALUE...")
    ],
    *,
    performer: Performer = None,
    session: Session = None,
    timeout: Timeout = TIMEOUT_S,
    bootstrap: Bootstrap = None,
    prefix: Prefix = None,
    as_json: Json = False,
) -> None:
    """Add context to the session: where it takes place, who is there, what it is about."""
    _ask("context", user, {"context": _context(values)}, Asked(performer, session, timeout, bootstrap, prefix, as_json))


def _context(values: list[str]) -> dict[str, Any]:
    """Return the object that the arguments tell; a value that is JSON is taken as such, else as text."""
    from processor.errors import UsageError

    whole = _json_or_text(values[0]) if len(values) == 1 else None
    if isinstance(whole, dict):
        return whole
    told = {}
    for value in values:
        name, equals, text = value.partition("=")
        if not equals or not name:
            raise UsageError(f"{value!r} is no NAME=VALUE", remedy="for example location=kitchen")
        told[name] = _json_or_text(text)
    return told


def _json_or_text(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


class Asked(NamedTuple):
    """What all of the commands can be told."""

    performer: str | None
    session: str | None
    timeout_s: float
    bootstrap: str | None
    prefix: str | None
    as_json: bool


def _ask(name: "CommandWord", user: str, arguments: dict[str, Any], asked: Asked) -> None:
    import sys

    from processor.cli.terminal import plain
    from processor.client import Past, SessionClient

    settings = chosen(asked.bootstrap, asked.prefix)
    with SessionClient(settings=settings, source="a3cp_cli") as client:
        outcome = client.command(
            user,
            name,
            performer_id=asked.performer,
            session_id=asked.session,
            timeout_s=asked.timeout_s,
            **{key: value for key, value in arguments.items() if value is not None and value is not False},
        )
        needs_past = not outcome.accepted and not asked.as_json and outcome.reason != "user_mismatch"
        past = client.past(user) if needs_past else Past(None, None)
    event = outcome.event
    if asked.as_json:
        from processor.sessions.jsonforms import event_fields

        print_json({"accepted": outcome.accepted, **event_fields(event)})
    elif outcome.accepted:
        words = _UNCHANGED.get(event.reason or "", "{session}") if event.kind == "unchanged" else _DONE[event.kind]
        print(
            words.format(
                session=f"session {event.session_id}",
                count=f"{event.message_count} message{'' if event.message_count == 1 else 's'}",
                length=f"active for {_duration(event.active_ms)}",
                paused=_duration(event.paused_ms),
            )
        )
    else:
        print(f"refused ({event.reason}): {_why(event.reason, plain(user), asked.session, past)}", file=sys.stderr)
    if not outcome.accepted:
        raise typer.Exit(1)


def _why(code: str | None, user: str, session: str | None, past: "Past") -> str:
    """Return why a command was refused, and what to do, from what is known of the user."""
    from processor.codec.isotime import format_time

    if code == "user_mismatch":
        return "the session is another user's; check USER and --session"
    ended = ""
    if past.last_end_ms is not None:
        ended = f" (the last ended {format_time(past.last_end_ms)[:19].replace('T', ' ')} UTC)"
    if code == "already_closed":
        return f"the session has ended{ended}; start a new one with a3cp session start {user}"
    if past.seen is False:
        return f"{user} has no open session (never seen); check how it is spelled: a start makes it a new user"
    if session is not None:
        return f"{user} has no session of this id{ended}; check --session, or leave it out"
    if past.seen is None:
        ended = " (whether it was ever seen could not be read in time)"
    return f"{user} has no open session{ended}; start one with a3cp session start {user}"


def _duration(ms: int | None) -> str:
    seconds = (ms or 0) / 1000
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {seconds} s"
