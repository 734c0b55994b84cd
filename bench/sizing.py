"""What one message costs in each part, at several rates: CPU time and bytes, for docs/sizing.md.

CPU seconds and bytes hardly depend on what else the machine does, so this line does not wait until it is quiet.
"""

import random
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final

import psutil
from confluent_kafka import TopicPartition

from bench.cluster import OURS
from bench.context import Context
from bench.launched import Launched
from bench.live import await_records, drive
from bench.machine import tree_s
from bench.messages import encode_ours, message
from bench.report import Section, number
from bench.systems import OURS_LIVE
from processor import broker
from processor.kafka.topics.desired import desired_topics
from processor.processes.parts import this_command

RATES: Final = (0, 20, 200, 1_000)
PARTS: Final = ("process", "export", "serve")
KAFKA: Final = "Kafka"


def measure(context: Context) -> Section:
    """Measure all parts at each rate."""
    scale = context.scale
    section = Section(
        "sizing",
        "What a rate costs",
        f"Avro messages at an even pace for {scale.measure_s:.0f} s, of each user one a second in an open session, "
        f"{scale.partitions} partitions; one worker, an exporter that follows and writes bundles, a service "
        "without clients, Kafka on one node. Cores: CPU time of the whole process tree, user and system, by the time. "
        "Bytes: what Kafka's segments grew by, a message, one copy.",
        ("messages/s", *(f"{part}, cores" for part in (*PARTS, KAFKA)), *(f"{topic}, B" for topic in _topics())),
    )
    for rate in RATES:
        run = one(context, rate)
        section.runs.append(run)
        cores = [f"{run[name]:.3f}" for name in (*PARTS, KAFKA)]
        sizes = [number(run[name], 0) for name in _topics()] if rate else [""] * len(_topics())
        section.rows.append((number(run["came"] if rate else 0), *cores, *sizes))
    return section


def one(context: Context, rate: int) -> dict[str, Any]:
    """Start all parts on fresh topics, warm them up, and measure them while messages come."""
    context.cluster.fresh_ours(keep_raw=False)
    warm_s, measure_s = context.scale.warm_s, context.scale.measure_s
    with ExitStack() as stack:
        parts = {"process": stack.enter_context(OURS_LIVE.start(context.cluster, context.folder))}
        for part, words in (("export", ("--follow", "--to", "bundles")), ("serve", ("--port", "0"))):
            parts[part] = stack.enter_context(_started(context, part, *words))
        await_records(context, OURS_LIVE.tagged, context.cluster.load(_first(max(rate, 1))), parts["process"])
        trees = {name: partial(Launched.cpu_s, launched) for name, launched in parts.items()}
        trees[KAFKA] = partial(tree_s, psutil.Process(_broker_pid(context)))
        run: dict[str, Any] = {"rate": rate}

        def look() -> None:
            time.sleep(warm_s)
            before = {name: cpu_s() for name, cpu_s in trees.items()}
            begun_s, came, sizes = time.monotonic(), _came(context), _log_bytes(context)
            time.sleep(measure_s)
            took_s, count = time.monotonic() - begun_s, _came(context) - came
            run["came"] = count / took_s
            run.update({name: (cpu_s() - before[name]) / took_s for name, cpu_s in trees.items()})
            run.update({name: (size - sizes[name]) / max(count, 1) for name, size in _log_bytes(context).items()})

        if rate:
            drive(context, OURS_LIVE, rate=rate, seconds=warm_s + measure_s + 5, users=rate, meanwhile=look)
        else:
            look()
        run |= {f"{name}_rss_mib": launched.rss_mib() for name, launched in parts.items()}
    print(f"    {run}", flush=True)
    return run


def _came(context: Context) -> int:
    """Return how many messages have come: nobody writes to the raw topic in transactions."""
    reader = context.cluster.reader(OURS_LIVE.raw)
    places = (TopicPartition(OURS_LIVE.raw, partition) for partition in range(context.cluster.partitions))
    count = sum(reader.get_watermark_offsets(place, timeout=30)[1] for place in places)
    reader.close()
    return count


def _first(users: int) -> Iterator[tuple[str, str, bytes, None]]:
    """Yield the first message of each user whom `drive` lets speak."""
    rng = random.Random(7)
    for user in range(users):
        said = message(rng, f"live{user:04d}", time.time_ns() // 1_000_000)
        yield OURS_LIVE.raw, said["user_id"], encode_ours(said), None


@contextmanager
def _started(context: Context, part: str, *words: str) -> Iterator[Launched]:
    folder = context.folder / f"sizing-{time.time_ns()}"
    folder.mkdir()
    environ = {
        "KAFKA_BOOTSTRAP_SERVERS": context.cluster.bootstrap,
        "A3CP_TOPIC_PREFIX": OURS,
        "A3CP_STORE_URL": f"sqlite:///{folder / 'a3cp.db'}",
    }
    command = [*this_command(part), *(str(folder / word) if word == "bundles" else word for word in words)]
    with Launched(command, environ, folder / "log") as launched:
        yield launched


def _broker_pid(context: Context) -> int:
    running = broker.status(context.folder / "broker")
    assert running is not None
    return running.pid


def _topics() -> list[str]:
    return sorted(
        topic.name.removeprefix(f"{OURS}.") for topic in desired_topics(OURS) if not topic.name.endswith("dlq")
    )


def _log_bytes(context: Context) -> dict[str, int]:
    """Return the size of each topic's segments, without their indexes."""
    data = Path(context.folder / "broker" / "data")
    return {topic: sum(path.stat().st_size for path in data.glob(f"{OURS}.{topic}-[0-9]/*.log")) for topic in _topics()}
