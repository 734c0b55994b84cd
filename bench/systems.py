"""The systems that do the job: ours, the bare loop and Kafka Streams; how each is started, what it reads and writes."""

import sys
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from bench import kstreams
from bench.cluster import OURS, PEERS, Cluster
from bench.launched import Launched
from bench.messages import OURS_ID_AT, PEERS_ID_AT
from bench.scale import GAP_MS, QUIET_NEVER_MS
from processor.processes.parts import this_command

_BARE: Final = Path(__file__).parent / "peers" / "bare.py"
STREAMS_COMMIT_MS: Final = 5
STREAMS_SWIFT: Final = (f"--commit={STREAMS_COMMIT_MS}", "--producer.linger.ms=0")


@dataclass(frozen=True, slots=True)
class System:
    """One system in one configuration."""

    name: str  # short, for the table
    what: str  # in words
    prefix: str  # of its topics
    kind: str  # ours, bare or kstreams
    arguments: tuple[str, ...] = ()
    environ: tuple[tuple[str, str], ...] = ()

    @property
    def raw(self) -> str:
        """Its input topic."""
        return f"{self.prefix}.raw"

    @property
    def tagged(self) -> str:
        """Its output topic."""
        return f"{self.prefix}.tagged"

    @property
    def id_at(self) -> int:
        """Where a value's record id begins, in input and output alike."""
        return OURS_ID_AT if self.kind == "ours" else PEERS_ID_AT

    def fresh(self, cluster: Cluster, *, keep_raw: bool) -> None:
        """Empty its topics, the input only if not `keep_raw`."""
        if self.kind == "ours":
            cluster.fresh_ours(keep_raw=keep_raw)
        else:
            cluster.fresh_peers(keep_raw=keep_raw)

    def start(self, cluster: Cluster, folder: Path, group: str | None = None) -> Launched:
        """Start it cold; members that share `group` share the work."""
        group = group or f"{self.kind}-{uuid.uuid4().hex[:8]}"
        command, environ = self._command(group, folder)
        environ = {"KAFKA_BOOTSTRAP_SERVERS": cluster.bootstrap, **environ, **dict(self.environ)}
        return Launched(command, environ, folder / f"{group}-{uuid.uuid4().hex[:4]}.log")

    def _command(self, group: str, folder: Path) -> tuple[Sequence[str], Mapping[str, str]]:
        if self.kind == "ours":
            environ = {
                "A3CP_TOPIC_PREFIX": self.prefix,
                "A3CP_GROUP_ID": group,
                "A3CP_GAP_MS": str(GAP_MS),
                "A3CP_LOG_FORMAT": "json",
            }
            return [*this_command("process"), *self.arguments], environ
        if self.kind == "bare":
            return [sys.executable, str(_BARE), f"--group={group}", f"--prefix={self.prefix}.", *self.arguments], {}
        flags = (f"--app-id={group}", f"--prefix={self.prefix}.", f"--gap={GAP_MS}", *self.arguments)
        return kstreams.command(folder, *flags), {}


NO_CLOCK: Final = (("A3CP_QUIET_MS", str(QUIET_NEVER_MS)),)
OURS_DRAIN: Final = System("ours", "a3cp process, one worker, exactly once", OURS, "ours", (), NO_CLOCK)
OURS_LIVE: Final = System("ours", "a3cp process, one worker, exactly once, defaults", OURS, "ours")


def ours_drain(workers: int) -> System:
    """Return ours with so many workers, for the drain."""
    return replace(ours_live(workers), environ=NO_CLOCK)


def ours_live(workers: int) -> System:
    """Return ours with so many workers and defaults."""
    arguments = ("--workers", str(workers))
    return System(f"ours, {workers} workers", f"a3cp process --workers {workers}", OURS, "ours", arguments)


BARE_DRAIN: Final = System(
    "bare loop",
    "bytes in, same bytes out in transactions of 100 ms, no decoding, no state",
    PEERS,
    "bare",
    ("--commit-ms=100",),
)
BARE_LIVE: Final = System(
    "bare loop",
    "the same, one transaction for each batch that is there",
    PEERS,
    "bare",
    ("--commit-ms=0", "--linger=0"),
)


def streams_drain(threads: int) -> System:
    """Return Kafka Streams with so many threads, for the drain."""
    what = f"EOS v2, {threads} threads, RocksDB, its default commit interval"
    return System("Kafka Streams", what, PEERS, "kstreams", (f"--threads={threads}",))


STREAMS_DRAIN: Final = streams_drain(2)
STREAMS_LIVE: Final = System(
    "Kafka Streams, default", "EOS v2, two threads, commit interval 100 ms", PEERS, "kstreams", ("--threads=2",)
)
STREAMS_LIVE_SWIFT: Final = System(
    f"Kafka Streams, {STREAMS_COMMIT_MS} ms",
    f"EOS v2, two threads, commit interval {STREAMS_COMMIT_MS} ms, linger 0",
    PEERS,
    "kstreams",
    ("--threads=2", *STREAMS_SWIFT),
)
STREAMS_TAKEOVER: Final = System(
    "Kafka Streams",
    "as above, consumer session time-out 6 s",
    PEERS,
    "kstreams",
    ("--threads=2", "--consumer.session.timeout.ms=6000"),
)
