"""Reads server-sent events from the lines of an answer."""

from collections.abc import Iterator
from typing import NamedTuple


class ServerSentEvent(NamedTuple):
    """One of them."""

    kind: str
    id: str | None
    data: str


class Events:
    """Makes events of lines, as the HTML standard says; comments and what has no data are left out."""

    def __init__(self) -> None:
        self._kind = ""
        self._id: str | None = None
        self._data: list[str] = []

    def take(self, line: str) -> Iterator[ServerSentEvent]:
        """Take the next line, and yield the event that it completes, if it does."""
        if not line:
            if self._data:
                yield ServerSentEvent(self._kind or "message", self._id, "\n".join(self._data))
            self._kind, self._data = "", []
            return
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "event":
            self._kind = value
        elif name == "id":
            self._id = value
        elif name == "data":
            self._data.append(value)
