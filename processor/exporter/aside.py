"""What cannot be written as it is held: set aside, so that all else is written, and tried again by the next run."""

from typing import Final

from processor.core.errors import RecordError

NEWS_MAX: Final = 10  # told of one by one; all are counted


class SetAside:
    """Sessions, or dates, that hold a record which cannot be read; for the rest of a run."""

    def __init__(self) -> None:
        self._names: set[str] = set()
        self._news: list[tuple[str, RecordError]] = []

    def add(self, name: str, why: RecordError) -> None:
        """Set `name` aside."""
        self._names.add(name)
        if len(self._news) < NEWS_MAX:
            self._news.append((name, why))

    def news(self) -> list[tuple[str, RecordError]]:
        """Return what was set aside since this was asked last, and why: the first few."""
        news, self._news = self._news, []
        return news

    def __contains__(self, name: str) -> bool:
        return name in self._names

    def __len__(self) -> int:
        return len(self._names)
