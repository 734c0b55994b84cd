"""The outbox's promises, one by one."""

import shutil
import stat
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from processor.codec.headers import Headers
from processor.core.model import RECENT_RECORDS_MAX
from processor.errors import A3CPError, BrokerUnavailable, OutboxFull, UsageError
from processor.outbox.direct import WINDOW_RECORDS
from processor.outbox.erasing import erase_from, in_the_way, kept_of
from processor.outbox.outbox import PATIENCE_S, Outbox
from processor.outbox.queue import New, Queue
from tests.disk import small_disk
from tests.outbox.stage import TOO_LARGE, Deployment, Kafka, Producer, Told

AWAY_S = PATIENCE_S + 1


class Told1:
    """What a sender is told of one record."""

    def __init__(self) -> None:
        self.words: list[str] = []

    def done(self, error: A3CPError | None) -> None:
        """It is delivered, or was refused."""
        self.words.append("delivered" if error is None else type(error).__name__)

    def kept(self) -> None:
        """It is in the file."""
        self.words.append("kept")


@pytest.fixture
def deployment(tmp_path: Path) -> Iterator[Deployment]:
    deployment = Deployment(tmp_path, bytes_max=2_000)
    yield deployment
    deployment.kafka.is_away = False
    deployment.outbox.close()


def send(deployment: Deployment, value: bytes, user: bytes = b"elias01", *, headers: Headers | None = None) -> Told1:
    told = Told1()
    deployment.outbox.send(value, user, record_id=value.decode(), headers=headers, on_done=told.done, on_kept=told.kept)
    return told


@pytest.mark.parametrize("trace", [
    None,
    [("traceparent", b"00-" + b"1f" * 16 + b"-b7ad6b7169203331-01")],
    [("traceparent", b"00-" + b"1f" * 16 + b"-b7ad6b7169203331-01"), ("tracestate", b"a=1")],
])  # fmt: skip
def test_a_record_that_waits_keeps_its_trace(deployment: Deployment, trace: Headers | None) -> None:
    """Also over a restart of the process."""
    deployment.kafka.is_away = True
    send(deployment, b"1", headers=trace)
    deployment.pass_time(AWAY_S)
    deployment.kill()
    deployment.kafka.is_away = False
    deployment.start()
    deployment.pass_time(AWAY_S)
    assert deployment.kafka.headers == {b"1": trace}


def test_while_kafka_answers_nothing_is_written(deployment: Deployment) -> None:
    """A record goes straight to Kafka; the file stays empty, and nothing is told of it."""
    told = send(deployment, b"1")
    deployment.pass_time(1)
    assert told.words == ["delivered"]
    assert deployment.kafka.log == [(b"elias01", b"1")]
    assert (deployment.queue.stock().records, deployment.told.lines) == (0, [])


def test_an_outage(deployment: Deployment) -> None:
    """What is not acknowledged in time is kept, and what comes then at once; all is sent when Kafka is back."""
    deployment.kafka.is_away = True
    first = send(deployment, b"1")
    deployment.pass_time(PATIENCE_S / 2)
    assert first.words == [], "it is early to say"
    deployment.pass_time(AWAY_S)
    second = send(deployment, b"2")
    deployment.outbox.turn()
    assert (first.words, second.words) == (["kept"], ["kept"])
    deployment.kafka.is_away = False
    deployment.pass_time(20)
    assert deployment.kafka.log == [(b"elias01", b"1"), (b"elias01", b"2")]
    opened, emptied = deployment.told.lines
    assert opened == "opened: Kafka has not acknowledged a record within 3 s"
    assert emptied.startswith("emptied: 2 sent, 0 refused, ")


def test_later_records_of_a_user_queue_behind(deployment: Deployment) -> None:
    """Once Kafka is back, a user of whom something waits goes on through the file; another one goes straight."""
    deployment.kafka.is_away = True
    values = [b"%d" % number for number in range(3)]
    for value in values:
        send(deployment, value)
    deployment.pass_time(AWAY_S)
    deployment.kafka.is_away = False
    while deployment.queue.stock().records == len(values):
        deployment.pass_time(0.5)
    behind, straight = send(deployment, b"behind"), send(deployment, b"straight", b"ana")
    deployment.pass_time(20)
    assert (behind.words, straight.words) == (["kept"], ["delivered"])
    assert deployment.kafka.values(b"elias01") == [*values, b"behind"]


