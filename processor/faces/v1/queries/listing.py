"""Many sessions: lists, counts, search, sums, who has one open; always those alone that the caller sees."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Annotated, Any, Final, NamedTuple, TypeVar

import msgspec
from fastapi import APIRouter, Query, Request, Response

from processor.codec.isotime import format_time
from processor.core.ids import owner_of
from processor.errors import StoreUnavailable
from processor.faces.auth.doors import Asking, Caller
from processor.faces.problems import Problem
from processor.faces.replica.context import Context, Given
from processor.faces.requests.paths import UserId
from processor.faces.requests.positions import CaughtUp
from processor.faces.v1.filters import Active, Adding, Filter, Listing, Parameters, Searching, Words
from processor.faces.v1.queries.cursors import cursor_in, cursor_text
from processor.faces.v1.reading import answer, in_thread, told
from processor.faces.v1.shapes import SessionCount, SessionList, answers
from processor.faces.v1.telling import session_resource
from processor.sessions.forms.jsonforms import found_fields, resource_of, rollup_fields
from processor.sessions.model import SessionRow
from processor.sessions.ports import Found, SessionFilter
from processor.sessions.summary import DaySums, Rollup
from processor.view.position import Position
from processor.view.states import Open
from processor.view.view import View

T = TypeVar("T")

FOUND_MAX: Final = 1_000  # texts that `q` looks into, and sessions that `bookmarked` looks at: the latest ones
TRENDS_MAX: Final = 50  # persons whose days are told
_FROM_EVENTS: Final = frozenset({"steps_completed", "timing", "context", "notes"})

router = APIRouter(tags=["Many sessions"], dependencies=[CaughtUp])


@router.get("/sessions", responses=answers(SessionList))
async def list_sessions(request: Request, who: Asking, context: Given, asked: Annotated[Listing, Query()]) -> Response:
    """List sessions, newest first.

    The next page begins at `next_cursor`; sessions that start meanwhile move no page. `total` stands on the first page,
    unless the store does not answer, or `q` is in more than the 1,000 texts that are looked into, the latest ones.
    Sessions that started before `complete_since` may be missing or incomplete; null: none is. `steps_completed`,
    `timing`, `context` and `notes` of listed sessions are read when `fields` asks for them.
    """
    return await _list(request, who, context, asked)


@router.get("/sessions/count", responses=answers(SessionCount))
async def count_sessions(request: Request, who: Asking, context: Given, asked: Annotated[Words, Query()]) -> Response:
    """Count sessions."""
    count, headers = await _of_wanted(request, who, context, asked, context.view.count)
    return answer({"count": count}, headers)


@router.get("/search")
async def search(request: Request, who: Asking, context: Given, asked: Annotated[Searching, Query()]) -> Response:
    """Find notes, contexts, texts, transcripts and phrases that hold all of the words `q`, latest first."""
    found, is_whole = await _of_all(context, lambda: _found(context.view, who, asked))
    body = {"found": [{**found_fields(each), "user_id": owner_of(each.user_id)} for each in found]}
    return answer(body, told(request, context.view.progress.positions(), is_whole=is_whole))


@router.get("/stats")
async def stats(request: Request, who: Asking, context: Given, asked: Annotated[Adding, Query()]) -> Response:
    """Add sessions up: by the day of their start (UTC), by user or by template."""
    if asked.days and asked.by != "user":
        raise Problem("invalid_request", "days are told of users", remedy="Ask with by=user, or without days.")

    def added(wanted: SessionFilter) -> tuple[Mapping[str, Rollup], Mapping[str, Mapping[str, DaySums]]]:
        return context.view.trends(wanted) if asked.days else (context.view.rollups(wanted, asked.by), {})

    (totals, days), headers = await _of_wanted(request, who, context, asked, added)
    sums = {key: rollup_fields(total) for key, total in totals.items()}
    for key in sorted(days, key=lambda key: -totals[key].sessions)[:TRENDS_MAX]:
        sums[key]["days"] = {day: told._asdict() for day, told in sorted(days[key].items())}
    return answer({"by": asked.by, "stats": sums}, headers)


@router.get("/active")
async def active(request: Request, who: Asking, context: Given, asked: Annotated[Active, Query()]) -> Response:
    """Count the open sessions, paused ones among them, in all and by template ("" for none); or those of one template.

    `kafka` are those in the log, `fallback` those that wait for it. `firebase_sessions` and `memory_sessions` are what
    older applications call them.
    """
    logged = await in_thread(lambda: _active(context.view.memory.open_sessions(), who, asked.template))
    waiting = () if context.meanwhile is None else context.meanwhile.open_sessions()
    kept = _active(waiting, who, asked.template)
    kafka, fallback = logged.total(), kept.total()
    body = {
        "kafka": kafka, "fallback": fallback, "total": kafka + fallback,
        "by_template": dict(sorted((logged + kept).items())), "firebase_sessions": kafka, "memory_sessions": fallback,
    }  # fmt: skip
    return answer(body, told(request, context.view.progress.positions()))


@router.get("/users/{user_id}/sessions", responses=answers(SessionList))
async def list_sessions_of_user(
    request: Request, user_id: UserId, who: Asking, context: Given, asked: Annotated[Listing, Query()]
) -> Response:
    """List the sessions of one person, as `/v1/sessions` does; of one whom the token does not see there are none."""
    return await _list(request, who, context, of_user(asked, user_id))


@router.get("/users/{user_id}/active", responses=answers(SessionList))
async def list_open_sessions_of_user(
    request: Request, user_id: UserId, who: Asking, context: Given, asked: Annotated[Parameters, Query()]
) -> Response:
    """List the open sessions of one person, paused ones among them."""
    del asked
    return await _list(request, who, context, of_user(Listing(status="open"), user_id))


@router.get("/users/{user_id}/summary")
async def sum_up_user(
    request: Request, user_id: UserId, who: Asking, context: Given, asked: Annotated[Filter, Query()]
) -> Response:
    """Add up the sessions of one person."""
    wanted = of_user(asked, user_id).wanted(who)
    totals, is_whole = await _of_all(context, lambda: context.view.rollups(wanted, "user"))
    body = {"user_id": user_id, **rollup_fields(totals.get(user_id, Rollup()))}
    return answer(body, told(request, context.view.progress.positions(), is_whole=is_whole))


async def _of_all(context: Context, read: Callable[[], T]) -> tuple[T, bool]:
    """Return what `read` returns, which adds up many sessions, and whether all of them are known as a whole."""
    return await in_thread(lambda: (read(), context.view.is_whole()))


async def _of_wanted(
    request: Request, who: Caller, context: Context, asked: Words, add: Callable[[SessionFilter], T]
) -> tuple[T, dict[str, str]]:
    """Return what `add` makes of the sessions that are asked for, and the headers of an answer with it."""

    def read() -> tuple[T, bool]:
        wanted = wanted_of(context, who, asked)
        return add(wanted.sessions), wanted.are_all

    (added, are_all), is_whole = await _of_all(context, read)
    return added, told(request, context.view.progress.positions(), is_whole=is_whole, is_all=are_all)


async def _list(request: Request, who: Caller, context: Context, asked: Listing) -> Response:
    body, positions = await in_thread(page_of, context, who, asked)
    return answer(body, told(request, positions))


def page_of(context: Context, who: Caller, asked: Listing) -> tuple[dict[str, Any], Sequence[Position]]:
    """Return a page of the list, and the positions that it reflects.

    Raises:
        Problem: invalid_request, since the cursor is none.
        StoreUnavailable: the store does not answer, and words are asked for.
    """
    view = context.view
    after = None if asked.cursor is None else cursor_in(asked.cursor, context.site_key)
    names = None if asked.fields is None else asked.fields.split(",")
    wanted = wanted_of(context, who, asked)
    page = view.sessions(wanted.sessions, limit=asked.limit, after=after, skip=asked.offset)
    body: dict[str, Any] = {
        "sessions": [_shown(view, row, names) for row in page.rows],
        "next_cursor": None if page.next is None else cursor_text(page.next, context.site_key),
        "complete_since": None if page.complete_since_ms is None else format_time(page.complete_since_ms),
        "position": ", ".join(map(str, page.positions)),
    }
    if after is None and wanted.are_all:
        with suppress(StoreUnavailable):  # A number cannot say what it lacks.
            body["total"] = view.count(wanted.sessions)
    return body, page.positions


class Wanted(NamedTuple):
    """Which sessions are asked for."""

    sessions: SessionFilter
    are_all: bool  # False: the words are in more texts than are looked into, or more sessions are marked


def wanted_of(context: Context, who: Caller, asked: Words) -> Wanted:
    """Return what passes: of the sessions in which words are found, or a moment is marked, where that is asked for.

    Raises:
        StoreUnavailable: the store of sessions, or that of bookmarks, does not answer.
    """
    wanted, are_all = asked.wanted(who), True
    if asked.q is not None:
        found = context.view.search(asked.q, wanted, limit=FOUND_MAX)
        ids = frozenset(each.session_id for each in found if each.session_id is not None)
        wanted, are_all = wanted._replace(session_ids=ids), len(found) < FOUND_MAX
    if asked.bookmarked is not None:
        marked: frozenset[str] = frozenset()
        if context.profiles is not None:
            marked = context.profiles.bookmarks.sessions(wanted.owners, FOUND_MAX)
        ids = marked if wanted.session_ids is None else marked & wanted.session_ids
        wanted, are_all = wanted._replace(session_ids=ids), are_all and len(marked) < FOUND_MAX
    return Wanted(wanted, are_all)


def of_user(asked: Any, user_id: str) -> Any:
    """Return what is asked, of one person."""
    if asked.user_id not in (None, user_id):
        raise Problem("invalid_request", "the path names one user, and the parameter user_id another")
    return asked.model_copy(update={"user_id": user_id})


def _found(view: View, who: Caller, asked: Searching) -> Sequence[Found]:
    return view.search(asked.q, asked.wanted(who), limit=asked.limit, expressed_by=asked.expressed_by)


def _shown(view: View, row: SessionRow, names: Sequence[str] | None) -> Any:
    """Return a session as a list has it, or what `names` names of it."""
    if names is None:
        return resource_of(row)
    held = None if _FROM_EVENTS.isdisjoint(names) else view.session(row.session_id)
    resource = resource_of(row) if held is None else session_resource(held, held.events())
    fields: Mapping[str, Any] = msgspec.to_builtins(resource)
    return {name: fields[name] for name in names if name in fields}


def _active(sessions: Iterable[Open], who: Caller, template: str | None) -> Counter[str]:
    templates = (each.session.template or "" for each in sessions if who.sees(owner_of(each.user_id)))
    return Counter(each for each in templates if template in (None, each))
