"""`a3cp session`: sends a command for a user's session, and waits for its outcome."""

import json
import sys
from collections.abc import Callable
from typing import Annotated, Any, Final, NamedTuple

import typer

from processor.cli.arguments.settings import Bootstrap, Json, Prefix, chosen
from processor.cli.commands import App
from processor.cli.printing.text import plain, print_json, when
from processor.client import CommandWord, Past, SessionClient
from processor.errors import UsageError
from processor.sessions.forms.jsonforms import event_fields
from processor.upstream.words import span_words
from processor.upstream.words.counting import counted

app = App("Start, end, pause a session: ask, and wait for the outcome.")

User = Annotated[str, typer.Argument(help="Whose session: the user's pseudonym.", metavar="USER")]
Performer = Annotated[str | None, typer.Option("--performer", metavar="WHO", help="Who asks: a pseudonym, or system.")]
Session = Annotated[
    str | None, typer.Option("--session", metavar="ID", help="The session that is meant; default: the open one.")
]
Timeout = Annotated[
    float, typer.Option("--timeout", metavar="SECONDS", min=0.1, help="How long to wait for the outcome.")
]

TIMEOUT_S: Final = 30.0
_DONE: Final = {
    "started": "started {session}",
    "ended": "ended {session} ({count}, active for {length})",
    "paused": "paused {session}",
    "resumed": "resumed {session} (paused for {paused})",
    "note": "noted in {session}",
    "context": "context added to {session}",
    "tag": "tags of {session} changed",
}
_UNCHANGED: Final = {
    "already_active": "nothing to do: {session} is open already",
    "already_paused": "nothing to do: {session} is paused already",
    "not_paused": "nothing to do: {session} is not paused",
    "touched": "{session} stays open",
    "duplicate": "nothing to do: this very command was carried out before",
}


@app.command()
def start(
    user: User,
    *,
    performer: Performer = None,
    training: Annotated[bool, typer.Option("--training", help="The session is training data.")] = False,
    label: Annotated[
        str | None, typer.Option("--label", metavar="INTENT", help="The intent that the session is to train.")
    ] = None,
    notes: Annotated[str | None, typer.Option("--notes", metavar="TEXT", help="Notes on the session.")] = None,
    template: Annotated[
        str | None, typer.Option("--template", metavar="NAME", help="The session template to use.")
    ] = None,
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


_PLAIN: Final[dict[CommandWord, str]] = {
    "end": "End the session.",
    "pause": "Pause the session: the time no longer counts as active.",
    "resume": "Resume the paused session.",
    "touch": "Keep the session open: this counts as activity.",
}


def _plain(word: CommandWord) -> Callable[..., None]:
    """Return the function of the command `word`, which has no options of its own."""

    def ask(
        user: User,
        *,
        performer: Performer = None,
        session: Session = None,
        timeout: Timeout = TIMEOUT_S,
        bootstrap: Bootstrap = None,
        prefix: Prefix = None,
        as_json: Json = False,
    ) -> None:
        _ask(word, user, {}, Asked(performer, session, timeout, bootstrap, prefix, as_json))

    return ask


for _word, _line in _PLAIN.items():
    app.command(_word, help=_line)(_plain(_word))


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
        list[str], typer.Argument(help="What is so now: location=kitchen, or one JSON object.", metavar="NAME=VALUE")
    ],
    *,
    performer: Performer = None,
    session: Session = None,
    timeout: Timeout = TIMEOUT_S,
    bootstrap: Bootstrap = None,
    prefix: Prefix = None,
    as_json: Json = False,
) -> None:
    """Add context to the session: place, people, topic."""
    _ask("context", user, {"context": _context(values)}, Asked(performer, session, timeout, bootstrap, prefix, as_json))


@app.command()
def tag(
    user: User,
    words: Annotated[list[str] | None, typer.Argument(help="Tags to add.", metavar="TAG")] = None,
    *,
    remove: Annotated[
        list[str] | None, typer.Option("--remove", metavar="TAG", help="A tag to take off; may be repeated.")
    ] = None,
    performer: Performer = None,
    session: Session = None,
    timeout: Timeout = TIMEOUT_S,
    bootstrap: Bootstrap = None,
    prefix: Prefix = None,
    as_json: Json = False,
) -> None:
    """Put tags on the session, or take them off."""
    tags = {"add": words or [], "remove": remove or []}
    _ask("tag", user, {"tags": tags}, Asked(performer, session, timeout, bootstrap, prefix, as_json))


def _context(values: list[str]) -> dict[str, Any]:
    """Return the context in the arguments. A value is taken as JSON if it is JSON, else as text."""
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
    """The options that all commands have."""

    performer: str | None
    session: str | None
    timeout_s: float
    bootstrap: str | None
    prefix: str | None
    as_json: bool


def _ask(name: CommandWord, user: str, arguments: dict[str, Any], asked: Asked) -> None:
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
        print_json({"accepted": outcome.accepted, **event_fields(event)})
    elif outcome.accepted:
        words = _UNCHANGED.get(event.reason or "", "{session}") if event.kind == "unchanged" else _DONE[event.kind]
        print(
            words.format(
                session=f"session {event.session_id}",
                count=counted(event.message_count or 0, "message"),
                length=span_words(event.active_ms or 0),
                paused=span_words(event.paused_ms or 0),
            )
        )
    else:
        print(f"refused ({event.reason}): {_why(event.reason, plain(user), asked.session, past)}", file=sys.stderr)
    if not outcome.accepted:
        raise typer.Exit(1)


def _why(code: str | None, user: str, session: str | None, past: Past) -> str:
    """Return why a command was refused, and what to do."""
    if code == "user_mismatch":
        return "the session is another user's; check USER and --session"
    ended = ""
    if past.last_end_ms is not None:
        ended = f" (the last ended {when(past.last_end_ms)[:-1]} UTC)"
    if code == "already_closed":
        return f"the session has ended{ended}; start a new one with a3cp session start {user}"
    if past.seen is False:
        return f"{user} has no open session (never seen); check how it is spelled: a start makes it a new user"
    if session is not None:
        return f"{user} has no session of this id{ended}; check --session, or leave it out"
    if past.seen is None:
        ended = " (whether it was ever seen could not be read in time)"
    return f"{user} has no open session{ended}; start one with a3cp session start {user}"
