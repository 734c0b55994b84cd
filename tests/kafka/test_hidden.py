"""Records that wait behind open transactions of producers: what is told is steady."""

from collections.abc import Mapping
from concurrent.futures import Future
from types import SimpleNamespace
from typing import Any

from processor.kafka.conf import Waits
from processor.kafka.worker.hidden import HiddenWatch
from processor.runtime.ports import Cause

HERE = 2


class Watched:
    """Looks each second at a partition in which somebody's transactions are open, and keeps what is told of it."""

    def __init__(self) -> None:
        self.now_s, self.position = 0.0, ""
        self.told: list[str] = []
        self._end = 0
        self._hidden = HiddenWatch("raw", self, Waits(), lambda: self.now_s)  # type: ignore[arg-type]  # Only `waiting` is called.

    def waiting(self, partition: int, cause: Cause, why: str | None, *, position: str = "", remedy: str = "") -> None:
        assert (partition, cause) == (HERE, Cause.OPEN_TRANSACTION)
        if position != self.position:
            self.told.append(position)
        self.position = position

    def list_offsets(self, places: Mapping[Any, Any], **_: object) -> dict[Any, Future[Any]]:
        answer: Future[Any] = Future()
        answer.set_result(SimpleNamespace(offset=self._end))
        return dict.fromkeys(places, answer)

    def transaction(self, offset: int, seconds: int) -> list[str]:
        """Let a transaction that begins at `offset` be open for so long; return what was told."""
        self._end = offset
        return self.look({HERE: (offset, 3)}, seconds)

    def look(self, hidden: dict[int, tuple[int, int]], seconds: int) -> list[str]:
        self.told.clear()
        for _ in range(seconds):
            self.now_s += 1
            self._hidden.look(hidden, self)  # type: ignore[arg-type]
        return list(self.told)


def test_short_transactions_are_everyday() -> None:
    """Nothing is told of them, however many there are."""
    watched = Watched()
    assert [watched.transaction(offset, 9) for offset in range(0, 50, 5)] == [[]] * 10


def test_a_long_one_is_told_until_all_has_been_calm() -> None:
    """It is told after 10 s, and is over once no transaction has been open for so long for 20 s."""
    watched = Watched()
    assert watched.transaction(7, 10) == []
    assert watched.transaction(7, 60) == ["raw[2]@7"]
    assert watched.look({}, 19) == []
    assert watched.look({}, 1) == [""]
    assert watched.look({}, 60) == []


def test_one_after_the_other_is_one_state() -> None:
    """Each is told with its place; in between, and while the next is still short, nothing goes on."""
    watched = Watched()
    assert watched.transaction(0, 15) == ["raw[2]@0"]
    for offset in range(5, 50, 5):
        assert watched.look({}, 1) == []
        assert watched.transaction(offset, 15) == [f"raw[2]@{offset}"]


def test_short_ones_after_a_long_one_end_it() -> None:
    """Though some transaction is open at any moment."""
    watched = Watched()
    assert watched.transaction(0, 15) == ["raw[2]@0"]
    assert [told for offset in range(5, 50, 5) for told in watched.transaction(offset, 5)] == [""]
