"""The meters of latency, each a process of its own: one sends messages at a rate, one notes when they arrive.

Run as `python -m bench.meter send|read …`. Both write a JSON file of [record id, input or output partition, ns of the
monotonic clock], which the processes of one machine share.
"""

import argparse
import json
import random
import signal
import time
from pathlib import Path
from types import FrameType
from typing import Any

from bench.cluster import Cluster
from bench.messages import ID_BYTES, encode_ours, encode_peers, message
from processor.runtime.partitioner import partition_of

_LEAD_S = 1.0


def main() -> None:
    """Send or read."""
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=["send", "read"])
    parser.add_argument("--bootstrap", required=True)
    parser.add_argument("--partitions", type=int, required=True)
    parser.add_argument("--topic", required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--rate", type=float, default=1_000)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--users", type=int, default=1_000)
    parser.add_argument("--encoding", choices=["ours", "peers"], default="ours")
    parser.add_argument("--id-at", type=int, default=0)
    options = parser.parse_args()
    cluster = Cluster(options.bootstrap, options.partitions)
    noted = _send(cluster, options) if options.what == "send" else _read(cluster, options)
    options.out.write_text(json.dumps(noted), "utf-8")


def _send(cluster: Cluster, options: Any) -> list[tuple[str, int, int]]:
    """Send at an even pace; everything is encoded beforehand, so that pacing is all there is to do."""
    count = int(options.rate * options.seconds)
    rng = random.Random(time.time_ns())
    encode = encode_ours if options.encoding == "ours" else encode_peers
    prepared = []
    # Event times lie a little in the past: preparing takes a while, and a time ahead of the broker's would be flagged.
    first_ms = time.time_ns() // 1_000_000
    for number in range(count):
        user_id = f"live{rng.randrange(options.users):04d}"
        timestamp_ms = first_ms + int(number * 1000 / options.rate)
        record = message(rng, user_id, timestamp_ms)
        prepared.append((record["record_id"], user_id, encode(record), timestamp_ms))
    with_times = options.encoding == "peers"
    producer = cluster.producer(**{"linger.ms": 0, "acks": "all"})
    cluster.admin.list_topics(options.topic, timeout=10)
    begin_ns = time.monotonic_ns() + int(_LEAD_S * 1e9)
    step_ns = 1e9 / options.rate
    noted = []
    for number, (record_id, user_id, value, timestamp_ms) in enumerate(prepared):
        left_s = (begin_ns + number * step_ns - time.monotonic_ns()) / 1e9
        if left_s > 0:
            time.sleep(left_s)
        noted.append((record_id, partition_of(user_id.encode(), options.partitions), time.monotonic_ns()))
        if with_times:
            producer.produce(options.topic, value, user_id, timestamp=timestamp_ms)
        else:
            producer.produce(options.topic, value, user_id)
        producer.poll(0)
    if producer.flush(30):
        raise RuntimeError("the broker did not acknowledge all that was sent")
    return noted


def _read(cluster: Cluster, options: Any) -> list[tuple[str, int, int]]:
    """Note arrivals until SIGTERM."""
    stopping = False

    def stop(_number: int, _frame: FrameType | None) -> None:
        nonlocal stopping
        stopping = True

    signal.signal(signal.SIGTERM, stop)
    conf = {"fetch.wait.max.ms": 10, "fetch.min.bytes": 1}
    reader = cluster.reader(options.topic, conf, from_end=True)
    reader.poll(0.5)
    options.out.with_suffix(".ready").touch()
    begin, end = options.id_at, options.id_at + ID_BYTES
    noted = []
    while not stopping:
        record = reader.poll(0.05)  # `consume` would wait for a whole batch.
        if record is None or record.error() is not None:
            continue
        now_ns = time.monotonic_ns()
        value = record.value()
        assert isinstance(value, bytes)
        noted.append((value[begin:end].decode("ascii", "replace"), record.partition() or 0, now_ns))
    reader.close()
    return noted


if __name__ == "__main__":
    main()
