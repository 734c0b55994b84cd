"""The bad things that may happen. Each is a method, which draws its details and tells what it did.

One comes after the other, but a frozen worker sleeps on meanwhile. What has ended is started again at once.
"""

import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeAlias

from confluent_kafka import ElectionType, Producer

from processor import broker
from tests.broker.fleet import Worker
from tests.chaos.deployment import SESSION_TIMEOUT_MS, Deployment
from tests.chaos.standstills import Trouble, Troubles

Pause: TypeAlias = tuple[float, float]
"""The shortest and the longest time between two bad things, seconds."""

SESSION_S: Final = SESSION_TIMEOUT_MS / 1000
DAY_S: Final = 86_400

WEIGHTS: Final = {
    "kill": 5, "freeze": 3, "stop": 2, "storm": 1, "poison": 2, "kill_exporter": 3, "kill_service": 4,
    "stop_kafka": 2, "fill_disk": 2, "slow_disk": 2, "set_clock": 2,
}  # fmt: skip
KILLS_MIN: Final = 4  # of workers: what one is in the middle of is a matter of milliseconds
BACKLOG_S: Final = 1.0  # far below the time-out of a session
AT_WORK_S: Final = 0.1  # as long as a worker takes for such a backlog, about
OF_NODES: Final = {"fail_node": 4, "move_leaders": 2}


