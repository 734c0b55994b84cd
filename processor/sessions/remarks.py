"""What is told of a session beside what happened in it: notes and context, by session commands and by messages."""

from collections.abc import Mapping
from typing import Any

from processor.codec.isotime import parse_time
from processor.sessions.metadata import Told
from processor.sessions.shapes import Context, Entry, Note
from processor.sessions.timeline import Line, Spool
from processor.upstream.words import notes_in


class Remarks:
    """Takes messages and commands; `notes` and `contexts` give what they tell, in order of time."""

    def __init__(self) -> None:
        self.notes = Spool()
        self.contexts = Spool()
        self._context: Mapping[str, Any] = {}  # that a message told last: some tell it each time

    def add_message(self, line: Line) -> None:
        """Take what a message tells, in order of the log."""
        entry, who = line.entry, _performer(line.entry)
        for note in notes_in(entry.record):
            self.notes.add(line.at_ms, line.rank, Note(entry.at, who, note, entry.seq, _speaker(entry)))
        context = context_in(entry.record)
        if context and context != self._context:
            self._context = context
            self.contexts.add(line.at_ms, line.rank, Context(entry.at, who, context, entry.seq, _speaker(entry)))

    def add_commands(self, told: Told) -> None:
        """Take what all session commands told."""
        for note in told.notes():
            self.notes.add(parse_time(note.at), 0, note)
        for context in told.contexts():
            self.contexts.add(parse_time(context.at), 0, context)

    def close(self) -> None:
        """Let go of the files."""
        self.notes.close()
        self.contexts.close()


def context_in(record: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the circumstances that a message tells: its `context`, else what is named `context_…`."""
    context = record.get("context")
    if isinstance(context, dict):
        return context
    return {name: value for name, value in record.items() if name.startswith("context_")}


def _performer(entry: Entry) -> str | None:
    performer_id = entry.record.get("performer_id")
    return performer_id if isinstance(performer_id, str) else None


def _speaker(entry: Entry) -> Any:  # One of the words of `Speaker`: a message's actor is never the session.
    return entry.actor
