"""A session that was shared by a link: its timeline's page, for whoever has the link. No token is needed."""

from contextlib import closing
from functools import partial
from hashlib import sha256
from typing import IO, Final

from fastapi import APIRouter, Request, Response

from processor.bundles.page import checkable, page, policy
from processor.bundles.signatures import page_end
from processor.codec.events import from_json
from processor.errors import A3CPError
from processor.faces.middleware.shell import Shell
from processor.faces.pages import said_page
from processor.faces.problems import Problem
from processor.faces.replica.context import Context, context_of
from processor.faces.v1.queries.exporting import sent
from processor.faces.v1.reading import in_thread
from processor.faces.v1.sharing import moment_of, share_id_in
from processor.profiles.shares import Share
from processor.sessions.forms.redacting import Redaction
from processor.sessions.forms.timeline import Spool, event_line, message_line
from processor.view.held import Held

CAUGHT_UP_S: Final = 2.0
router: Final = APIRouter(include_in_schema=False)


class _Closed(Exception):
    """The link shows nothing; `words` are the name of what is said about it."""

    def __init__(self, status: int, words: str) -> None:
        super().__init__(words)
        self.status = status
        self.words = words


@router.get("/share/{token}")
async def read_share(request: Request, token: str) -> Response:
    """Show the session that a link leads to, as it was at the moment that the link names."""
    shell: Shell = request.app.state.shell
    address = "" if request.client is None else request.client.host
    try:
        shell.share_limits.count(address)
        context = await context_of(request)
        share = await _share(context, token)
        request.state.session_id, request.state.share_id = share.session_id, share.share_id
        held = await _held(context, share)
        headers = {"Content-Security-Policy": f"{policy()}; frame-ancestors 'none'", "X-Robots-Tag": "noindex"}
        return await sent(partial(_write, context, share, held), "text/html; charset=utf-8", headers)
    except _Closed as closed:
        return _calm(request, closed.status, closed.words)
    except Problem as problem:
        return _calm(request, problem.status_code, "later")
    except A3CPError:
        return _calm(request, 503, "later")


async def _share(context: Context, token: str) -> Share:
    share_id = share_id_in(token, context.site_key)
    if share_id is None or context.profiles is None:
        raise _Closed(404, "unknown")
    share = await in_thread(context.profiles.shares.get, share_id)
    if share is None or share.revoked_ms is not None:
        raise _Closed(410, "revoked")
    if not share.is_valid(context.now_ms()):
        raise _Closed(410, "expired")
    return share


async def _held(context: Context, share: Share) -> Held:
    moment = moment_of(share, context)
    assert moment.position is not None
    if moment.position.cluster != context.view.progress.positions()[0].cluster:
        raise _Closed(410, "revoked")
    if not await context.view.progress.passed(moment.position.ends, CAUGHT_UP_S):
        raise _Closed(503, "later")
    held = await in_thread(partial(context.view.session, share.session_id, as_of=moment))
    if held is None or held.row.owner != share.user_id:
        raise _Closed(410, "revoked")
    if not held.is_whole:  # It would look as if somebody had taken messages away.
        raise _Closed(503, "later")
    return held


def _write(context: Context, share: Share, held: Held, out: IO[bytes]) -> None:
    """Write the page: with the messages' contents, which the reader's browser checks, unless some of it is hidden."""
    redaction = Redaction(share.redact, context.site_key + share.share_id.encode(), held.view) if share.redact else None
    session = held.row if redaction is None else redaction.session(held.row)
    with closing(Spool()) as timeline, closing(Spool()) as contents:
        for row in held.messages():
            line, content = message_line(row, context.view.codec)
            timeline.add(*(line if redaction is None else redaction.message(line)))
            contents.add(line.at_ms, line.rank, None if redaction else checkable(row, content))
        for number, event in enumerate(held.events(), 1):
            line = redaction.event(event, number) if redaction else event_line(event, from_json(event.value), number)
            timeline.add(*line)
            contents.add(line.at_ms, line.rank, None)
        digest = sha256()
        for part in page(session, timeline, contents=contents, pinned=share.digest):
            digest.update(part)
            out.write(part)
        if context.signer is not None:
            out.write(page_end(context.signer, digest.digest()))


def _calm(request: Request, status: int, words: str) -> Response:
    return said_page(request, status, "share", "title", words)
