"""Take-over: how long partitions stand still when a worker is killed, or a whole machine."""

import time
from collections.abc import Callable
from functools import partial
from statistics import median
from typing import Any, Final

from bench.context import Context
from bench.launched import Launched
from bench.live import drive
from bench.report import Section, Target, number
from bench.systems import OURS_LIVE, STREAMS_TAKEOVER, System, ours_live

_RATE: Final = 200.0
_WATCH_S: Final = 40.0
_CALM_S: Final = 8.0  # The sender needs a moment to prepare; then some seconds of calm running.
_HEARTBEAT_S: Final = 3.0  # of Kafka Streams. The time-out counts from the last one, so kills are spread over it.
_BOTH_OWN_S: Final = 60.0
_MACHINE: Final = "machine"
_WORKER: Final = "one worker of two"
_WORKER_MAX_S: Final = 2.0


def measure(context: Context) -> Section:
    """Measure both take-overs of ours, and that of a machine of Kafka Streams, taking turns."""
    times = context.scale.takeovers
    section = Section(
        "takeover",
        "Take-over",
        f"Two members share the work at {_RATE:.0f} messages a second; one is killed (SIGKILL); seconds until the last "
        "partition has its first output of a message sent after the kill. Machine: one of two processes, with all that "
        "it started; session time-out 6 s (our default; that of Kafka Streams is 45 s). Worker: one of --workers 2, "
        f"whose supervisor lives on. Kills are spread over {_HEARTBEAT_S:.0f} s, a heartbeat of Kafka Streams. Median "
        f"of {times}, taking turns.",
        ("killed", "system", "s", "of all runs"),
    )
    two = ours_live(2)
    kinds = [
        *((_MACHINE, system, of_machine) for system in context.with_peers([OURS_LIVE, STREAMS_TAKEOVER])),
        (_WORKER, two, of_worker),
    ]
    for number_of_run in range(times):
        after_s = _CALM_S + _HEARTBEAT_S * (number_of_run + 0.5) / times
        section.runs += [
            {
                "killed": killed,
                **context.quietly(f"{killed}, {system.name}", partial(measured, context, system, after_s)),
            }
            for killed, system, measured in kinds
        ]
    medians = {}
    for killed, system, _ in kinds:
        values = [run["takeover_s"] for run in section.runs if (run["killed"], run["system"]) == (killed, system.name)]
        medians[killed, system.name] = median(values)
        shown = ", ".join(number(value, 1) for value in values)
        section.rows.append((killed, system.name, number(median(values), 1), shown))
    mine, theirs = medians[_MACHINE, OURS_LIVE.name], medians.get((_MACHINE, STREAMS_TAKEOVER.name))
    if theirs is not None:
        section.targets.append(
            Target("a machine's: at most Kafka Streams'", f"{mine:.1f} s against {theirs:.1f} s", mine <= theirs)
        )
    again = medians[_WORKER, two.name]
    section.targets.append(
        Target(f"a worker's: within {_WORKER_MAX_S:.0f} s", f"{again:.1f} s", again <= _WORKER_MAX_S)
    )
    return section


def of_machine(context: Context, system: System, after_s: float) -> dict[str, Any]:
    """Kill one of two processes with all that it started, and return how long its partitions stood still."""
    group = _fresh_group(context, system)
    with (
        system.start(context.cluster, context.folder, group) as victim,
        system.start(context.cluster, context.folder, group) as heir,
    ):
        _await_both(context, group, (victim, heir))
        return _still(context, system, victim.kill, after_s, heir)


def of_worker(context: Context, system: System, after_s: float) -> dict[str, Any]:
    """Kill one of a supervisor's two workers, and return how long its partitions stood still."""
    group = _fresh_group(context, system)
    with system.start(context.cluster, context.folder, group) as launched:
        _await_both(context, group, (launched,))
        return _still(context, system, launched.kill_child, after_s, launched)


def _fresh_group(context: Context, system: System) -> str:
    system.fresh(context.cluster, keep_raw=False)  # A group of its own must find no states of another's.
    return f"{system.kind}-takeover-{time.time_ns()}"


def _still(
    context: Context, system: System, kill: Callable[[], None], after_s: float, heir: Launched
) -> dict[str, Any]:
    """Kill after a while, and return how long the partition stood still that did so longest."""
    killed_s = 0.0

    def kill_later() -> None:
        nonlocal killed_s
        time.sleep(after_s)
        killed_s = time.monotonic()
        kill()

    trips = drive(context, system, rate=_RATE, seconds=_WATCH_S, meanwhile=kill_later, stragglers_s=10.0)
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