def test_the_same_bytes_wait_once(deployment: Deployment) -> None:
    """A request that is repeated while Kafka is away is sent once; another user's same bytes are another record."""
    deployment.kafka.is_away = True
    told = [send(deployment, b"1"), send(deployment, b"1"), send(deployment, b"1", b"ana")]
    deployment.pass_time(AWAY_S)
    assert [each.words for each in told] == [["kept"]] * 3
    deployment.kafka.is_away = False
    deployment.pass_time(20)
    assert sorted(deployment.kafka.log) == [(b"ana", b"1"), (b"elias01", b"1")]


def test_what_is_seen_in_the_log_is_not_sent_again(deployment: Deployment) -> None:
    """A record whose acknowledgement got lost is looked up before it is sent anew."""
    deployment.kafka.is_unheard = True
    deployment.seen = lambda record: (record.key, record.value) in deployment.kafka.log
    told = send(deployment, b"1")
    deployment.pass_time(AWAY_S)
    assert told.words == ["kept"]
    deployment.kafka.is_unheard = False
    deployment.pass_time(20)
    assert deployment.kafka.log == [(b"elias01", b"1")]


def test_a_repeat_is_close_to_its_first(tmp_path: Path) -> None:
    """So few records of a user are on their way at once that the processor knows each as a repeat if it comes again."""
    deployment = Deployment(tmp_path)
    deployment.kafka.is_unheard = True
    values = [b"%d" % number for number in range(2 * RECENT_RECORDS_MAX)]
    for value in values:
        send(deployment, value)
    deployment.pass_time(AWAY_S)
    deployment.kafka.is_unheard = False
    deployment.pass_time(30)
    log = [value for _, value in deployment.kafka.log]
    assert list(dict.fromkeys(log)) == values
    assert len(log) > len(values)
    for place, value in enumerate(log):
        assert value not in log[: max(0, place - RECENT_RECORDS_MAX)]
    deployment.outbox.close()


def test_what_is_sent_but_cannot_be_removed_is_not_sent_again(deployment: Deployment) -> None:
    """While the file cannot be written nothing is sent from it twice."""
    deployment.kafka.is_away = True
    send(deployment, b"1")
    deployment.pass_time(AWAY_S)
    deployment.queue.is_broken = True
    deployment.kafka.is_away = False
    deployment.pass_time(20)
    assert deployment.told.lines[-1] == f"troubled: the outbox at {deployment.path} cannot be used (disk I/O error)"
    deployment.queue.is_broken = False
    deployment.pass_time(10)
    assert deployment.kafka.log == [(b"elias01", b"1")]
    assert deployment.outbox.stock.records == 0


def test_full(deployment: Deployment) -> None:
    """A full outbox says so at once; what it holds is sent all the same, and then it takes more."""
    deployment.kafka.is_away = True
    kept = send(deployment, b"1")
    deployment.pass_time(AWAY_S)
    with pytest.raises(OutboxFull, match="the outbox is full, it holds 1 record; see that Kafka runs"):
        send(deployment, b"x" * 2_000)
    assert kept.words == ["kept"]
    deployment.kafka.is_away = False
    deployment.pass_time(20)
    assert send(deployment, b"2").words == []
    deployment.pass_time(1)
    assert [value for _, value in deployment.kafka.log] == [b"1", b"2"]


def test_too_old(tmp_path: Path) -> None:
    """Once a record has waited for too long no more are taken; that one still waits."""
    deployment = Deployment(tmp_path, age_ms_max=60_000)
    deployment.kafka.is_away = True
    send(deployment, b"1")
    deployment.pass_time(AWAY_S)
    send(deployment, b"2")
    deployment.pass_time(70)
    with pytest.raises(OutboxFull, match="its oldest record has waited for too long"):
        send(deployment, b"3")
    assert deployment.outbox.stock.records == 2
    deployment.outbox.close()