class Chaos:
    """A deployment, and what happens to it."""

    def __init__(self, seed: int, nodes: int, pause_s: Pause, deployment: Deployment) -> None:
        self.happened: Final[Counter[str]] = Counter()
        self.troubles: Final = Troubles()
        self._chance = random.Random(seed)
        self._nodes, self._pause_s = nodes, pause_s
        self._runs = deployment
        self._frozen: list[tuple[float, Worker, Trouble]] = []

    def impossible(self) -> set[str]:
        """Return what cannot be done on this machine."""
        return set() if self._runs.disk.is_own else {"fill_disk", "slow_disk"}

    def run(self, seconds: float, tell: Callable[[str], None]) -> None:
        """Let each bad thing happen once, `KILLS_MIN` workers die, and others happen for so long."""
        weights = WEIGHTS | (OF_NODES if self._nodes > 1 else {})
        weights = {name: weight for name, weight in weights.items() if name not in self.impossible()}
        each_once = [*weights, *["kill"] * (KILLS_MIN - 1)]
        self._chance.shuffle(each_once)
        began_s = time.monotonic()
        while each_once or time.monotonic() < began_s + seconds:
            self.wait(self._chance.uniform(*self._pause_s))
            (name,) = self._chance.choices(list(weights), list(weights.values()))
            name = each_once.pop() if each_once else name
            at_s = time.monotonic() - began_s
            tell(f"{at_s:6.1f} s  {getattr(self, name)()}")
            self.happened[name] += 1
        self._thaw(float("inf"))
        self._runs.keep_running()

    def wait(self, seconds: float) -> None:
        """Let time pass: count what comes, start what has ended, and wake up who has slept long enough."""
        until_s = time.monotonic() + seconds
        while time.monotonic() < until_s:
            self._runs.tagged.look()
            self._thaw(time.monotonic())
            self._runs.keep_running()

    def kill(self) -> str:
        """A worker dies in the middle of its work: so that it has some, it is held up before."""
        worker = self._worker()
        worker.signal(signal.SIGSTOP)
        time.sleep(BACKLOG_S)
        worker.signal(signal.SIGCONT)
        time.sleep(self._chance.uniform(0, AT_WORK_S))
        return self._happen("a worker is killed", worker.kill)

    def stop(self) -> str:
        """A worker is stopped, as for an upgrade."""
        worker = self._worker()
        worker.signal(signal.SIGCONT)
        return self._happen("a worker is stopped", worker.stop)

    def freeze(self) -> str:
        """A worker stands still and wakes up: before its group has given it up, or after that."""
        worker, seconds = self._worker(), self._chance.uniform(0.5, 2.0) * SESSION_S
        what = f"a worker is frozen for {seconds:.1f} s"
        worker.signal(signal.SIGSTOP)
        self._frozen.append((time.monotonic() + seconds, worker, self.troubles.begin(what)))
        return what

    def storm(self) -> str:
        """Workers come and go, and each changes the assignment."""
        guests = self._chance.randint(2, 4)
        what = f"{guests} workers come and go"
        with self.troubles.lasting(what):
            for _ in range(guests):
                guest = self._runs.fleet.start()
                self.wait(self._chance.uniform(1.0, 2.5))
                guest.kill()
        return what

    def poison(self) -> str:
        """Records come that nobody can read."""
        producer = Producer({"bootstrap.servers": self._runs.bootstrap, "log_level": 0})
        values = [b"{broken", b"", b"[1]", self._chance.randbytes(20)]
        for partition in range(4):
            for value in values:
                producer.produce(self._runs.fleet.names.raw, value, b"nobody", partition)
        producer.flush(30)
        return f"{4 * len(values)} records come that are no messages"

    def kill_exporter(self) -> str:
        """The exporter dies."""
        self._runs.exporter.end(signal.SIGKILL)
        return "the exporter is killed"

    def kill_service(self) -> str:
        """A replica of the service dies, between commands and their answers."""
        port = self._chance.choice(self._runs.ports)
        self._runs.services[port].kill()
        return "a replica of the service is killed"

    def stop_kafka(self) -> str:
        """Kafka takes nothing for a while; the service has its outbox. Of three nodes, two are killed.

        To stop all three under load is what docs/operations.md advises against: a transaction may hang.
        """
        away_s = self._chance.choice((0.0, 5.0, 15.0))
        what = f"Kafka is away for {away_s:.0f} s and its start"
        with self.troubles.lasting(what):
            self._away()
            self.wait(away_s)
            broker.up(self._runs.port, self._runs.kafka)
        self._await_copies()
        return what

    def _away(self) -> None:
        running = broker.status(self._runs.kafka)
        assert running is not None
        if self._nodes == 1:
            broker.down(self._runs.kafka)
        for node in self._chance.sample(running.nodes, max(0, len(running.nodes) - 1)):
            os.kill(node.pid, signal.SIGKILL)

    def fail_node(self) -> str:
        """One of three nodes is killed, stopped or frozen, and comes back; then it catches up."""
        number, how, away_s = self._chance.randint(1, 3), self._chance.choice(tuple(_FAIL)), self._chance.uniform(1, 20)
        folder = self._runs.kafka / f"node-{number}"
        what = f"node {number} is {how} for {away_s:.0f} s"
        node = broker.status(folder)
        assert node is not None
        with self.troubles.lasting(what):
            _FAIL[how](node.pid, folder)
            self.wait(away_s)
            os.kill(node.pid, signal.SIGCONT) if how == "frozen" else broker.up(None, folder)
        self._await_copies()
        return what

    def move_leaders(self) -> str:
        """The first copy of each partition leads, as on a cluster where nothing has failed."""
        return self._happen("leaders move", lambda: self._runs.admin.elect_leaders(ElectionType.PREFERRED).result(30))

    def fill_disk(self) -> str:
        """The disk of the exporter's store and bundles, and of the outboxes, is full for a while."""
        seconds = self._chance.uniform(3, 12)
        with self._runs.disk.full():
            self.wait(seconds)
        return f"the disk was full for {seconds:.0f} s"

    def slow_disk(self) -> str:
        """That disk lets each write wait, up to half a second."""
        times, stall_s = self._chance.randint(5, 15), self._chance.uniform(0.1, 0.5)
        for _ in range(times):
            with self._runs.disk.standing_still():
                time.sleep(stall_s)
            self._runs.tagged.look()
        return f"the disk stood still {times} times for {stall_s:.1f} s"

    def set_clock(self) -> str:
        """The clock of workers and exporter is set wrong, or right again."""
        ahead_s = self._chance.choice((0, 1, -1)) * self._chance.randrange(60, 3 * DAY_S)
        self._runs.clock.set(ahead_s)
        return f"the clock of workers and exporter is {ahead_s} s ahead"

    def _happen(self, what: str, act: Callable[[], object]) -> str:
        with self.troubles.lasting(what):
            act()
        return what

    def _worker(self) -> Worker:
        return self._chance.choice(self._runs.workers)

    def _await_copies(self) -> None:
        while not self._runs.has_all_copies():
            self.wait(0.5)

    def _thaw(self, now_s: float) -> None:
        for each in list(self._frozen):
            at_s, worker, trouble = each
            if now_s >= at_s:
                worker.signal(signal.SIGCONT)
                trouble.end()
                self._frozen.remove(each)


_FAIL: Final[dict[str, Callable[[int, Path], object]]] = {
    "killed": lambda pid, _: os.kill(pid, signal.SIGKILL),
    "frozen": lambda pid, _: os.kill(pid, signal.SIGSTOP),
    "stopped": lambda _, folder: broker.down(folder),
}
