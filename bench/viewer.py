"""A view in a process of its own: it follows the topics, answers reads and says how far behind it is.

Prints one JSON object a line: `ready` once it has caught up, then every quarter of a second how it goes.
"""

import argparse
import json
import random
import threading
import time
from collections import deque
from collections.abc import Mapping
from typing import Final

import psutil

from bench.task import user_key
from processor.codec import SHIPPED, Codec, Schemas
from processor.processes.collecting import tune_garbage_collection
from processor.processes.service.viewing import Viewing
from processor.sessions.ports import Source
from processor.settings.documents import schema_text
from processor.settings.model import TopicNames
from processor.view.view import View
from processor.wiring import SystemClock

_SAMPLE_S: Final = 0.25
_LOOK_S: Final = 0.01


class Behind:
    """How long after the topics had come so far the view has: measured end by end."""

    def __init__(self) -> None:
        self._waiting: deque[tuple[float, Mapping[Source, int]]] = deque()
        self.seconds: list[float] = []

    def ends(self, ends: Mapping[Source, int]) -> None:
        """The topics end there now."""
        self._waiting.append((time.monotonic(), ends))

    def at(self, positions: Mapping[Source, int]) -> None:
        """The view is there now."""
        while self._waiting:
            at_s, ends = self._waiting[0]
            if any(positions.get(source, 0) < end for source, end in ends.items()):
                return
            self._waiting.popleft()
            self.seconds.append(time.monotonic() - at_s)


def main() -> None:
    """Follow until killed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bootstrap")
    parser.add_argument("prefix")
    parser.add_argument("--partitions", type=int, default=4)
    parser.add_argument("--users", type=int, required=True)
    parser.add_argument("--reads", type=int, default=0, help="reads of one session a second")
    options = parser.parse_args()
    names = TopicNames(*(f"{options.prefix}.{name}" for name in TopicNames._fields))
    codec = Codec(Schemas({name: schema_text(name) for name in SHIPPED}))
    begun_s = time.monotonic()
    tune_garbage_collection()  # As the service does.
    view = View(codec, None, partitions=options.partitions, cluster_id="bench", now_ms=SystemClock().now_ms)
    with Viewing({"bootstrap.servers": options.bootstrap}, names, view, options.partitions) as viewing:
        while not view.progress.is_ready():
            viewing.follow()
        _say(ready_s=time.monotonic() - begun_s)
        behind, reads = Behind(), Reads(view, options.users, options.reads)
        threading.Thread(target=_ask, args=(viewing, behind), daemon=True).start()
        if options.reads:
            threading.Thread(target=reads.run, daemon=True).start()
        look_s = say_s = 0.0
        while True:
            viewing.follow()
            now_s = time.monotonic()
            if now_s >= look_s:
                look_s = now_s + _LOOK_S
                behind.at(viewing.positions())
            if now_s >= say_s:
                say_s = now_s + _SAMPLE_S
                _say(behind_s=max(behind.seconds, default=None), read_ms=reads.taken_ms(), reads=reads.count)
                behind.seconds.clear()


class Reads:
    """Reads of one session each, begun at a steady rate whatever the one before took."""

    def __init__(self, view: View, users: int, rate: int) -> None:
        self.count = 0
        self._view, self._users, self._rate = view, users, rate
        self._taken_s: list[float] = []

    def run(self) -> None:
        """Read for ever."""
        chance, due_s = random.Random(7), time.monotonic()
        while True:
            due_s += 1 / self._rate
            time.sleep(max(0.0, due_s - time.monotonic()))
            session_id = self._view.memory.open_session(user_key(chance.randrange(self._users)).decode())
            if session_id is not None:
                self._view.session(session_id)
                self.count += 1
                self._taken_s.append(time.monotonic() - due_s)

    def taken_ms(self) -> float | None:
        """Return the 99th percentile since this was last asked, ms from when a read was due."""
        taken, self._taken_s = sorted(self._taken_s), []
        return taken[len(taken) * 99 // 100] * 1000 if taken else None


def _ask(viewing: Viewing, behind: Behind) -> None:
    while True:
        behind.ends(viewing.ends())
        time.sleep(_SAMPLE_S)


def _say(**fields: float | None) -> None:
    rss_mib = psutil.Process().memory_info().rss / 2**20
    print(json.dumps({"rss_mib": round(rss_mib), **fields}), flush=True)


if __name__ == "__main__":
    main()