def test_a_refused_record_is_set_aside(deployment: Deployment) -> None:
    """What Kafka refuses is kept apart with the reason, and holds up nobody."""
    deployment.kafka.is_away = True
    poison = TOO_LARGE + b" 1"
    send(deployment, poison)
    send(deployment, b"2")
    deployment.pass_time(AWAY_S)
    deployment.kafka.is_away = False
    deployment.pass_time(30)
    assert deployment.kafka.log == [(b"elias01", b"2")]
    (refused,) = deployment.queue.refused()
    assert (refused.record.value, refused.reason) == (poison, "a record is larger than the topic takes")
    assert deployment.told.lines[-2:] == [
        "refused: a record is larger than the topic takes",
        deployment.told.lines[-1],
    ]
    assert deployment.told.lines[-1].startswith("emptied: 1 sent, 1 refused")


def test_a_refused_record_that_goes_straight_is_an_error(deployment: Deployment) -> None:
    """While Kafka answers a refusal is told to the sender, and nothing is kept."""
    told = send(deployment, TOO_LARGE)
    deployment.pass_time(1)
    assert told.words == ["UsageError"]
    assert deployment.outbox.stock.records == 0


def test_it_is_of_one_process_and_its_owner(tmp_path: Path) -> None:
    """The files are their owner's only, and another process is told that it cannot have them."""
    queue = Queue(tmp_path / "outbox.db")
    queue.add([New(b"elias01", "1", b"word")], 0)
    modes = {stat.S_IMODE(file.stat().st_mode) for file in tmp_path.iterdir()}
    assert modes == {0o600}
    with pytest.raises(UsageError, match=r"another process uses the outbox at .*; give each process its own"):
        Queue(tmp_path / "outbox.db")
    queue.close()
    Queue(tmp_path / "outbox.db").close()


def test_where_it_cannot_be(tmp_path: Path) -> None:
    """A folder that is not there is told in one line."""
    with pytest.raises(UsageError, match=r"no outbox can be kept at .*No such file or directory"):
        Queue(tmp_path / "nowhere" / "outbox.db")


@pytest.mark.parametrize("damage", ["no database", "torn in the middle"])
def test_damage(tmp_path: Path, damage: str) -> None:
    """A damaged file is set aside and named, as it is; the outbox begins anew."""
    path = tmp_path / "outbox.db"
    queue = Queue(path)
    queue.add([New(b"elias01", str(number), b"x" * 5_000) for number in range(50)], 0)
    queue.close()
    content = path.read_bytes()
    middle = len(content) // 2
    torn = content[:4_096] + b"\xff" * 8_192 + content[12_288:middle]
    path.write_bytes(b"x" * 9_000 if damage == "no database" else torn)
    damaged = path.read_bytes()
    queue = Queue(path)
    told = Told()
    outbox = Outbox(lambda: Producer(Kafka()), queue, watcher=told, bytes_max=1_000, age_ms_max=1_000)
    assert queue.damaged is not None
    assert told.lines == [f"damaged {queue.damaged}"]
    assert queue.damaged.read_bytes() == damaged
    assert outbox.stock.records == 0
    outbox.close()


def test_a_later_release(tmp_path: Path) -> None:
    """A file of a later release is not touched."""
    queue = Queue(tmp_path / "outbox.db")
    queue._database.execute("PRAGMA user_version = 99")
    queue.close()
    with pytest.raises(UsageError, match="a later release has written the outbox"):
        Queue(tmp_path / "outbox.db")


def test_a_full_disk(tmp_path: Path) -> None:
    """On a full disk nothing more is taken, and what waits can still be sent and removed."""
    disk = tmp_path / "disk"
    with small_disk(disk, "20m"):
        queue = Queue(disk / "outbox.db")
        value = b"x" * 50_000
        count = 0
        while shutil.disk_usage(disk).free > len(value) * 3:
            queue.add([New(b"elias01", None, b"%d" % count + value)], 0)
            count += 1
        with pytest.raises(OutboxFull, match="the disk has no room for the outbox"):
            queue.add([New(b"elias01", None, value * 4)], 0)
        assert count > 50
        with (disk / "other").open("wb") as other, pytest.raises(OSError, match="No space"):
            other.write(b"x" * 20_000_000)
        assert shutil.disk_usage(disk).free < 8_192
        left = queue.stock().records
        while records := queue.first(WINDOW_RECORDS):
            assert len(queue.remove([record.seq for record in records])) == len(records)
            left -= len(records)
        assert left == 0
        queue.tidy()
        queue.close()
        assert value[:100] not in (disk / "outbox.db").read_bytes()


