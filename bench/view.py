"""The view of the service: how soon and in what memory it knows a million users, and how far behind a drain it gets."""

import json
import sys
import time
from typing import Any, Final

from bench.cluster import OURS
from bench.context import Context
from bench.drain import Backlog, load
from bench.launched import Launched
from bench.report import Section, Target, middle, number, spread
from bench.restore import load_states
from bench.systems import OURS_DRAIN

READS_S: Final = 500
_LIMIT_S: Final = 300.0
_READY_S: Final = 20.0
_READY_MIB: Final = 700.0
_BEHIND_S: Final = 2.0


def measure(context: Context) -> Section:
    """Measure the start with many users, then following a drain while sessions are read."""
    scale = context.scale
    load_states(context, scale.many_users)
    starts = [context.quietly("view, start", lambda: start(context)) for _ in range(scale.runs)]
    load(context, Backlog(scale.messages, scale.users), peers=False)
    follows = [context.quietly("view, following", lambda: follow(context)) for _ in range(scale.runs)]
    section = Section(
        "view",
        "The service's view",
        f"Start: {scale.many_users:,} users with open sessions in the state topic, from the process's first line to "
        f"caught up, no store. Following: a drain of {scale.messages:,} messages by one worker beside it, at full "
        f"speed, while one session is read {READS_S} times a second (open loop, of a random user who has one): how "
        "long after the topics' end was there the view has passed it. Median of the runs.",
        ("what", "users", "s", "of all runs", "RSS MiB", "p99 of a read ms"),
        runs=[*starts, *follows],
    )
    ready_s, rss_mib = middle(starts, "ready_s"), middle(starts, "rss_mib")
    behind_s = middle(follows, "behind_s")
    section.rows += [
        ("start, until caught up", f"{scale.many_users:,}", number(ready_s, 1), spread(starts, "ready_s", 1),
         number(rss_mib), ""),
        ("following, most behind", f"{scale.users:,}", number(behind_s, 2), spread(follows, "behind_s", 2),
         number(middle(follows, "rss_mib")), number(middle(follows, "read_ms"), 1)),
    ]  # fmt: skip
    assert ready_s is not None
    assert rss_mib is not None
    assert behind_s is not None
    section.targets += [
        Target("a million open users in ≤ 20 s", f"{ready_s:.1f} s", ready_s <= _READY_S),
        Target("a million open users in ≤ 700 MB", f"{rss_mib:.0f} MiB", rss_mib * 2**20 <= _READY_MIB * 1e6),
        Target("at most 2 s behind a drain, with 500 reads/s", f"{behind_s:.2f} s", behind_s <= _BEHIND_S),
    ]
    return section


def viewer(context: Context, users: int, reads: int) -> Launched:
    """Start a view in a process of its own; see `bench/viewer.py`."""
    flags = ["--partitions", str(context.scale.partitions), "--users", str(users), "--reads", str(reads)]
    command = [sys.executable, "-m", "bench.viewer", context.cluster.bootstrap, OURS, *flags]
    return Launched(command, {}, context.folder / f"viewer-{time.monotonic_ns()}.log")


def start(context: Context) -> dict[str, Any]:
    """Start a view and wait until it has caught up."""
    with viewer(context, context.scale.many_users, 0) as launched:
        said = _await(launched, 1)[0]
        return {"what": "start", "ready_s": said["ready_s"], "rss_mib": said["rss_mib"], "cpu_s": launched.cpu_s()}


def follow(context: Context) -> dict[str, Any]:
    """Start a view, then a processor on the backlog, and wait until the view has passed all that comes of it."""
    context.cluster.fresh_ours(keep_raw=True)
    with viewer(context, context.scale.users, READS_S) as launched:
        _await(launched, 1)
        reader = context.cluster.reader(OURS_DRAIN.tagged)
        with OURS_DRAIN.start(context.cluster, context.folder) as processor:
            seen, deadline_s = 0, time.monotonic() + _LIMIT_S
            while seen < context.scale.messages:
                seen += sum(record.error() is None for record in reader.consume(5_000, 0.05))
                processor.require_running()
                assert time.monotonic() < deadline_s, processor.tail()
        lines = _await(launched, len(_lines(launched)) + 8)  # Two seconds more.
        reader.close()
        return {
            "what": "following",
            "behind_s": max((line["behind_s"] for line in lines if line.get("behind_s")), default=0.0),
            "read_ms": max((line["read_ms"] for line in lines if line.get("read_ms")), default=0.0),
            "reads": lines[-1]["reads"],
            "rss_mib": max(line["rss_mib"] for line in lines),
            "cpu_s": launched.cpu_s(),
        }


def _await(launched: Launched, count: int) -> list[dict[str, Any]]:
    """Wait until the view has said so many lines, and return them."""
    deadline_s = time.monotonic() + _LIMIT_S
    while len(lines := _lines(launched)) < count:
        launched.require_running()
        assert time.monotonic() < deadline_s, launched.tail()
        time.sleep(0.05)
    return lines


def _lines(launched: Launched) -> list[dict[str, Any]]:
    whole = launched.log.read_text("utf-8").rpartition("\n")[0]
    return [json.loads(line) for line in whole.splitlines() if line.startswith("{")]
