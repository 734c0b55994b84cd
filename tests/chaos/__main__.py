"""A deployment under load to which bad things happen: `make chaos SEED=1 SECONDS=600`. It ends with the proofs.

Workers and the exporter are killed, frozen and stopped, Kafka is restarted, workers come and go quickly, and records
come that are no messages. Then `a3cp audit` compares all topics, the exporter goes to the end, and all bundles are
verified. What happens, and when, depends on the seed only; how far the work is by then does not.
"""

import argparse
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from confluent_kafka import Producer

from processor import broker
from processor.bundles.verify import verify
from processor.kafka.topic_admin import ensure_topics
from tests.broker.exporters import Exporter
from tests.broker.fleet import Fleet, Load, Watcher, Worker

PREFIX: Final = "chaos"
WORKERS: Final = 2
SESSION_TIMEOUT_MS: Final = 6_000
PAUSE_S: Final = (1.0, 8.0)  # between two bad things
FROZEN_S: Final = 9.0  # longer than a session of the group


class Chaos:
    """The deployment, and what may happen to it; each happening tells what it did."""

    def __init__(self, seed: int, folder: Path, stack: ExitStack) -> None:
        """Start Kafka, workers, exporter and load."""
        self.chance: Final = random.Random(seed)
        self.happened: Final[Counter[str]] = Counter()
        self._kafka = folder / "kafka"
        info = broker.up(None, self._kafka)
        stack.callback(broker.down, self._kafka)
        self._bootstrap = info.bootstrap
        ensure_topics({"bootstrap.servers": info.bootstrap}, PREFIX, partitions=4)
        self.fleet: Final = stack.enter_context(
            Fleet(info.bootstrap, PREFIX, folder, batch_records_max=50, session_timeout_ms=SESSION_TIMEOUT_MS)
        )
        self.exporter: Final = stack.enter_context(
            Exporter(self.fleet.environ, f"sqlite:///{folder / 'store.db'}", folder / "export")
        )
        self.tagged: Final = stack.enter_context(Watcher(info.bootstrap, self.fleet.names.tagged))
        self.load: Final = Load(info.bootstrap, self.fleet.names.raw, seed=seed, per_pause=3)
        self._running: list[Worker] = []
        self._frozen: list[tuple[float, Worker]] = []
        self.keep_running()

    def run(self, seconds: float, tell: Callable[[str], None]) -> None:
        """Let bad things happen for so long, under load."""
        actions = {
            self.kill: 5, self.freeze: 3, self.stop: 2, self.storm: 1, self.restart_kafka: 1, self.poison: 3,
            self.kill_exporter: 3,
        }  # fmt: skip
        began_s = time.monotonic()
        with self.load:
            self.tagged.await_count(100)
            self.tagged.measure()
            while time.monotonic() < began_s + seconds:
                self.wait(self.chance.uniform(*PAUSE_S))
                (action,) = self.chance.choices(list(actions), list(actions.values()))
                tell(f"{time.monotonic() - began_s:6.1f} s  {action()}")
                self.happened[action.__name__] += 1
                self.keep_running()
        self._thaw(float("inf"))

    def wait(self, seconds: float) -> None:
        """Let time pass, count what comes, and wake up who has slept long enough."""
        until_s = time.monotonic() + seconds
        while time.monotonic() < until_s:
            self.tagged.look()
            self._thaw(time.monotonic())

    def keep_running(self) -> None:
        """Start what is missing, as an orchestrator does."""
        self._running = [worker for worker in self._running if worker.process.poll() is None]
        while len(self._running) < WORKERS:
            self._running.append(self.fleet.start())
        self.exporter.start()

    def kill(self) -> str:
        """A worker dies (kill -9)."""
        self._any().kill()
        return "a worker is killed"

    def freeze(self) -> str:
        """A worker is frozen (SIGSTOP) for longer than its session lasts, and wakes up (SIGCONT)."""
        worker = self._any()
        worker.signal(signal.SIGSTOP)
        self._frozen.append((time.monotonic() + FROZEN_S, worker))
        return f"a worker is frozen for {FROZEN_S:g} s"

    def stop(self) -> str:
        """A worker is stopped (SIGTERM), as for an upgrade."""
        worker = self._any()
        worker.signal(signal.SIGCONT)
        worker.stop()
        return "a worker is stopped"

    def storm(self) -> str:
        """Workers come and go, and each changes the assignment."""
        for _ in range(3):
            guest = self.fleet.start()
            self.wait(1.5)
            guest.kill()
        return "three workers came and went"

    def restart_kafka(self) -> str:
        """Kafka is stopped and started."""
        port = int(self._bootstrap.rpartition(":")[2])
        broker.down(self._kafka)
        broker.up(port, self._kafka)
        return "Kafka was restarted"

    def poison(self) -> str:
        """Records come that nobody can read."""
        producer = Producer({"bootstrap.servers": self._bootstrap})
        for partition in range(4):
            for value in (b"{broken", b"", b"\x00\xff", b"[1]"):
                producer.produce(self.fleet.names.raw, value, b"nobody", partition)
        producer.flush(30)
        return "16 records came that are no messages"

    def kill_exporter(self) -> str:
        """The exporter dies (kill -9)."""
        self.exporter.end(signal.SIGKILL)
        return "the exporter is killed"

    def calm_down(self) -> None:
        """Stop all workers; nobody needs their logs, which are told when something was wrong."""
        for worker in self.fleet.workers:
            worker.kill()
        self.fleet.workers.clear()

    def _any(self) -> Worker:
        return self.chance.choice(self._running)

    def _thaw(self, now_s: float) -> None:
        for at_s, worker in list(self._frozen):
            if now_s >= at_s:
                worker.signal(signal.SIGCONT)
                self._frozen.remove((at_s, worker))


def main() -> int:
    """Run; return 1 if a promise was broken."""
    asked = argparse.ArgumentParser(prog="chaos", description=__doc__)
    asked.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    asked.add_argument("--seconds", type=float, default=600)
    given = asked.parse_args()
    say(f"seed {given.seed}")
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="a3cp-chaos-")))
        chaos = Chaos(given.seed, folder, stack)
        chaos.run(given.seconds, say)
        found = chaos.fleet.audit()
        chaos.exporter.end(signal.SIGTERM)
        done = chaos.exporter.run()
        bundles = list(verify(str(chaos.exporter.root)))
        broken = [bundle for bundle in bundles if not bundle.is_sound]
        say(f"happened: {', '.join(f'{name} {count}' for name, count in sorted(chaos.happened.items()))}")
        say(
            f"{found.tagged:,} messages tagged exactly once, {found.dead:,} dead letters, {found.sessions:,} sessions; "
            f"longest standstill of a partition {chaos.tagged.gap_ms / 1000:.1f} s"
        )
        say(f"{len(bundles):,} bundles, {len(broken)} broken; the exporter ended with {done.returncode}")
        if broken or done.returncode:
            return 1
        chaos.calm_down()
    return 0


def say(line: str) -> None:
    """Print a line at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
