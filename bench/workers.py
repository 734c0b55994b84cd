"""A worker a core: the drain beside one worker, and beside Kafka Streams with as many threads."""

from functools import partial
from typing import Final

from bench.context import Context
from bench.drain import Backlog, drain, load
from bench.report import Section, Target, middle, number, ratio, spread
from bench.systems import OURS_DRAIN, ours_drain, streams_drain
from processor.processes.pool import cores

_FASTER_MIN: Final = 1.6
_LEANER_MAX: Final = 0.5


def measure(context: Context) -> Section:
    """Measure one worker, a worker a core and Kafka Streams, taking turns."""
    scale = context.scale
    many = min(cores(), scale.partitions)
    ours, streams = ours_drain(many), streams_drain(many)
    systems = context.with_peers([OURS_DRAIN, ours, streams])
    section = Section(
        "workers",
        "A worker a core",
        f"The drain as above, on {cores()} cores that broker and meter use too: one worker, {many} workers, and Kafka "
        f"Streams with {many} threads, one after the other; median of {scale.runs} runs, systems taking turns.",
        ("system", "msg/s", "of all runs", "CPU µs a message", "of all runs", "of broker and meter"),
    )
    backlog = Backlog(scale.messages, scale.users)
    load(context, backlog, peers=streams in systems)
    for _ in range(scale.runs):
        section.runs += [
            context.quietly(f"drain, {system.name}", partial(drain, context, system, backlog, check=False))
            for system in systems
        ]
    runs = {system: [run for run in section.runs if run["system"] == system.name] for system in systems}
    for system, its in runs.items():
        rate, cpu, rest = (
            number(middle(its, "msg_s")),
            number(middle(its, "cpu_us"), 1),
            number(middle(its, "rest_us"), 1),
        )
        section.rows.append((system.name, rate, spread(its, "msg_s"), cpu, spread(its, "cpu_us", 1), rest))
    if streams in runs:
        faster, leaner = (ratio(middle(runs[ours], key), middle(runs[streams], key)) for key in ("msg_s", "cpu_us"))
        if faster is not None and leaner is not None:
            section.targets += [
                Target(f"≥ {_FASTER_MIN} × Kafka Streams' rate", f"{faster:.2f}", faster >= _FASTER_MIN),
                Target(f"≤ {_LEANER_MAX} × its CPU a message", f"{leaner:.2f}", leaner <= _LEANER_MAX),
            ]
    share = ratio(middle(runs[ours], "msg_s"), middle(runs[OURS_DRAIN], "msg_s"))
    if rest_us := middle(runs[ours], "rest_us"):
        most = f"{cores() / rest_us * 1e6:,.0f}"
        section.notes.append(
            f"with this broker and meter on the same {cores()} cores nothing can be faster than {most} msg/s"
        )
    section.notes.append(f"{many} workers against one: {number(share, 2)} times its rate")
    return section
