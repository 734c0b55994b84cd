"""The restore: how long from the assignment of partitions until they are ready, with the states on the broker."""

import json
import time
import uuid
from collections.abc import Iterator
from typing import Any, Final

from confluent_kafka import Consumer, TopicPartition

from bench.cluster import OURS, Cluster
from bench.context import Context, step
from bench.launched import Launched
from bench.report import Section, Target, middle, number, spread
from bench.systems import OURS_DRAIN
from bench.task import open_state, user_key

_LIMIT_S: Final = 300.0
MESSAGES_EACH: Final = 25
SUPERSEDED_SHARE: Final = 0.25  # the changelog's rest that compaction leaves lying around, see topics/a3cp.state.yaml


def load_states(context: Context, users: int, *, keep_raw: bool = False) -> int:
    """Fill the state topic with `users` users, some of them twice; return how many records that is."""
    append_ms = time.time_ns() // 1_000_000

    def records() -> Iterator[tuple[str, str, bytes, int | None]]:
        for number_of_user in range(int(users * SUPERSEDED_SHARE)):
            yield f"{OURS}.state", user_key(number_of_user).decode(), open_state(number_of_user, 1, append_ms), None
        for number_of_user in range(users):
            state = open_state(number_of_user, MESSAGES_EACH, append_ms)
            yield f"{OURS}.state", user_key(number_of_user).decode(), state, None

    context.cluster.fresh_ours(keep_raw=keep_raw)
    with step(f"loading the states of {users:,} users"):
        return context.cluster.load(records())


def begun_group(cluster: Cluster) -> str:
    """Return a new group that stands at the start of the raw topic: without offsets the states would be refused."""
    group = f"restored-{uuid.uuid4().hex[:8]}"
    consumer = Consumer({**cluster.conf, "group.id": group})
    offsets = [TopicPartition(f"{OURS}.raw", partition, 0) for partition in range(cluster.partitions)]
    consumer.commit(offsets=offsets, asynchronous=False)
    consumer.close()
    return group


def await_restored(launched: Launched, partitions: int) -> dict[str, float]:
    """Wait until the log says that all partitions are restored; return seconds from assignment and from the start."""
    deadline_s = time.monotonic() + _LIMIT_S
    assigned_s: float | None = None
    restored: dict[int, int] = {}
    with launched.log.open("r", encoding="utf-8") as file:
        while len(restored) < partitions:
            line = file.readline()
            if not line.endswith("\n"):
                launched.require_running()
                if time.monotonic() > deadline_s:
                    raise RuntimeError(f"not restored after {_LIMIT_S} s:\n{launched.tail()}")
                time.sleep(0.01)
                continue
            event = json.loads(line) if line.startswith("{") else {}
            if event.get("message") == "assigned":
                assigned_s = time.monotonic()
            elif event.get("message") == "restored":
                its = event.get("metadata", event)
                restored[its["partition"]] = its["records"]
    now_s = time.monotonic()
    assert assigned_s is not None
    return {
        "restore_s": round(now_s - assigned_s, 2),
        "from_start_s": round(now_s - launched.started_s, 2),
        "records": sum(restored.values()),
    }


def one(context: Context) -> dict[str, Any]:
    """Start the processor on the loaded states and wait until it is ready."""
    with OURS_DRAIN.start(context.cluster, context.folder, begun_group(context.cluster)) as launched:
        run: dict[str, Any] = await_restored(launched, context.scale.partitions)
        run["cpu_s"] = round(launched.cpu_s(), 2)
        run["rss_mib"] = round(launched.rss_mib())
    return run


def measure(context: Context) -> Section:
    """Measure the restore of many users."""
    scale = context.scale
    records = load_states(context, scale.many_users)
    runs = [context.quietly("restore", lambda: one(context)) for _ in range(scale.runs)]
    section = Section(
        "restore",
        "Restore",
        f"{scale.many_users:,} users with open sessions of {MESSAGES_EACH} messages, {records:,} records in the state "
        f"topic (a fifth of them superseded, as compaction leaves it), {scale.partitions} partitions, one worker; from "
        f"its log line `assigned` to the last `restored` (ready). Median of {scale.runs} runs.",
        ("restore s", "of all runs", "from process start s", "CPU s", "RSS MiB"),
        runs=runs,
    )
    seconds = middle(runs, "restore_s")
    section.rows.append(
        (
            number(seconds, 1),
            spread(runs, "restore_s", 1),
            number(middle(runs, "from_start_s"), 1),
            number(middle(runs, "cpu_s"), 1),
            number(middle(runs, "rss_mib")),
        )
    )
    assert seconds is not None
    section.targets.append(Target("a million users in ≤ 10 s", f"{seconds:.1f} s", seconds <= 10))
    return section
