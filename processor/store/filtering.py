"""Which sessions are wanted, as conditions of a query; `sessions/filtering.py` asks a row the same."""

from typing import Any, Final

from sqlalchemy import ColumnElement, and_, false, func, or_, select

from processor.core.ids import LANE_CHARS
from processor.sessions.ports import EVERYTHING, SessionFilter
from processor.store.rows import tags_text
from processor.store.tables import SESSIONS, TEXTS

_STATES: Final = {"closed": "ended"}  # What has ended is `closed` everywhere else.
_HEX: Final = "0123456789abcdef"


def conditions(wanted: SessionFilter) -> list[ColumnElement[bool]]:
    """Return what a session must meet to pass `wanted`."""
    table = SESSIONS.c
    met: list[ColumnElement[bool]] = []
    for column, text in (
        (table.owner, wanted.owner),
        (table.session_id, wanted.session_id),
        (table.template, wanted.template),
        (table.phase, wanted.phase),
    ):
        if text is not None:
            met.append(column == text if _is_kept(text) else false())
    for column, texts in ((table.owner, wanted.owners), (table.session_id, wanted.session_ids)):
        if texts is not None:
            met.append(column.in_([text for text in texts if _is_kept(text)]))
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
    if wanted.tag is not None:
        met.append(_has_tag(wanted.tag))
    if wanted.min_duration_ms is not None:
        met.append(table.duration_ms >= wanted.min_duration_ms)
    if wanted.has_notes is not None:
        met.append(table.note_count > 0 if wanted.has_notes else table.note_count == 0)
    return met


def text_conditions(wanted: SessionFilter, expressed_by: str | None = None) -> list[ColumnElement[bool]]:
    """Return what a text must meet: that its session passes, or, where only owners are asked for, whose it is."""
    if expressed_by is not None:
        return [TEXTS.c.expressed_by == expressed_by, *text_conditions(wanted)]
    if wanted == EVERYTHING:
        return []
    if wanted == SessionFilter(owner=wanted.owner):
        return [of_person(TEXTS.c.user_id, wanted.owner or "")]
    return [TEXTS.c.session_id.in_(select(SESSIONS.c.session_id).where(*conditions(wanted)))]


def of_person(user_id: Any, person: str) -> ColumnElement[bool]:
    """Return whether a column with user ids holds `person`, or a lane of theirs, as `core.ids.owner_of` has it."""
    if not _is_kept(person):
        return false()
    chars = len(person)
    is_lane = and_(
        func.length(user_id) == chars + LANE_CHARS,
        func.substr(user_id, 1, chars + 1) == f"{person}~",
        func.ltrim(func.substr(user_id, chars + 2), _HEX) == "",
    )
    return or_(user_id == person, is_lane)


def _has_tag(tag: str) -> ColumnElement[bool]:
    """Return whether a session has `tag`; `replace` is exact in every database, as `LIKE` is not."""
    if not _is_kept(tag) or "\n" in tag:
        return false()
    column = SESSIONS.c.tags
    return func.replace(column, tags_text([tag]), "") != column


def _is_kept(text: str) -> bool:
    """Whether a database can hold `text`, and so be asked for it: PostgreSQL takes no NUL, none a lone surrogate."""
    return "\0" not in text and text.encode(errors="replace").decode() == text
