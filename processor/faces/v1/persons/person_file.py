"""A person's whole file: all of their sessions as bundles, a page that lists them, and what is kept beside the log.

It is a root of bundles with an index, so `a3cp verify` finds what is changed in it, and what is missing.
"""

import zipfile
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO, Annotated, Any, Final

import msgspec
from fastapi import APIRouter, Query, Request, Response

from processor.bundles import index
from processor.codec.isotime import format_time
from processor.faces.auth.doors import Asking
from processor.faces.problems import Problem
from processor.faces.replica.context import Context, Given
from processor.faces.requests.paths import UserId
from processor.faces.requests.positions import CaughtUp
from processor.faces.v1.filters import PAGE_MAX, Words
from processor.faces.v1.queries.exporting import as_file, sent, written
from processor.faces.v1.queries.listing import of_user, wanted_of
from processor.faces.v1.reading import in_thread, told
from processor.profiles import Profiles
from processor.sessions.ports import SessionFilter
from processor.targets.paths import METADATA, OVERVIEW, PAGE, date_part
from processor.targets.target import Target
from processor.view.held import Held

router: Final = APIRouter(tags=["Export"], dependencies=[CaughtUp])

PERSON: Final = "person.json"
_LISTED_BY: Final = "service"  # stands where the index has the store that lists bundles
_ASKED_OF: Final = {METADATA, PAGE}  # the files of a bundle that the page of the root looks for


@router.get("/users/{user_id}/export")
async def export_user(
    request: Request, user_id: UserId, who: Asking, context: Given, asked: Annotated[Words, Query()]
) -> Response:
    """Export all sessions of one person, or those that the filter means, as one zip: the person's whole file.

    `index.html` lists the sessions, each of which is a whole bundle. `index/` lists them for `a3cp verify`, which then
    finds what is missing too. `person.json` says what is kept beside the log: bookmarks and links to sessions; and to
    those who may know who it is (producers and operators), what the person gave of themselves.
    """
    wanted = await in_thread(wanted_of, context, who, of_user(asked, user_id))
    if not wanted.are_all:
        raise Problem(
            "invalid_request",
            "these words are in too many texts to find all sessions",
            remedy="Leave out q, or ask for fewer days with since and until.",
        )
    headers = told(request, context.view.progress.positions())
    write = partial(_write, context, wanted.sessions, user_id, knows_who=who.may("producer"))
    return await sent(write, "application/zip", headers | as_file("sessions.zip"))


def _write(context: Context, wanted: SessionFilter, user_id: str, out: IO[bytes], *, knows_who: bool) -> None:
    dates: dict[str, list[str]] = {}
    with (
        TemporaryDirectory(prefix="a3cp-export-") as folder,
        zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive,
    ):
        root = Path(folder)

        def add(path: Path) -> None:
            archive.write(path, path.relative_to(root).as_posix())

        for held in _all(context, wanted):
            for path in sorted(written(context, held, folder).iterdir()):
                add(path)
                if path.name == PAGE:
                    path.write_bytes(b"")  # That it is there is all that is asked of it from now on.
                elif path.name not in _ASKED_OF:
                    path.unlink()
            dates.setdefault(date_part(held.row.start_ms), []).append(held.row.session_id)
        if not dates:
            raise Problem("session_not_found", "there is no such session")
        index.note_all(Target(folder), _LISTED_BY, dates)
        for path in (*sorted(root.rglob(OVERVIEW)), *sorted((root / index.FOLDER).rglob("*.json"))):
            add(path)
        kept = _kept(context.profiles, user_id, knows_who=knows_who)
        person = {"user_id": user_id, "written_at": format_time(context.now_ms()), **kept}
        archive.writestr(PERSON, msgspec.json.format(msgspec.json.encode(person), indent=2))


def _kept(profiles: Profiles | None, user_id: str, *, knows_who: bool) -> Mapping[str, Any]:
    """Return what is kept of a person beside the log; what they gave of themselves only to those who may know it."""
    if profiles is None:
        return {"bookmarks": [], "shares": []}
    kept: dict[str, Any] = {
        "bookmarks": [
            {
                "session_id": each.session_id, "place": each.place, "text": each.text,
                "performer_id": each.performer_id, "created_at": format_time(each.created_ms),
            }
            for each in profiles.bookmarks.of_person(user_id)
        ],
        "shares": [
            {
                "session_id": each.session_id, "created_at": format_time(each.created_ms),
                "expires_at": format_time(each.expires_ms),
                "revoked_at": None if each.revoked_ms is None else format_time(each.revoked_ms),
            }
            for each in profiles.shares.of_person(user_id)
        ],
    }  # fmt: skip
    if knows_who:
        profile = profiles.profile(user_id)
        kept["given"] = None if profile is None else profile._asdict()
        kept["resumes"] = profiles.resumes(user_id)
    return kept


def _all(context: Context, wanted: SessionFilter) -> Iterator[Held]:
    """Yield all sessions that pass, newest first."""
    after = None
    while True:
        page = context.view.sessions(wanted, limit=PAGE_MAX, after=after)
        for row in page.rows:
            held = context.view.session(row.session_id)
            if held is not None:  # Else it was removed meanwhile.
                yield held
        if (after := page.next) is None:
            return
