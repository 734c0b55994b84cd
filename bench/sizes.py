"""How many bytes a message, a session and a user take in each place: in memory, so the same on every machine.

`python -m bench.sizes` prints the table of docs/sizing.md. In Kafka a record counts with key and headers; what Kafka
adds for batches depends on how many come together: see bench/sizing.py.
"""

import random
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from bench.messages import encode_json, encode_ours, message
from processor.bundles.writing import BundleWriter
from processor.in_memory import TOPICS, MemoryDeployment
from processor.sessions.due import hand_on
from processor.sessions.ports import SessionFilter
from processor.targets.target import Target
from processor.testing import MemoryRecord

USERS: Final = 10  # each with one session
LENGTHS: Final = (50, 150)  # of sessions, messages: two, so that what a session takes is told from what a message takes
STEP_MS: Final = 10_000
ENCODINGS: Final[dict[str, Callable[[dict[str, Any]], bytes]]] = {"JSON": encode_json, "Avro": encode_ours}


def table() -> str:
    """Return the table of docs/sizing.md, in Markdown."""
    columns = {name: sizes(encode) for name, encode in ENCODINGS.items()}
    lines = [f"| bytes | {' | '.join(columns)} |", "|---|---|---|"]
    lines += [f"| {place} | {' | '.join(f'{its[place]:,}' for its in columns.values())} |" for place in columns["JSON"]]
    return "\n".join(lines)


def sizes(encode: Callable[[dict[str, Any]], bytes]) -> dict[str, int]:
    """Return the bytes by place."""
    short, long = (_taken(encode, length) for length in LENGTHS)
    more = USERS * (LENGTHS[1] - LENGTHS[0])

    def a_message(place: str) -> int:
        return round((long[place] - short[place]) / more)

    def a_session(place: str) -> int:
        return round(short[place] / USERS - a_message(place) * LENGTHS[0])

    return {
        "a message in `a3cp.raw`": a_message("raw"),
        "a message in `a3cp.tagged`": a_message("tagged"),
        "a session in `a3cp.sessions`": a_session("sessions"),
        "a user in `a3cp.state`": round(long["state"] / USERS),
        "a message in the store": a_message("store"),
        "a message in its bundle": a_message("bundles"),
        "a bundle besides": a_session("bundles"),
    }


def _taken(encode: Callable[[dict[str, Any]], bytes], length: int) -> dict[str, int]:
    """Return how many bytes are in each place after sessions of so many messages; of states the latest ones."""
    rng = random.Random(7)
    with tempfile.TemporaryDirectory() as name, MemoryDeployment(Path(name)) as deployment:
        topics, now_ms = deployment.broker.topics, deployment.clock.now_ms
        for _ in range(length):
            deployment.clock.time_ms += STEP_MS
            for number in range(USERS):
                user_id = f"user{number:07d}"
                deployment.broker.produce(TOPICS.raw, user_id, encode(message(rng, user_id, now_ms())))
            deployment.run()
        states = {record.raw_key: record for log in topics[TOPICS.state] for record in log}
        taken = {"state": sum(map(_bytes, states.values()))}
        deployment.advance(2 * deployment.settings.gap_ms)
        deployment.export()
        root = Path(name) / "bundles"
        writer = BundleWriter(deployment.store.reader, Target(str(root)), deployment.codec, now_ms=now_ms)
        hand_on(deployment.store.ledger, writer, SessionFilter())
        for topic in (TOPICS.raw, TOPICS.tagged, TOPICS.sessions):
            taken[topic] = sum(_bytes(record) for log in topics[topic] for record in log)
        taken["bundles"] = sum(path.stat().st_size for path in root.rglob("*") if path.is_file())
        deployment.store.close()
        taken["store"] = (Path(name) / "a3cp.db").stat().st_size
    return taken


def _bytes(record: MemoryRecord) -> int:
    headers = sum(len(name.encode()) + len(value or b"") for name, value in record.raw_headers or [])
    return len(record.raw_key or b"") + len(record.raw_value or b"") + headers


if __name__ == "__main__":
    print(table())
