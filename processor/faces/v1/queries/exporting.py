"""Sessions as files: what the exporter writes, made for whoever asks, of open sessions too."""

import zipfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory, TemporaryFile
from typing import IO, Annotated, Final, Literal

import anyio.to_thread
from anyio import CapacityLimiter
from anyio.lowlevel import RunVar
from fastapi import APIRouter, Query, Request, Response
from pydantic import Field
from starlette.responses import StreamingResponse

from processor.bundles.bundle import write_bundle
from processor.bundles.contents import ALL_FORMATS, Format
from processor.bundles.renderer import renderer
from processor.errors import StoreUnavailable
from processor.faces.auth.doors import Asking
from processor.faces.replica.context import Context, Given
from processor.faces.requests.paths import SessionId
from processor.faces.requests.positions import CaughtUp
from processor.faces.v1.reading import Moment, as_of_in, headers_of, held_of
from processor.targets.paths import AUDIT, BUNDLE, PAGE, TABLE, TIMELINE, path_part
from processor.targets.target import Target
from processor.view.held import Held

AT_A_TIME: Final = 2  # exports that one process makes: each takes a core, and reads go on beside them
CHUNK_BYTES: Final = 1 << 18
_FILES: Final = {  # each with what to write, since bundle.json names the audit log beside it
    "html": (frozenset({Format.HTML}), PAGE, "text/html; charset=utf-8"),
    "json": (frozenset({Format.JSON, Format.JSONL}), BUNDLE, "application/json"),
    "jsonl": (frozenset({Format.JSONL}), AUDIT, "application/x-ndjson"),
    "csv": (frozenset({Format.CSV}), TABLE, "text/csv; charset=utf-8"),
    "timeline": (frozenset({Format.CSV}), TIMELINE, "text/csv; charset=utf-8"),
}
_limiter: Final[RunVar[CapacityLimiter]] = RunVar("a3cp_exports")

router = APIRouter(tags=["Export"], dependencies=[CaughtUp])


class Export(Moment):
    """As what a session is exported."""

    format: Annotated[
        Literal["zip", "html", "json", "jsonl", "csv", "timeline"],
        Field(
            description="zip: the whole bundle, which `a3cp verify` proves; else one file of it. csv: messages.csv, "
            "a row a message; timeline: timeline.csv, what the page shows, notes and all."
        ),
    ] = "zip"


@router.get("/sessions/{session_id}/export")
async def export_session(
    request: Request, session_id: SessionId, who: Asking, context: Given, asked: Annotated[Export, Query()]
) -> Response:
    """Export a session, as it is or as it was known (`as_of`), with the writers that write bundles.

    The zip holds a folder for the session in a folder for its day, as the exporter would write it. Unpack it and run
    `a3cp verify` on it.
    """
    held = await held_of(context, who, session_id, as_of_in(asked.as_of, context))
    headers = headers_of(request, held)
    if asked.format == "zip":
        headers |= as_file(f"{path_part(session_id)}.zip")
        return await sent(partial(_zipped, context, held), "application/zip", headers)
    format_, name, media_type = _FILES[asked.format]
    return await sent(partial(_file, context, held, format_, name), media_type, headers | as_file(name))


def as_file(name: str) -> dict[str, str]:
    """Return the headers that make an answer a file to keep."""
    return {"Content-Disposition": f'attachment; filename="{name}"'}


async def sent(write: Callable[[IO[bytes]], None], media_type: str, headers: dict[str, str]) -> StreamingResponse:
    """Return what `write` writes, once it is written."""
    try:
        limiter = _limiter.get()
    except LookupError:
        _limiter.set(limiter := CapacityLimiter(AT_A_TIME))
    file = TemporaryFile()  # noqa: SIM115  # Closed once it is sent.
    try:
        await anyio.to_thread.run_sync(write, file, limiter=limiter)
    except BaseException:
        file.close()
        raise
    headers |= {"Content-Length": str(file.tell())}
    return StreamingResponse(_chunks(file), headers=headers, media_type=media_type)


def _chunks(file: IO[bytes]) -> Iterator[bytes]:
    with file:
        file.seek(0)
        while chunk := file.read(CHUNK_BYTES):
            yield chunk


def _file(context: Context, held: Held, formats: frozenset[Format], name: str, out: IO[bytes]) -> None:
    with TemporaryDirectory(prefix="a3cp-export-") as folder:
        path = written(context, held, folder, formats) / name
        with path.open("rb") as file:
            while chunk := file.read(CHUNK_BYTES):
                out.write(chunk)


def _zipped(context: Context, held: Held, out: IO[bytes]) -> None:
    with (
        TemporaryDirectory(prefix="a3cp-export-") as folder,
        zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive,
    ):
        for path in sorted(written(context, held, folder).iterdir()):
            archive.write(path, path.relative_to(folder).as_posix())


def written(context: Context, held: Held, folder: str, formats: frozenset[Format] = ALL_FORMATS) -> Path:
    """Write a session's bundle below `folder`, and return where it is."""
    try:
        is_pure = context.store is None or context.store.was_read_by(renderer())
    except StoreUnavailable:  # Nobody can tell; all that is written is from memory then.
        is_pure = False
    bundle = write_bundle(
        Target(folder),
        held.view,
        context.view.codec,
        now_ms=context.now_ms(),
        formats=formats,
        is_pure=is_pure,
        signer=context.signer,
    )
    return Path(bundle.path)
