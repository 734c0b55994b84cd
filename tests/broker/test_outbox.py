"""An outbox before a real Kafka that hangs, stops and comes back."""

import os
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from processor import broker
from processor.broker import BrokerInfo
from processor.client import SessionClient
from processor.client.lanes import lane_of
from processor.core.ids import session_id
from processor.core.model import IdFormat
from processor.errors import BrokerUnavailable
from processor.kafka.reading.reader import Reader
from processor.kafka.topics.admin import ensure_topics

pytestmark = pytest.mark.broker

USERS = ("elias01", "ana", "yusuf")
_PATIENCE_S = 60.0


@pytest.fixture
def own_kafka() -> Iterator[BrokerInfo]:
    """A Kafka of this test's own, since it is stopped."""
    with tempfile.TemporaryDirectory(prefix="a3cp-tests-") as folder:
        info = broker.up(None, Path(folder))
        ensure_topics({"bootstrap.servers": info.bootstrap}, "a3cp", partitions=2)
        yield info
        broker.down(Path(folder))


def until(condition: Callable[[], bool], what: str) -> None:
    """Wait until `condition` holds."""
    give_up_s = time.monotonic() + _PATIENCE_S
    while not condition():
        assert time.monotonic() < give_up_s, what
        time.sleep(0.05)


@pytest.mark.long
def test_a_kafka_that_hangs_and_one_that_stops(own_kafka: BrokerInfo, tmp_path: Path) -> None:
    """All that was sent is in the log, each user's in order; what came twice is close enough to be known as a repeat.

    Kafka hangs at first, as one whose machine swaps: it may have what it did not acknowledge. Then it is stopped.
    """
    sent = 0

    def send(client: SessionClient, count: int) -> None:
        nonlocal sent
        for _ in range(count):
            sent += 1
            for user in USERS:
                client.send(b'{"place": %d}' % sent, user_id=user, strict=False)

    with SessionClient(own_kafka.bootstrap, outbox=tmp_path / "outbox.db") as client:
        first = client.outbox
        assert first is not None
        send(client, 100)
        os.kill(own_kafka.pid, signal.SIGSTOP)
        send(client, 100)
        until(lambda: first.waiting() == 0, "all is kept")
        assert first.stock.records > 0
        os.kill(own_kafka.pid, signal.SIGCONT)
        send(client, 10)
        until(lambda: first.stock.records == 0, "all is sent")
        send(client, 10)
        client.flush()
        assert first.stock.records == 0, "it went straight"

        broker.down(own_kafka.data_dir)
        send(client, 10)
        with pytest.raises(BrokerUnavailable):
            client.command("elias01", "start", performer_id="system")
        lane = lane_of("elias01", None)
        outcome = client.command(lane, "start", owner="elias01", performer_id="system")
        event = outcome.event
        assert (outcome.backend, outcome.kind) == ("fallback", "started")
        assert event.command_record_id is not None
        assert event.start_time is not None
        assert outcome.session_id == session_id(lane, event.start_time, event.command_record_id, IdFormat.DATED)

    with SessionClient(own_kafka.bootstrap, outbox=tmp_path / "outbox.db") as client:  # Kafka is still away.
        second = client.outbox
        assert second is not None
        send(client, 10)
        broker.up(None, own_kafka.data_dir)
        until(lambda: second.stock.records == 0, "all is sent")

    log: dict[str, list[int]] = {user: [] for user in USERS}
    with Reader({"bootstrap.servers": own_kafka.bootstrap}, "a3cp.raw") as reader:
        for record in reader.read_all([0, 1]):
            user = (record.key or b"").decode()
            if user in log:
                log[user].append(int((record.value or b"")[10:-1]))
    for user, places in log.items():
        assert list(dict.fromkeys(places)) == list(range(1, sent + 1)), user
        for place, number in enumerate(places):
            if number in places[:place]:
                assert number in places[place - 24 : place]
