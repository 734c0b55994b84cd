"""Headers travel: what a producer sends beside a record is beside whatever comes of it, null values too."""

from pathlib import Path

import pytest
from confluent_kafka import Producer

from processor.codec.headers import DLQ_START
from processor.kafka.deadletters.letter import read_letters
from processor.kafka.deadletters.retrying import put_back, topic_to_fill
from processor.kafka.reading.reader import Reader
from processor.runtime.partitioner import partition_of
from tests.broker.fleet import BASE_MS, TIMEOUT_S, Fleet, message

pytestmark = pytest.mark.broker

CAME: list[tuple[str, bytes | None]] = [
    ("traceparent", b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
    ("tracestate", b""), ("baggage", None), ("baggage", b"\x00\xff"), ("a3cp-mine", b"not ours"),
]  # fmt: skip


def test_headers_travel(kafka: str, topics: str, tmp_path: Path) -> None:
    """Tagged, misplaced, set aside, put back: each has the headers as they came, ours behind them; the audit agrees."""
    conf = {"bootstrap.servers": kafka}
    right = partition_of(b"ann", 4)
    producer = Producer({**conf, "enable.idempotence": True})
    for partition, value in (
        (right, message("ann", BASE_MS)),
        (right, message("ann", BASE_MS + 1, number=1)),
        (right, b"{}"),
        ((right + 1) % 4, message("ann", BASE_MS + 2, number=2)),
    ):
        headers: object = CAME
        producer.produce(f"{topics}.raw", value, b"ann", partition, headers=headers)  # type: ignore[arg-type]
    assert producer.flush(TIMEOUT_S) == 0
    with Fleet(kafka, topics, tmp_path) as fleet:
        names = fleet.names
        fleet.start()
        fleet.audit()
        with Reader(conf, names.dlq) as reader:
            letters = read_letters(reader)
            (letter,) = reader.read_all()
        assert [header for header in letter.headers if not header[0].startswith(DLQ_START)] == CAME
        raw = topic_to_fill(conf, names.raw)
        assert len(list(put_back(conf, letters, raw=raw, dlq=names.dlq, group_id=topics))) == 1
        with Reader(conf, names.raw) as reader:
            back = [record.headers for record in reader.read_all() if record.partition == right][-1]
        assert back == [*CAME, ("a3cp-retried", f"{names.dlq}[{right}]@{letter.offset}".encode())]
        with Reader(conf, names.tagged) as reader:
            tagged = [record.headers for record in reader.read_all()]
        assert tagged == [CAME, CAME, [*CAME, ("a3cp-rerouted", f"{names.raw}[{(right + 1) % 4}]@0".encode())]]
