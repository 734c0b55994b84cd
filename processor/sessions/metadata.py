"""What session_metadata.json says of a session: what its row holds, and the steps and context that people told."""

import re
from collections.abc import Iterable, Iterator
from typing import Any, Final

from processor.codec.events import EventView, from_json
from processor.codec.isotime import format_time
from processor.sessions.model import SessionRow, SessionView
from processor.sessions.shapes import FORMAT, Context, Metadata, Note, Step
from processor.sessions.timeline import details_of

EVENTS_HELD_MAX: Final = 1_000  # of a session, in memory
_DURATION_END_MS: Final = 1e15  # Beyond it somebody's clock is broken, and so would sums be.
_DONE: Final = frozenset({None, "done", "complete", "completed", "finished", "ok", "success", "succeeded"})


class Told:
    """What people told about the session, from its events: read each time when there are many."""

    def __init__(self, view: SessionView) -> None:
        self.session = view.session
        self._rows = view.events
        self._held: list[EventView] | None = None
        if view.session.event_count <= EVENTS_HELD_MAX:
            self._held = list(self._events())

    def notes(self) -> Iterator[Note]:
        """Yield what people wrote about it."""
        for event in self._events():
            if event.session_notes and event.kind in ("started", "note"):
                yield Note(format_time(event.timestamp), event.performer_id, event.session_notes)

    def contexts(self) -> Iterator[Context]:
        """Yield the circumstances and statuses that were told."""
        for event in self._events():
            if event.kind in ("context", "status"):
                details = details_of(event)
                told = details.get("context") if event.kind == "context" else {"status": details.get("status")}
                yield Context(format_time(event.timestamp), event.performer_id, told)

    def steps(self) -> Iterator[Step]:
        """Yield the named units of work."""
        for event in self._events():
            step = details_of(event).get("step") if event.kind == "step" else None
            if isinstance(step, dict) and isinstance(step.get("name"), str):
                status = step.get("status")
                duration: Any = step.get("duration_ms")
                if type(duration) not in (int, float) or not 0 <= duration < _DURATION_END_MS:
                    duration = None
                yield Step(
                    format_time(event.timestamp),
                    event.performer_id,
                    step["name"],
                    status if isinstance(status, str) else None,
                    duration,
                    step.get("data"),
                )

    def _events(self) -> Iterable[EventView]:
        if self._held is not None:
            return self._held
        return (from_json(row.value) for row in self._rows())


def metadata_of(told: Told, *, audit_path: str | None = None) -> Metadata:
    """Return what session_metadata.json says of a session; `audit_path`: where its audit log is, if there is one."""
    session = told.session
    completed: dict[str, None] = {}
    timing: dict[str, int] = {"duration_ms": session.duration_ms, "paused_ms": session.paused_ms}
    if session.active_ms is not None:
        timing["active_ms"] = session.active_ms
    data: dict[str, Any] = {}
    for step in told.steps():
        if step.status in _DONE:
            completed[step.name] = None
        if step.duration_ms is not None:
            name = f"{re.sub(r'[^a-z0-9]+', '_', step.name.lower()).strip('_') or 'step'}_ms"
            timing[name] = timing.get(name, 0) + round(step.duration_ms)
        if step.data is not None:
            data[step.name] = step.data
    for context in told.contexts():
        if isinstance(context.context, dict):
            data.update(context.context)
    return Metadata(
        format=FORMAT,
        session_id=session.session_id,
        created_at=format_time(session.start_ms),
        status=_status(session),
        user_id=session.user_id,
        audit_path=audit_path,
        steps_completed=list(completed),
        timing=timing,
        data=data,
        start_time=format_time(session.start_ms),
        end_time=None if session.end_ms is None else format_time(session.end_ms),
        last_activity=format_time(session.last_ms),
        start_reason=session.start_reason,
        end_reason=session.reason,
        performer_id=session.performer_id,
        previous_session_id=session.previous_session_id,
        template=session.template,
        is_training_data=session.is_training_data,
        training_intent_label=session.training_intent_label,
        session_notes=session.session_notes,
        flags=list(session.flags),
        message_count=session.held_count,
        event_count=session.event_count,
        completeness=session.status.value,
    )


def _status(session: SessionRow) -> Any:  # One of the three words of `Metadata.status`.
    return "closed" if session.state == "ended" else session.state
