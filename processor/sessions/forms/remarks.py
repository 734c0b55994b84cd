"""Notes, context and steps of a session: commands and messages say them, and they are no happenings of their own."""

from collections.abc import Mapping
from typing import Any

from processor.codec.events import EventView
from processor.sessions.forms.metadata import context_in, note_in, step_in
from processor.sessions.forms.shapes import Context, Entry, Note
from processor.sessions.forms.timeline import Line, Spool
from processor.upstream.words import notes_in


class Remarks:
    """Takes messages and events in order of the log; notes and contexts come back in order of time."""

    def __init__(self) -> None:
        self.notes = Spool()
        self.contexts = Spool()
        self.steps = Spool()
        self._context: Mapping[str, Any] = {}  # that a message told last: some tell it each time

    def add_message(self, line: Line) -> None:
        """Take what a message tells."""
        entry, who = line.entry, _performer(line.entry)
        for note in notes_in(entry.record):
            self.notes.add(line.at_ms, line.rank, Note(entry.at, who, note, entry.seq, _speaker(entry)))
        context = message_context(entry.record)
        if context and context != self._context:
            self._context = context
            self.contexts.add(line.at_ms, line.rank, Context(entry.at, who, context, entry.seq, _speaker(entry)))

    def add_event(self, event: EventView) -> None:
        """Take what a session command told."""
        if (note := note_in(event)) is not None:
            self.notes.add(event.timestamp, 0, note)
        if (context := context_in(event)) is not None:
            self.contexts.add(event.timestamp, 0, context)
        if (step := step_in(event)) is not None:
            self.steps.add(len(self.steps), 0, step)

    def close(self) -> None:
        """Let go of the files."""
        for spool in (self.notes, self.contexts, self.steps):
            spool.close()


def message_context(record: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the circumstances that a message tells: its `context`, else what is named `context_…`."""
    context = record.get("context")
    if isinstance(context, dict):
        return context
    return {name: value for name, value in record.items() if name.startswith("context_")}


def _performer(entry: Entry) -> str | None:
    performer_id = entry.record.get("performer_id")
    return performer_id if isinstance(performer_id, str) else None


def _speaker(entry: Entry) -> Any:  # One of the words of `Speaker`: a message is never the session's.
    return entry.expressed_by
