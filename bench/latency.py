"""The latency: from produce() to a read_committed consumer, at an even rate, the system warm."""

from functools import partial
from typing import Any

from bench.context import Context, step
from bench.drain import Backlog, load
from bench.live import await_records, drive
from bench.machine import Others
from bench.report import Section, Target, middle, number
from bench.systems import BARE_LIVE, OURS_LIVE, STREAMS_LIVE, STREAMS_LIVE_SWIFT, System

_QUANTILES = (("p50_ms", 0.5), ("p90_ms", 0.9), ("p99_ms", 0.99), ("max_ms", 1.0))


def quantiles(latencies_ms: list[float]) -> dict[str, float]:
    """Return the percentiles that the table shows."""
    ordered = sorted(latencies_ms)
    return {name: round(ordered[min(len(ordered) - 1, int(len(ordered) * share))], 2) for name, share in _QUANTILES}


def one(context: Context, system: System) -> dict[str, Any]:
    """Start `system`, warm it up with a backlog and then at the rate, and measure."""
    scale = context.scale
    system.fresh(context.cluster, keep_raw=True)
    with system.start(context.cluster, context.folder) as launched:
        await_records(context, system.tagged, scale.warm_messages, launched)
        drive(context, system, rate=scale.rate, seconds=scale.warm_s)
        cpu_s = launched.cpu_s()
        others = Others()
        trips = drive(context, system, rate=scale.rate, seconds=scale.measure_s)
        cpu_s = launched.cpu_s() - cpu_s
        others_cores = others.cores()
    latencies_ms = [(trip.arrived_s - trip.sent_s) * 1e3 for trip in trips if trip.arrived_s is not None]
    if not latencies_ms:
        raise RuntimeError(f"nothing arrived from {system.name}:\n{launched.tail()}")
    return {
        "system": system.name,
        **quantiles(latencies_ms),
        "lost": len(trips) - len(latencies_ms),
        "cpu_us": cpu_s / len(trips) * 1e6,
        "others_cores": others_cores,
    }


def measure(context: Context) -> Section:
    """Measure the latency of ours and the peers, taking turns."""
    scale = context.scale
    systems = context.with_peers([OURS_LIVE, BARE_LIVE, STREAMS_LIVE, STREAMS_LIVE_SWIFT])
    with step("preparing the backlog that warms up"):
        load(context, Backlog(scale.warm_messages, scale.users), peers=len(systems) > 1)
    with step("warming up the broker: a run of each system that does not count"):
        for system in systems:
            one(context, system)
    runs: list[dict[str, Any]] = []
    for _ in range(scale.runs):
        runs += [context.quietly(f"latency, {system.name}", partial(one, context, system)) for system in systems]
    section = Section(
        "latency",
        "Latency, end to end",
        f"{scale.rate:,} messages a second for {scale.measure_s:.0f} s, from just before produce() (linger 0, acks "
        "all) to their arrival at a read_committed consumer, ms; sender and consumer are processes of their own; each "
        f"system warmed up with {scale.warm_messages:,} messages and {scale.warm_s:.0f} s at the same rate, the broker "
        "with a whole run of each system (cold, it takes three times as long); median of "
        f"{scale.runs} runs of each percentile, systems taking turns.",
        ("system", "p50", "p90", "p99", "max", "lost", "CPU µs/msg", "configuration"),
        runs=runs,
    )
    medians: dict[str, dict[str, float | None]] = {}
    for system in systems:
        its = [run for run in runs if run["system"] == system.name]
        row = {name: middle(its, name) for name, _ in _QUANTILES}
        medians[system.name] = row
        section.rows.append(
            (
                system.name,
                *(number(value, 1) for value in row.values()),
                str(sum(run["lost"] for run in its)),
                number(middle(its, "cpu_us")),
                system.what,
            )
        )
    _judge(section, medians)
    return section


def _judge(section: Section, medians: dict[str, dict[str, float | None]]) -> None:
    ours, bare = medians[OURS_LIVE.name], medians.get(BARE_LIVE.name)
    p50, p99 = ours["p50_ms"], ours["p99_ms"]
    assert p50 is not None
    assert p99 is not None
    section.targets.append(Target("aim: p50 ≤ 6 ms, p99 ≤ 10 ms", f"{p50:.1f} / {p99:.1f} ms", p50 <= 6 and p99 <= 10))
    if bare is not None and bare["p50_ms"] and bare["p99_ms"]:
        shares = p50 / bare["p50_ms"], p99 / bare["p99_ms"]
        text = f"p50 {shares[0]:.2f} times, p99 {shares[1]:.2f} times the bare loop's"
        section.targets.append(Target("no worse than the bare loop", text, max(shares) <= 1))
    streams = [row["p99_ms"] for name, row in medians.items() if name.startswith("Kafka Streams")]
    if streams:
        best = min(value for value in streams if value is not None)
        section.targets.append(
            Target("p99 at most half of Kafka Streams' best", f"{p99 / best:.2f} times {best:.1f} ms", p99 <= best / 2)
        )
