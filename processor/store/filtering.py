"""Which sessions are wanted, as conditions of a query."""

from typing import Any, Final

from sqlalchemy import or_

from processor.sessions.ports import SessionFilter
from processor.store.tables import SESSIONS

_STATES: Final = {"closed": "ended"}  # What has ended is `closed` everywhere else.


def conditions(wanted: SessionFilter) -> list[Any]:
    """Return what a session must meet to pass `wanted`."""
    table = SESSIONS.c
    met: list[Any] = []
    if wanted.user_id is not None:
        met.append(table.user_id == wanted.user_id)
    if wanted.session_id is not None:
        met.append(table.session_id == wanted.session_id)
    if wanted.since_ms is not None:
        met.append(table.start_ms >= wanted.since_ms)
    if wanted.until_ms is not None:
        met.append(table.start_ms < wanted.until_ms)
    if wanted.notices:
        met.append(table.notices.op("&")(wanted.notices) != 0)
    if wanted.ended:
        met.append(table.state == "ended")
    if wanted.status is not None:
        met.append(or_(table.status == wanted.status, table.state == _STATES.get(wanted.status, wanted.status)))
    return met
