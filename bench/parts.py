"""What some choices in the code are worth: only a number from here excuses code that is less plain than it could be."""

import gc
import time
import timeit
import uuid
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from typing import Any, Final

from confluent_kafka import TopicPartition

from bench.cluster import OURS
from bench.context import Context
from bench.latency import quantiles
from bench.messages import encode_ours, messages
from bench.pure import batches, whole_task
from bench.report import Section, number
from bench.task import new_codec
from processor.codec.avro import AvroMessages
from processor.core.model import Session
from processor.kafka.conf import producer_conf
from processor.kafka.worker import transactions
from processor.processes.collecting import tune_garbage_collection
from processor.runtime.ports import Output
from processor.settings.model import Settings
from processor.wiring import schemas

_REPEATS: Final = 7
_TRANSACTIONS: Final = 400
_RECORDS_EACH: Final = 10
_MESSAGES: Final = ("tagged",)
_BOTH: Final = ("tagged", "state")  # as the processor does


@dataclass(frozen=True, slots=True)
class _DataclassSession:
    """`Session` as the style would have it."""

    session_id: str
    start_ms: int
    last_ms: int
    count: int
    digest: bytes
    template: str | None = None
    paused_at_ms: int | None = None
    paused_total_ms: int = 0
    end_ms: int | None = None
    end_reason: None = None
    ends: int = 0
    touched_ms: int = 0


def measure(context: Context) -> Section:
    """Measure each choice against its plain alternative."""
    section = Section(
        "parts",
        "What some choices are worth",
        f"Each choice against the plain alternative. µs: the best of {_REPEATS} repeats; GC: median of all that a "
        f"task does; transactions: {_TRANSACTIONS} back to back, {_RECORDS_EACH} records and an offset each, ms.",
        ("what", "as it is", "alternative"),
    )
    row = section.rows.append
    values = ("sess", 1, 2, 3, bytes(32), None, None, 0, None, None, 0, 0)
    row(
        (
            "making a Session: NamedTuple / frozen dataclass, µs",
            _us(lambda: Session(*values)),
            _us(lambda: _DataclassSession(*values)),
        )
    )

    value = encode_ours(next(messages(1, 1)))
    short, long = new_codec(), AvroMessages(schemas(Settings()), strict=False)
    row(
        (
            "decoding an Avro message: short way / compiled readers, µs",
            _us(lambda: short.decode(value, 0)),
            _us(lambda: long.read(value, 0)),
        )
    )

    chunks = batches(encode_ours, min(100_000, context.scale.pure_messages), context.scale.users)
    gc.unfreeze()
    gc.set_threshold(700, 10, 10)
    plain = sorted(whole_task(chunks)[1])
    tune_garbage_collection()
    tuned = sorted(whole_task(chunks)[1])
    row(
        (
            "garbage collection: tuned / Python's default, µs a message",
            number(tuned[len(tuned) // 2], 1),
            number(plain[len(plain) // 2], 1),
        )
    )

    context.cluster.fresh_ours(keep_raw=False)
    _transactions_ms(context, 2, _BOTH)  # The broker is slow at first.
    turns = {producers: _transactions_ms(context, producers) for producers in (1, 2, 3)}
    for producers, its in turns.items():
        section.runs.append({"producers": producers, **its})
    messages_only, with_states, lanes = turns[2], _transactions_ms(context, 2, _BOTH), _lanes_ms(context)
    section.runs += [{"states too": True, **with_states}, {"states too": True, "lanes": 2, **lanes}]
    for what, ours, alternative in (
        ("with states / messages only", with_states, messages_only),
        ("with states, one at a time / two, half of the partitions each", with_states, lanes),
    ):
        row((f"transactions: {what}, p50 ms", number(ours["p50_ms"], 1), number(alternative["p50_ms"], 1)))
    for other in (1, 3):
        two, its = turns[2], turns[other]
        row(
            (
                f"transactions: two producers in turn / {other}, p50 ms",
                number(two["p50_ms"], 1),
                number(its["p50_ms"], 1),
            )
        )
        row(
            (
                f"transactions: two producers in turn / {other}, p99 ms",
                number(two["p99_ms"], 1),
                number(its["p99_ms"], 1),
            )
        )
    return section


def _us(call: Callable[[], Any], calls: int = 20_000) -> str:
    return number(min(timeit.repeat(call, number=calls, repeat=_REPEATS)) / calls * 1e6, 2)


def _transactions_ms(context: Context, producers: int, topics: Sequence[str] = _MESSAGES) -> dict[str, float]:
    before = transactions.PRODUCERS
    transactions.PRODUCERS = producers  # type: ignore[misc]
    try:
        return quantiles(_back_to_back_ms(context, range(context.scale.partitions), topics, _RECORDS_EACH))
    finally:
        transactions.PRODUCERS = before  # type: ignore[misc]


def _lanes_ms(context: Context) -> dict[str, float]:
    """Return how long each transaction takes when two run side by side, each with half of the partitions."""
    half = context.scale.partitions // 2
    with ThreadPoolExecutor(2) as pool:
        lanes = [
            pool.submit(_back_to_back_ms, context, partitions, _BOTH, _RECORDS_EACH // 2)
            for partitions in (range(half), range(half, context.scale.partitions))
        ]
        return quantiles([took_ms for lane in lanes for took_ms in lane.result()])


def _back_to_back_ms(context: Context, partitions: Sequence[int], topics: Sequence[str], records: int) -> list[float]:
    conf = producer_conf(context.cluster.conf, transaction_timeout_ms=10_000)
    each_in = [partitions[number % len(partitions)] for number in range(records)]
    outputs: list[Output] = [
        (f"{OURS}.{topic}", bytes(300), b"user", each, None) for topic in topics for each in each_in
    ]
    took_ms = []
    with (
        closing(context.cluster.reader(f"{OURS}.raw")) as reader,
        closing(transactions.Transactions(conf, f"bench-{uuid.uuid4().hex[:8]}", 0)) as it,
    ):
        for turn in range(_TRANSACTIONS):
            begun_s = time.monotonic()
            it.send(outputs)
            it.commit([TopicPartition(f"{OURS}.raw", partitions[0], turn)], reader.consumer_group_metadata())
            if turn >= _TRANSACTIONS // 10:
                took_ms.append((time.monotonic() - begun_s) * 1e3)
    return took_ms
