"""Those who follow what happens live."""

import asyncio
import threading
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from itertools import chain
from typing import NamedTuple, Protocol

from processor.codec.codec import Codec
from processor.codec.events import SEALED, EventView
from processor.errors import RegistryUnavailable
from processor.runtime.ports import TopicRecord
from processor.sessions.model import MessageRow
from processor.sessions.ports import SESSIONS
from processor.sessions.projection.decoding import decode_part
from processor.view.position import Position
from processor.view.tail import output_of, sessions_named_in


class Live(NamedTuple):
    """One thing that happened; `position` is behind it, so whoever has read it goes on there."""

    position: Position
    session_id: str | None
    user_id: str
    event: EventView | None  # of the sessions topic
    message: MessageRow | None  # of the tagged topic


class Watch(AsyncIterator[Live]):
    """What happens from now on. It ends once it is closed, or when its reader is too slow, which `is_slow` tells."""

    def __init__(
        self,
        queue_max: int,
        leave: Callable[["Watch"], None],
        concerns: Callable[[bytes], bool],
        passes: Callable[[Live], Awaitable[bool]] | None,
        *,
        takes_moved: bool,
    ) -> None:
        """Watch, in the event loop that runs.

        Args:
            queue_max: how many wait for the reader at most.
            leave: called when it is closed.
            concerns: whether records of the user with this key may be meant; quick.
            passes: whether what has happened is meant, asked when its turn comes; None if all is.
            takes_moved: also what names the watched session, and came into another.
        """
        self.is_slow = False
        self.concerns = concerns
        self.takes_moved = takes_moved
        self.loop = asyncio.get_running_loop()
        self._queue: deque[Live] = deque()
        self._queue_max = queue_max
        self._leave = leave
        self._passes = passes
        self._news = asyncio.Event()
        self._is_closed = False

    def put(self, live: Live) -> None:
        """Take what has happened; by the one thread that feeds, which wakes the reader then."""
        if len(self._queue) < self._queue_max and not self.is_slow:
            self._queue.append(live)
        else:
            self.is_slow = True

    def wake(self) -> None:
        """Let the reader look; called in its event loop."""
        self._news.set()

    async def __anext__(self) -> Live:
        """Return what happens next; waiting for it may be cancelled, and begun again."""
        live = await self.within(None)
        assert live is not None
        return live

    async def within(self, silence_s: float | None) -> Live | None:
        """Return what happens next; None if nothing has happened for `silence_s`.

        Raises:
            StopAsyncIteration: it has ended.
        """
        while True:
            self._news.clear()
            if self._is_closed or (self.is_slow and not self._queue):
                raise StopAsyncIteration
            if self._queue:
                live = self._queue.popleft()
                if self._passes is None or await self._passes(live):
                    return live
                continue
            try:
                async with asyncio.timeout(silence_s):
                    await self._news.wait()
            except TimeoutError:
                return None

    def end(self) -> None:
        """Let nothing more come; `wake` lets the reader see that. Any thread may call it."""
        self._is_closed = True

    def close(self) -> None:
        """Watch no longer; called in the event loop."""
        self._is_closed = True
        self._leave(self)
        self._news.set()


class Follower(Protocol):
    """Whoever takes the records of one session as they are, and decodes of them what is needed; of one event loop."""

    loop: asyncio.AbstractEventLoop

    def put(self, topic: str, record: TopicRecord, position: Position) -> None:
        """Take the next record that names the session, and the position behind it; called by the thread that feeds."""

    def wake(self) -> None:
        """Look at what was put; called in the event loop, once for several."""

    def end(self) -> None:
        """Take note that nothing more will come; any thread may call it, and `wake` follows."""


