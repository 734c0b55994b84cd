"""Commands: how many one client has answered in a second, with many under way and one at a time."""

import statistics
import threading
import time
from typing import Any, Final

from bench.cluster import OURS
from bench.context import Context
from bench.report import Section, Target, middle, number, spread
from bench.systems import OURS_LIVE
from processor.client import SessionClient

_UNDER_WAY: Final = 500
_ALONE: Final = 50
_FIRST_S: Final = 120.0


def one(context: Context) -> dict[str, Any]:
    """Start sessions of as many users as there are commands."""
    OURS_LIVE.fresh(context.cluster, keep_raw=False)
    with (
        OURS_LIVE.start(context.cluster, context.folder) as launched,
        SessionClient(context.cluster.bootstrap, topic_prefix=OURS) as client,
    ):
        client.command("alone", "start", timeout_s=_FIRST_S)
        cpu_s, began_s = time.process_time(), time.monotonic()
        waited_s = _many(client, 5 * context.scale.rate)
        took_s, cpu_s = time.monotonic() - began_s, time.process_time() - cpu_s
        launched.require_running()
        began_s = time.monotonic()
        for _ in range(_ALONE):
            client.command("alone", "note", note="x")
        alone_s = time.monotonic() - began_s
    return {
        "commands_s": round(len(waited_s) / took_s),
        "p50_ms": round(statistics.median(waited_s) * 1000, 1),
        "cpu_us": round(cpu_s / len(waited_s) * 1e6),
        "alone_s": round(_ALONE / alone_s),
    }


def _many(client: SessionClient, count: int) -> list[float]:
    """Return how long each command waited, seconds."""
    waited_s: list[float] = []
    room = threading.Semaphore(_UNDER_WAY)

    def submit(number_of_user: int) -> None:
        room.acquire()
        began_s = time.monotonic()
        future = client.submit(f"user{number_of_user}", "start")

        def done(_: object) -> None:
            waited_s.append(time.monotonic() - began_s)
            room.release()

        future.add_done_callback(done)

    for number_of_user in range(count):
        submit(number_of_user)
    for _ in range(_UNDER_WAY):
        room.acquire()
    return waited_s


def measure(context: Context) -> Section:
    """Measure commands of one client."""
    scale = context.scale
    runs = [context.quietly("commands", lambda: one(context)) for _ in range(scale.runs)]
    section = Section(
        "commands",
        "Commands of one client",
        f"{5 * scale.rate:,} sessions started by one `SessionClient`, {_UNDER_WAY} commands under way, one worker with "
        f"its defaults; then {_ALONE} notes one after the other. Median of {scale.runs} runs.",
        ("commands/s", "of all runs", "p50 ms", "client's CPU µs each", "one at a time, commands/s"),
        runs=runs,
    )
    rate = middle(runs, "commands_s")
    section.rows.append(
        (
            number(rate),
            spread(runs, "commands_s"),
            number(middle(runs, "p50_ms"), 1),
            number(middle(runs, "cpu_us")),
            number(middle(runs, "alone_s")),
        )
    )
    assert rate is not None
    section.targets.append(Target("hundreds of commands a second", f"{rate:,.0f}/s", rate >= 200))
    return section
