"""Two workers: how much faster than one, and how long until one takes over from another that was killed."""

import os
import time
from functools import partial
from statistics import median
from typing import Any, Final

from bench.context import Context
from bench.drain import Backlog, drain, load
from bench.launched import Launched
from bench.live import drive
from bench.report import Section, Target, middle, number, ratio
from bench.systems import OURS_DRAIN, OURS_LIVE, OURS_TWO, STREAMS_TAKEOVER, System

CORES_NEEDED: Final = 6  # two workers of one to two cores each, the broker, the meter
_RATE: Final = 200.0
_WATCH_S: Final = 40.0
_BOTH_OWN_S: Final = 60.0


def measure(context: Context) -> Section:
    """Measure two workers against one, and the take-over."""
    scale = context.scale
    cores = os.cpu_count() or 1
    section = Section(
        "workers",
        "Two workers",
        f"The drain with --workers 2 and with one, taking turns, on {cores} cores that broker and meter use too. "
        f"Take-over: two members share the work at {_RATE:.0f} messages a second; one is killed (SIGKILL to its whole "
        "process tree); seconds until the last partition has its first output of a message sent after the kill; "
        "session time-out 6 s (our default; that of Kafka Streams is 45 s); median of "
        f"{scale.takeovers}.",
        ("what", "system", "value", "of all runs"),
    )
    backlog = Backlog(scale.messages, scale.users)
    load(context, backlog, peers=False)
    runs: list[dict[str, Any]] = []
    for _ in range(scale.runs):
        runs += [
            context.quietly(f"drain, {system.name}", partial(drain, context, system, backlog, check=False))
            for system in (OURS_DRAIN, OURS_TWO)
        ]
    section.runs += runs
    one, two = ([run for run in runs if run["system"] == system.name] for system in (OURS_DRAIN, OURS_TWO))
    for system, its in ((OURS_DRAIN, one), (OURS_TWO, two)):
        section.rows.append(("drain, msg/s", system.name, number(middle(its, "msg_s")), _all(its, "msg_s", 0)))
    share = ratio(middle(two, "msg_s"), middle(one, "msg_s")) or 0.0
    section.targets.append(
        Target(
            "two workers ≥ 1.5 × one, where cores allow",
            f"{share:.2f} on {cores} cores",
            share >= 1.5 if cores >= CORES_NEEDED else None,
        )
    )
    medians = {}
    for system in context.with_peers([OURS_LIVE, STREAMS_TAKEOVER]):
        its = [
            context.quietly(f"take-over, {system.name}", partial(takeover, context, system))
            for _ in range(scale.takeovers)
        ]
        section.runs += its
        medians[system.name] = median(run["takeover_s"] for run in its)
        section.rows.append(("take-over, s", system.name, number(medians[system.name], 1), _all(its, "takeover_s", 1)))
    if STREAMS_TAKEOVER.name in medians:
        mine, theirs = medians[OURS_LIVE.name], medians[STREAMS_TAKEOVER.name]
        section.targets.append(
            Target("take-over sooner than Kafka Streams'", f"{mine:.1f} s against {theirs:.1f} s", mine < theirs)
        )
    return section


def takeover(context: Context, system: System) -> dict[str, Any]:
    """Kill one of two members under load, and return how long its partitions stood still."""
    system.fresh(context.cluster, keep_raw=False)  # A group of its own must find no states of another's.
    group = f"{system.kind}-takeover-{time.time_ns()}"
    killed_s = 0.0
    with (
        system.start(context.cluster, context.folder, group) as victim,
        system.start(context.cluster, context.folder, group) as heir,
    ):
        _await_both(context, group, (victim, heir))

        def kill() -> None:
            nonlocal killed_s
            time.sleep(8)  # The sender needs a moment to prepare; then some seconds of calm running.
            victim.kill()
            killed_s = time.monotonic()

        trips = drive(context, system, rate=_RATE, seconds=_WATCH_S, meanwhile=kill, stragglers_s=10.0)
        heir.require_running()
    still = {}
    for partition in range(context.scale.partitions):
        arrivals_s = [
            trip.arrived_s
            for trip in trips
            if trip.partition == partition and trip.sent_s > killed_s and trip.arrived_s is not None
        ]
        if not arrivals_s:
            raise RuntimeError(f"partition {partition} had no output after the kill:\n{heir.tail()}")
        still[partition] = round(min(arrivals_s) - killed_s, 2)
    lost = sum(trip.arrived_s is None for trip in trips)
    return {"system": system.name, "takeover_s": max(still.values()), "partitions": still, "lost": lost}


def _await_both(context: Context, group: str, launched: tuple[Launched, ...]) -> None:
    """Wait until both members have owned partitions for a few seconds."""
    deadline_s = time.monotonic() + _BOTH_OWN_S
    good = 0
    while good < 5:
        owned = [partitions for partitions in context.cluster.members(group).values() if partitions]
        good = good + 1 if len(owned) >= 2 and sum(map(len, owned)) == context.scale.partitions else 0
        for each in launched:
            each.require_running()
        if time.monotonic() > deadline_s:
            raise RuntimeError(f"the group did not settle: {context.cluster.members(group)}")
        time.sleep(0.5)


def _all(runs: list[dict[str, Any]], key: str, digits: int) -> str:
    return ", ".join(number(run[key], digits) for run in runs)
