"""What session commands tell of a session, and session_metadata.json, which sums it up."""

import re
from typing import Any, Final

from processor.codec.events import EventView, from_json
from processor.codec.isotime import format_time
from processor.sessions.arguments import details_of, has_note
from processor.sessions.forms.jsonforms import session_of
from processor.sessions.forms.shapes import FORMAT, Context, Metadata, Note, Step
from processor.sessions.model import SessionRow, SessionView

_DURATION_END_MS: Final = 1e15  # Beyond it somebody's clock is broken, and so would sums be.
_DONE: Final = frozenset({None, "done", "complete", "completed", "finished", "ok", "success", "succeeded"})


def note_in(event: EventView) -> Note | None:
    """Return what somebody wrote about the session, if the event tells that."""
    if not event.session_notes or not has_note(event):
        return None
    return Note(format_time(event.timestamp), event.performer_id, event.session_notes)


def context_in(event: EventView) -> Context | None:
    """Return the circumstances or the status that the event tells, if any."""
    if event.kind not in ("context", "status"):
        return None
    details = details_of(event)
    told = details.get("context") if event.kind == "context" else {"status": details.get("status")}
    return Context(format_time(event.timestamp), event.performer_id, told)


def step_in(event: EventView) -> Step | None:
    """Return the named unit of work that the event tells of, if any."""
    step = details_of(event).get("step") if event.kind == "step" else None
    if not isinstance(step, dict) or not isinstance(step.get("name"), str):
        return None
    status = step.get("status")
    duration: Any = step.get("duration_ms")
    is_length = type(duration) in (int, float) and 0 <= duration < _DURATION_END_MS
    return Step(
        format_time(event.timestamp),
        event.performer_id,
        step["name"],
        status if isinstance(status, str) else None,
        duration if is_length else None,
        step.get("data"),
    )


def _timing_key(event: EventView, step: Step) -> str:
    """Return under which key the length of a step is told: the one that it came with, else one made of its name."""
    key = details_of(event)["step"].get("timing_key")
    if isinstance(key, str) and key:
        return key
    return f"{re.sub(r'[^a-z0-9]+', '_', step.name.lower()).strip('_') or 'step'}_ms"


class MetadataFold:
    """Adds up what a session's events tell, for its metadata."""

    def __init__(self) -> None:
        self._completed: dict[str, None] = {}
        self._timing: dict[str, int] = {}
        self._of_steps: dict[str, Any] = {}
        self._context: dict[str, Any] = {}
        self._notes: dict[str, str] = {}

    def add(self, event: EventView) -> None:
        """Add the session's next event."""
        if (note := note_in(event)) is not None:
            kind = details_of(event).get("kind")
            if isinstance(kind, str):
                self._notes[kind] = note.note
        elif (step := step_in(event)) is not None:
            if step.status in _DONE:
                self._completed[step.name] = None
            if step.duration_ms is not None:
                name = _timing_key(event, step)
                self._timing[name] = self._timing.get(name, 0) + round(step.duration_ms)
            if step.data is not None:
                self._of_steps[step.name] = step.data
        elif event.kind == "context" and isinstance(context := details_of(event).get("context"), dict):
            self._context.update(context)

    @property
    def steps_completed(self) -> list[str]:
        """The names of steps that are done, in the order of their first time."""
        return list(self._completed)

    @property
    def context(self) -> dict[str, Any]:
        """The circumstances that were told, the latest of each name."""
        return dict(self._context)

    @property
    def notes(self) -> dict[str, str]:
        """The notes that say of what kind they are, the latest of each."""
        return dict(self._notes)

    @property
    def timing_of_steps(self) -> dict[str, int]:
        """How long the steps took, ms, by the keys that they were told with."""
        return dict(self._timing)

    def timing(self, row: SessionRow) -> dict[str, int]:
        """Return how long the session and its steps took, ms."""
        timing = {"duration_ms": row.duration_ms, "paused_ms": row.paused_ms}
        if row.active_ms is not None:
            timing["active_ms"] = row.active_ms
        for name, length_ms in self._timing.items():
            timing[name] = timing.get(name, 0) + length_ms
        return timing

    def metadata(self, row: SessionRow, *, audit_path: str | None = None) -> Metadata:
        """Return what session_metadata.json says of the session; `audit_path`: where its audit log is, if any."""
        session = session_of(row)
        shared = {name: getattr(session, name) for name in Metadata.__struct_fields__ if hasattr(session, name)}
        return Metadata(
            format=FORMAT,
            audit_path=audit_path,
            steps_completed=self.steps_completed,
            timing=self.timing(row),
            data={**self._of_steps, **self._context},
            **shared,
        )


def metadata_of(view: SessionView) -> Metadata:
    """Return the metadata of the session in `view`."""
    fold = MetadataFold()
    for row in view.events():
        fold.add(from_json(row.value))
    return fold.metadata(view.session)