def test_erase(tmp_path: Path) -> None:
    """A person's records go, of all their lanes and refused ones too; their words are no longer in the file."""
    path = tmp_path / "outbox.db"
    queue = Queue(path)
    users = [b"ana", b"ana~0123abcd", b"elias01"]
    queue.add([New(user, None, b"secret %d" % place) for place, user in enumerate(users)], 0)
    queue.set_aside(queue.first(1)[0], "too large", 0)
    assert queue.erase("ana", dry_run=True) == 2
    assert queue.erase("ana") == 2
    assert queue.erase("ana") == 0
    assert [record.key for record in queue.first(9)] == [b"elias01"]
    assert b"secret 0" not in path.read_bytes()
    queue.close()


def test_erase_finds_the_person_in_a_used_outbox(tmp_path: Path) -> None:
    """What a process uses is only looked into; once it is stopped, the person's records can go."""
    path = tmp_path / "outbox.db"
    assert kept_of(path, "ana") == 0
    queue = Queue(path)
    queue.add([New(b"ana~0123abcd", None, b"1"), New(b"elias01", None, b"2")], 0)
    assert kept_of(path, "ana") == 1
    (way,) = in_the_way(path, 1)
    assert way.what == f"the outbox at {path}, which another process uses, holds 1 record of the person"
    queue.close()
    assert in_the_way(path, 1) == []
    assert erase_from(path, "ana") == 1
    assert (kept_of(path, "ana"), kept_of(path, "elias01")) == (0, 1)
    path.write_bytes(b"no database" * 1_000)
    with pytest.raises(UsageError, match="cannot be read"):
        kept_of(path, "ana")


def test_without_kafka_at_the_start(tmp_path: Path) -> None:
    """It begins without Kafka, and connects once that is there."""
    kafka, told, is_there = Kafka(), Told(), threading.Event()

    def connect() -> Producer:
        if not is_there.is_set():
            raise BrokerUnavailable("no broker answers")
        return Producer(kafka)

    outbox = Outbox(connect, Queue(tmp_path / "outbox.db"), watcher=told, bytes_max=9_000, age_ms_max=9_000_000)
    outbox.start()
    kept, emptied = threading.Event(), threading.Event()
    told.emptied = lambda *_: emptied.set()  # type: ignore[method-assign]
    outbox.send(b"1", b"elias01", on_kept=kept.set)
    assert kept.wait(60)
    is_there.set()
    assert emptied.wait(60)
    outbox.close()
    assert kafka.log == [(b"elias01", b"1")]


def test_closing_keeps_what_is_not_delivered(tmp_path: Path) -> None:
    """Closing waits for Kafka as long as anybody does; then the record is in the file, and is sent next time."""
    deployment = Deployment(tmp_path)
    deployment.kafka.is_away = True
    outbox = deployment.outbox
    told = send(deployment, b"1")
    deployment.pass_time(AWAY_S)
    outbox.close()
    assert told.words == ["kept"]
    deployment.kafka.is_away = False
    deployment.start()
    deployment.pass_time(10)
    assert deployment.kafka.log == [(b"elias01", b"1")]
    assert deployment.told.lines[1].startswith("opened: records of an earlier run wait")
    deployment.outbox.close()


def test_what_must_not_wait(deployment: Deployment) -> None:
    """A record without `on_kept` is never kept: its sender is told that Kafka is away."""
    deployment.kafka.is_away = True
    told = Told1()
    deployment.outbox.send(b"1", b"elias01", on_done=told.done)
    while not told.words:
        deployment.pass_time(0.5)
    assert told.words == ["BrokerUnavailable"]
    with pytest.raises(BrokerUnavailable):
        deployment.outbox.send(b"2", b"elias01", on_done=told.done)
    assert deployment.outbox.stock.records == 0
    deployment.kafka.is_away = False
    deployment.pass_time(10)
    deployment.outbox.send(b"3", b"elias01", on_done=told.done)
    deployment.pass_time(1)
    assert deployment.kafka.values(b"elias01")[-1] == b"3"


def test_a_refusal_that_nobody_was_told(deployment: Deployment) -> None:
    """A refused record without `on_done` is told by the next `flush`, as a producer does."""
    deployment.outbox.send(TOO_LARGE, b"elias01")
    with pytest.raises(UsageError, match="1 record was not delivered: a record is larger"):
        deployment.outbox.flush()
