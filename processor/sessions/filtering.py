"""Which sessions are wanted, asked of a row; `store/filtering.py` asks a database the same."""

from processor.sessions.model import SessionRow
from processor.sessions.ports import SessionFilter


def passes(row: SessionRow, wanted: SessionFilter) -> bool:
    """Whether `row` is one of the `wanted` sessions."""
    status = "closed" if row.state == "ended" else row.state
    return (
        wanted.owner in (None, row.owner)
        and (wanted.owners is None or row.owner in wanted.owners)
        and wanted.session_id in (None, row.session_id)
        and (wanted.session_ids is None or row.session_id in wanted.session_ids)
        and (wanted.since_ms is None or row.start_ms >= wanted.since_ms)
        and (wanted.until_ms is None or row.start_ms < wanted.until_ms)
        and (not wanted.notices or bool(row.notices & wanted.notices))
        and (not wanted.ended or row.state == "ended")
        and wanted.status in (None, status, row.status.value)
        and wanted.template in (None, row.template)
        and (wanted.tag is None or wanted.tag in row.tags)
        and wanted.phase in (None, row.phase)
        and (wanted.min_duration_ms is None or row.duration_ms >= wanted.min_duration_ms)
        and wanted.has_notes in (None, row.note_count > 0)
    )
