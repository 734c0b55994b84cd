"""The drain: a backlog is there, the system starts cold, how fast does it get through?"""

import time
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from confluent_kafka import Consumer

from bench.cluster import OURS, PEERS
from bench.context import Context, step
from bench.launched import Launched
from bench.machine import Others, ours_s
from bench.messages import encode_ours, encode_peers, messages
from bench.report import Section, Target, middle, number, ratio, spread
from bench.systems import BARE_DRAIN, OURS_DRAIN, STREAMS_DRAIN, System
from bench.verify import verify

_LIMIT_S: Final = 600.0
_POLL_RECORDS: Final = 5_000
_POLL_S: Final = 0.02


@dataclass(frozen=True, slots=True)
class Backlog:
    """What lies in the input topics."""

    messages: int
    users: int


def load(context: Context, backlog: Backlog, *, peers: bool) -> str:
    """Fill the input topics anew, with the same content in each encoding; return how large a value is."""
    context.cluster.fresh_ours(keep_raw=False)
    if peers:
        context.cluster.fresh_peers(keep_raw=False)
    sizes = [0, 0]

    def records() -> Any:
        for message in messages(backlog.messages, backlog.users):
            user_id, timestamp_ms = message["user_id"], message["timestamp"]
            value = encode_ours(message)
            sizes[0] += len(value)
            yield f"{OURS}.raw", user_id, value, None
            if peers:
                value = encode_peers(message)
                sizes[1] += len(value)
                yield f"{PEERS}.raw", user_id, value, timestamp_ms

    with step(f"loading {backlog.messages:,} messages of {backlog.users:,} users"):
        context.cluster.load(records())
    return " / ".join(f"{size / backlog.messages:.0f}" for size in sizes if size)


def watch(reader: Consumer, launched: Launched, count: int, since_s: float) -> list[tuple[float, int]]:
    """Read until `count` records have come; return the seconds since `since_s` and how many, after each read."""
    arrivals: list[tuple[float, int]] = []
    seen = 0
    while seen < count:
        got = reader.consume(_POLL_RECORDS, _POLL_S)
        now_s = time.monotonic() - since_s
        if got:
            seen += sum(record.error() is None for record in got)
            arrivals.append((now_s, seen))
        else:
            launched.require_running()
            if now_s > _LIMIT_S:
                raise RuntimeError(f"only {seen} of {count} after {_LIMIT_S} s:\n{launched.tail()}")
    return arrivals


def drain(context: Context, system: System, backlog: Backlog, *, check: bool) -> dict[str, Any]:
    """Start `system` cold on `backlog` and watch its output until all is there."""
    count = backlog.messages
    system.fresh(context.cluster, keep_raw=True)
    reader = context.cluster.reader(system.tagged)
    reader.consume(1, 0.2)  # Connected before the clock starts.
    time.sleep(0.5)
    others, before_s = Others(), ours_s()
    with system.start(context.cluster, context.folder) as launched:
        arrivals = watch(reader, launched, count, launched.started_s)
        cpu_s = launched.cpu_s()
        peak_rss_mib = launched.peak_rss_mib()
        rest_s = ours_s() - before_s - cpu_s
        others_cores = others.cores()
    reader.close()
    first_at = next(index for index, (_, so_far) in enumerate(arrivals) if so_far >= count // 10)
    last_at = next(index for index, (_, so_far) in enumerate(arrivals) if so_far >= count * 9 // 10)
    (first_s, first), (last_s, last) = arrivals[first_at], arrivals[last_at]
    run: dict[str, Any] = {
        "system": system.name,
        "msg_s": (last - first) / (last_s - first_s) if last_s > first_s else None,
        "first_s": round(arrivals[0][0], 2),
        "all_s": round(arrivals[-1][0], 2),
        "cpu_us": cpu_s / count * 1e6,
        "rest_us": rest_s / count * 1e6,  # of the broker and of who reads the output
        "peak_rss_mib": round(peak_rss_mib),
        "others_cores": others_cores,
    }
    if check:
        with step(f"checking the output of {system.name}"):
            run["checked"] = verify(context.cluster, system, count)
    return run


def measure(context: Context) -> Section:
    """Measure the drain of ours and the peers, taking turns."""
    scale = context.scale
    backlog = Backlog(scale.messages, scale.users)
    systems = context.with_peers([OURS_DRAIN, BARE_DRAIN, STREAMS_DRAIN])
    sizes = load(context, backlog, peers=len(systems) > 1)
    runs: list[dict[str, Any]] = []
    for number_of_run in range(scale.runs):
        check = number_of_run == 0
        runs += [
            context.quietly(f"drain, {system.name}", partial(drain, context, system, backlog, check=check))
            for system in systems
        ]
    section = Section(
        "drain",
        "Drain",
        f"{backlog.messages:,} Avro messages of {sizes} bytes (ours / peers': our framing is 5 bytes longer, "
        f"our schema has one field more), {backlog.users:,} users, {scale.partitions} partitions, exactly "
        "once, cold start; a read_committed consumer counts. Rate between the 10th and the 90th percentile of "
        f"output; CPU of the whole process tree from its start to the last record; median of {scale.runs} "
        "runs, systems taking turns. Ours runs with its clock-driven session ends off (A3CP_QUIET_MS), since "
        "the peers' job has none.",
        (
            "system",
            "msg/s",
            "of all runs",
            "ours / it",
            "CPU µs/msg",
            "ours / it",
            "first output s",
            "all s",
            "peak RSS MiB",
        ),
        runs=runs,
    )
    by_name = {system.name: [run for run in runs if run["system"] == system.name] for system in systems}
    ours = by_name[OURS_DRAIN.name]
    rate, cpu = middle(ours, "msg_s"), middle(ours, "cpu_us")
    for name, its in by_name.items():
        section.rows.append(
            (
                name,
                number(middle(its, "msg_s")),
                spread(its, "msg_s"),
                number(ratio(rate, middle(its, "msg_s")), 2),
                number(middle(its, "cpu_us"), 1),
                number(ratio(cpu, middle(its, "cpu_us")), 2),
                number(middle(its, "first_s"), 1),
                number(middle(its, "all_s"), 1),
                number(middle(its, "peak_rss_mib")),
            )
        )
    streams = by_name.get(STREAMS_DRAIN.name)
    if streams:
        faster = ratio(rate, middle(streams, "msg_s"))
        leaner = ratio(cpu, middle(streams, "cpu_us"))
        if faster is not None and leaner is not None:
            section.targets.append(Target("rate at least Kafka Streams'", f"{faster:.2f} times", faster >= 1))
            section.targets.append(Target("at most half of its CPU per message", f"{leaner:.2f} times", leaner <= 0.5))
    section.notes += [f"{run['system']}, output checked: {run['checked']}" for run in runs if "checked" in run]
    return section