class Watchers:
    """Hands what happens to those who watch it. One thread feeds; event loops watch."""

    def __init__(self, codec: Codec) -> None:
        """Read records by `codec`."""
        self._codec = codec
        self._lock = threading.Lock()
        self._of_session: dict[str, list[Watch]] = {}
        self._followers: dict[str, list[Follower]] = {}
        self._of_all: list[Watch] = []  # events of any session

    def watch(
        self,
        session_id: str | None,
        queue_max: int,
        concerns: Callable[[bytes], bool] = lambda _: True,
        passes: Callable[[Live], Awaitable[bool]] | None = None,
        *,
        takes_moved: bool = False,
    ) -> Watch:
        """Return what happens in a session from now on; without one, what events of all sessions tell."""

        def leave(watch: Watch) -> None:
            with self._lock:
                watches = self._of_all if session_id is None else self._of_session.get(session_id, [])
                if watch in watches:
                    watches.remove(watch)
                if session_id is not None and not watches:
                    self._of_session.pop(session_id, None)

        watch = Watch(queue_max, leave, concerns, passes, takes_moved=takes_moved)
        with self._lock:
            (self._of_all if session_id is None else self._of_session.setdefault(session_id, [])).append(watch)
        return watch

    def follow(self, session_id: str, follower: Follower) -> Callable[[], None]:
        """Let `follower` take what names a session from now on; return what ends that."""

        def leave() -> None:
            with self._lock:
                followers = self._followers.get(session_id, [])
                if follower in followers:
                    followers.remove(follower)
                if not followers:
                    self._followers.pop(session_id, None)

        with self._lock:
            self._followers.setdefault(session_id, []).append(follower)
        return leave

    def take(self, topic: str, records: Sequence[TopicRecord], position: Callable[[int], Position]) -> None:
        """Hand on `records`, which the view knows already; `position` tells how far it is in a partition."""
        if not self._of_session and not self._of_all and not self._followers:
            return
        woken: dict[int, Watch | Follower] = {}
        for record in records:
            watches, followers = self._watching(topic, record)
            if not watches and not followers:
                continue
            behind = position(record.partition).behind(topic, record.partition, record.offset)
            for follower in followers:
                follower.put(topic, record, behind)
                woken[id(follower)] = follower
            if watches:
                for live in self._told_by(topic, record, behind):
                    for watch, session_id in watches:
                        if session_id in (None, live.session_id):
                            watch.put(live)
                            woken[id(watch)] = watch
        _wake(woken.values())

    def close(self) -> None:
        """End every watch; any thread may call it."""
        with self._lock:
            watches: list[Watch | Follower] = [*self._of_all, *chain.from_iterable(self._of_session.values())]
            watches += chain.from_iterable(self._followers.values())
        for watch in watches:
            watch.end()
        _wake(watches)

    def _watching(
        self, topic: str, record: TopicRecord
    ) -> tuple[Sequence[tuple[Watch, str | None]], Sequence[Follower]]:
        """Return who may be meant, with the one session that counts for them; the record is not decoded for that."""
        found: list[tuple[Watch, str | None]] = []
        followers: list[Follower] = []
        with self._lock:
            if self._of_session or self._followers:
                for session_id in dict.fromkeys(sessions_named_in(record)):
                    watches = self._of_session.get(session_id, ())
                    found += [(watch, None if watch.takes_moved else session_id) for watch in watches]
                    followers += self._followers.get(session_id, ())
            if topic == SESSIONS:
                found += [(watch, None) for watch in self._of_all if watch.concerns(record.key or b"")]
        return found, followers

    def _told_by(self, topic: str, record: TopicRecord, behind: Position) -> Sequence[Live]:
        """Return what `record` tells; nothing if it cannot be read, which those who read the session see."""
        try:
            part = decode_part(self._codec, [output_of(topic, record)])
        except RegistryUnavailable:
            return ()
        messages = [Live(behind, row.session_id, row.user_id, None, row) for row in (m.row for m in part.messages)]
        events = [
            Live(behind, e.row.session_id, e.row.user_id, e.view, None) for e in part.events if e.view.kind != SEALED
        ]
        return [*messages, *events]


def _wake(watches: Iterable[Watch | Follower]) -> None:
    loops = {id(watch.loop): watch.loop for watch in watches}
    for name, loop in loops.items():
        mine = [watch for watch in watches if id(watch.loop) == name]
        if not loop.is_closed():
            loop.call_soon_threadsafe(_wake_all, mine)


def _wake_all(watches: Iterable[Watch | Follower]) -> None:
    for watch in watches:
        watch.wake()
