"""The page's own files: `/` and what is under `/static`. They hold nothing of anybody, so no token is asked for."""

import json
import mimetypes
from functools import cache
from importlib.resources import files
from typing import Final

from fastapi import APIRouter, Request, Response

from processor.bundles.page import TEMPLATES
from processor.faces.page.sending import PageFile
from processor.faces.page.session import page_of_a_session
from processor.faces.problems import Problem
from processor.upstream.words import LANGUAGES, table

router: Final = APIRouter(include_in_schema=False)

_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
)
_EXPORTS: Final = b"""
const tables = () => W;
const phrase = (name, values) => fill({ phrase: name, values });
const range = (from, to) => new Intl.DateTimeFormat(locale, { dateStyle: "long" }).formatRange(from, to);
export { chooseLanguage, counted, day, dayKey, fillText, flagText, minute, number, phrase, range, span, tables, told };
export { plainId, who as whose };
"""
"""Makes a module of the script that fills phrases, which a session's own page has as part of its one script."""


@router.head("/")
@router.get("/")
async def page(request: Request) -> Response:
    """Return the page itself; which part of it is shown stands in the query."""
    if "session" in request.query_params:
        return page_of_a_session().answer(request)
    return _answer(request, "index.html")


@router.get("/favicon.ico")
async def icon() -> Response:
    """Return that there is none: browsers ask for it at each page that names no icon."""
    return Response(status_code=204)


@router.get("/static/{name}")
async def static(name: str, request: Request) -> Response:
    """Return one of the page's files."""
    return _answer(request, name)


def _answer(request: Request, name: str) -> Response:
    file = _all().get(name)
    if file is None:
        raise Problem("not_found", "the page has no such file")
    return file.answer(request)


@cache
def _all() -> dict[str, PageFile]:
    """Return all files by name, read once: what is not among them cannot be asked for."""
    found = {each.name: each.read_bytes() for each in files("processor.faces.page").joinpath("static").iterdir()}
    found["said.js"] = (TEMPLATES / "words.js").read_bytes() + _EXPORTS
    links = (f'<link rel="modulepreload" href="/static/{name}">\n' for name in sorted(found) if name.endswith(".js"))
    found["index.html"] = found["index.html"].replace(b"</head>", "".join(links).encode() + b"</head>")  # All at once.
    found["words.json"] = json.dumps({language: table(language) for language in LANGUAGES}).encode()
    return {name: _file(name, content) for name, content in found.items()}


def _file(name: str, content: bytes) -> PageFile:
    return PageFile.of(content, mimetypes.guess_type(name)[0] or "application/octet-stream", _POLICY)
