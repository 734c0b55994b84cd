"""What every line of the benchmark is handed."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.cluster import Cluster
from bench.machine import BUSY_MAX, Others, wait_until_quiet
from bench.scale import Scale
from bench.systems import System


@dataclass(slots=True)
class Context:
    """The broker, the sizes, the peers to run, a folder for what comes and goes."""

    cluster: Cluster
    scale: Scale
    peers: frozenset[str]
    folder: Path
    not_run: dict[str, str] = field(default_factory=dict)  # peer -> why

    def with_peers(self, systems: list[System]) -> list[System]:
        """Return those systems that are to be run and can be."""
        return [
            system
            for system in systems
            if system.kind == "ours" or (system.kind in self.peers and system.kind not in self.not_run)
        ]

    def quietly(self, what: str, measure: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """Return what `measure` does, done while the machine has little else to do.

        A run during which others used more than BUSY_MAX cores is done again, `scale.retries` times at most; how much
        they used is part of the result.
        """
        for attempt in range(self.scale.retries + 1):
            before = wait_until_quiet(self.scale.quiet_wait_s)
            others = Others()
            begun_s = time.monotonic()
            run = measure()
            run["others_before_cores"] = before
            run.setdefault("others_cores", others.cores())
            shown = ", ".join(
                f"{key} {_short(value)}" for key, value in run.items() if not isinstance(value, list | dict)
            )
            print(f"    {what}: {shown} [{time.monotonic() - begun_s:.0f} s]", flush=True)
            if run["others_cores"] <= BUSY_MAX or attempt == self.scale.retries:
                break
            print("    others were busy: again", flush=True)
        return run


def _short(value: object) -> str:
    return f"{value:,.4g}" if isinstance(value, float) else str(value)


@contextmanager
def step(what: str) -> Iterator[None]:
    """Say what is being done, and how long it took."""
    print(f"    {what} ...", flush=True)
    begun_s = time.monotonic()
    yield
    print(f"    {what}: {time.monotonic() - begun_s:.1f} s", flush=True)
