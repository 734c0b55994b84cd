"""`a3cp export` when what it needs is away or full: a clear word, another attempt, and then a calm run's end."""

import json
import os
import re
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from processor import broker
from processor.broker.probe import free_ports
from processor.kafka.reading.feed import KafkaFeed
from processor.kafka.topics.admin import ensure_topics
from processor.store import open_store
from tests.broker.exporters import Exporter, assert_same
from tests.broker.fleet import await_true, names_of, probe
from tests.broker.site import Site
from tests.disk import Disk, small_disk
from tests.postgres import Cluster
from tests.sessions.damaged import replace_a_value
from tests.sessions.outputs import message, processed

pytestmark = pytest.mark.broker

USERS = 30
RECORDS = processed(
    [message(f"user-{n % USERS}", n * 2_000, source="ui", transcript=f"w{n} {'x' * 200}") for n in range(3_000)]
)
HALF = len(RECORDS) // 2


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    with small_disk(tmp_path / "disk") as made:
        yield made


@pytest.fixture
def site(kafka: str, topics: str, tmp_path: Path) -> Site:
    return Site(kafka, topics, tmp_path)


@pytest.fixture
def calm(site: Site, tmp_path: Path) -> Callable[[], Exporter]:
    """Exports all that is in the topics, undisturbed."""

    def run() -> Exporter:
        made = Exporter(site.environ, f"sqlite:///{tmp_path / 'calm.db'}", tmp_path / "calm")
        with made:
            assert made.run().returncode == 0
        return made

    return run


def warned(exporter: Exporter, what: str) -> Callable[[], bool]:
    """Return whether it has said, in one line of its log, what is wrong, and that it tries again."""
    return lambda: any(
        line["level"] == "warning" and line["message"] == "trying again" and what in line["metadata"]["reason"]
        for line in map(json.loads, re.findall(r"^\{.*\}$(?=\n)", exporter.said(), re.MULTILINE))
    )


def end_well(exporter: Exporter, kafka: str, topics: str) -> None:
    """Wait until all is exported, and stop it."""
    exporter.await_exported(kafka, topics)
    assert exporter.end(signal.SIGTERM) == 0
    assert "Traceback" not in exporter.said()


@pytest.mark.long
def test_postgresql_is_restarted(
    kafka: str, topics: str, site: Site, cluster: Cluster, calm: Callable[[], Exporter], tmp_path: Path
) -> None:
    """A follower says that its store is away, tries again, and goes on where the store is."""
    with Exporter(site.environ, cluster.new_database(topics), tmp_path / "follower") as follower:
        follower.start()
        site.produce(RECORDS[:HALF], size=20)
        await_true("it works", lambda: follower.rows()["messages"])
        cluster.stop()
        try:
            site.produce(RECORDS[HALF:])
            await_true("it says so", warned(follower, "does not answer"))
        finally:
            cluster.start()
        end_well(follower, kafka, topics)
        assert_same(follower, calm())


@pytest.mark.long
def test_the_broker_is_restarted(prefix: str, tmp_path: Path) -> None:
    """A follower says that no broker answers, tries again, and goes on when it is back; its pages say it too."""
    folder = tmp_path / "kafka"
    (port,) = free_ports(1)
    with ExitStack() as stack:
        kafka = broker.up(None, folder).bootstrap
        stack.callback(broker.down, folder)
        ensure_topics({"bootstrap.servers": kafka}, prefix, partitions=4)
        site = Site(kafka, prefix, tmp_path)
        follower = stack.enter_context(
            Exporter(site.environ, f"sqlite:///{tmp_path / 'store.db'}", tmp_path / "follower")
        )
        follower.start("--metrics-port", str(port))
        site.produce(RECORDS[:HALF])
        await_true("it works", lambda: follower.rows()["messages"])
        await_true("it is ready", lambda: probe(port, "/readyz")[0] == 200)
        broker.down(folder)
        await_true("it says so", warned(follower, "no Kafka broker answers"))
        status, reasons = probe(port, "/readyz")
        assert (status, probe(port, "/livez")[0]) == (503, 200)
        assert "no Kafka broker answers" in reasons
        broker.up(int(kafka.rpartition(":")[2]), folder)
        site.produce(RECORDS[HALF:])
        follower.await_exported(kafka, prefix)
        await_true("it is ready again", lambda: probe(port, "/readyz")[0] == 200)
        await_true("it is at the end", lambda: "\na3cp_export_lag_offsets 0.0\n" in probe(port, "/metrics")[1])
        stored = f'a3cp_export_records_total{{kind="messages"}} {len(follower.rows()["messages"])}.0'
        assert stored in probe(port, "/metrics")[1]
        end_well(follower, kafka, prefix)
        calm = stack.enter_context(Exporter(site.environ, f"sqlite:///{tmp_path / 'calm.db'}", tmp_path / "calm"))
        assert calm.run().returncode == 0
        assert_same(follower, calm)


@pytest.mark.long
def test_a_feed_closes_while_a_commit_has_no_answer(prefix: str, tmp_path: Path) -> None:
    """The broker goes away with it; nothing waits for it."""
    folder = tmp_path / "kafka"
    with ExitStack() as stack:
        running = broker.up(None, folder)
        stack.callback(broker.down, folder)
        conf: dict[str, str | int] = {"bootstrap.servers": running.bootstrap, "log_level": 0}
        ensure_topics(conf, prefix, partitions=4)
        Site(running.bootstrap, prefix, tmp_path).produce(RECORDS[:100])
        names = names_of(prefix)
        feed = KafkaFeed(conf, tagged=names.tagged, sessions=names.sessions, group_id=prefix, session_timeout_ms=6_000)

        def reads() -> bool:
            if feed.assignments():
                feed.begin({})
            return bool(feed.poll(100, 0.1))

        await_true("it reads", reads)
        os.kill(running.pid, signal.SIGSTOP)
        feed.stored(feed.positions())
        feed.poll(1, 0.5)  # The request is under way.
        os.kill(running.pid, signal.SIGKILL)
        os.waitpid(running.pid, 0)
        closing = threading.Thread(target=feed.close, daemon=True)
        closing.start()
        closing.join(60)
        assert not closing.is_alive()


@pytest.mark.long
@pytest.mark.parametrize(
    ("trouble", "options", "what"),
    [("full", "size=1m", "No space left on device"), ("read-only", "ro", "Read-only file system")],
)
def test_the_targets_disk(
    kafka: str,
    topics: str,
    site: Site,
    disk: Disk,
    calm: Callable[[], Exporter],
    tmp_path: Path,
    trouble: str,
    options: str,
    what: str,
) -> None:
    """An export to its end fails with one line; a follower waits. Once there is room, the tree is a calm run's."""
    disk.change(options)
    site.produce(RECORDS)
    with Exporter(site.environ, f"sqlite:///{tmp_path / 'store.db'}", tmp_path / "follower", disk.place) as exporter:
        once = exporter.run()
        assert once.returncode == 1
        (line,) = [line for line in once.stderr.splitlines() if line.startswith("error: ")]
        assert what in line
        assert str(disk.place) in line
        assert "export again" in line
        assert "Traceback" not in once.stderr
        exporter.start()
        await_true("it says so", warned(exporter, what))
        disk.change("rw,size=64m")
        end_well(exporter, kafka, topics)
        assert_same(exporter, calm())


@pytest.mark.long
def test_a_session_that_cannot_be_read(
    kafka: str, topics: str, site: Site, calm: Callable[[], Exporter], tmp_path: Path
) -> None:
    """An export writes all others, names it, and ends with 1; a follower says it once, and writes it once it can be."""
    site.produce(RECORDS)
    with Exporter(site.environ, f"sqlite:///{tmp_path / 'store.db'}", tmp_path / "follower") as exporter:
        site.run("export", "--store", exporter.address)
        before = replace_a_value(exporter.store)
        once = exporter.run()
        assert once.returncode == 1
        bundle, date = once.stderr.splitlines()
        assert bundle.startswith("set aside: bundle sess_")
        assert date.startswith("set aside: date of training data 2025-")
        assert "1 set aside" in once.stdout
        exporter.start()
        await_true("it says so", lambda: exporter.said().count('"set aside"') == 2)
        replace_a_value(exporter.store, before)
        await_true("it is well", lambda: exporter.said().count('"no longer set aside"') == 2)
        assert exporter.said().count('"set aside"') == 2
        assert exporter.end(signal.SIGTERM) == 0
        assert exporter.run().returncode == 0
        assert_same(exporter, calm())


@pytest.mark.long
def test_the_stores_disk_is_full(
    kafka: str, topics: str, site: Site, disk: Disk, calm: Callable[[], Exporter], tmp_path: Path
) -> None:
    """A follower says that SQLite has no room, tries again, and loses nothing."""
    with Exporter(site.environ, f"sqlite:///{disk.place / 'store.db'}", tmp_path / "follower") as follower:
        follower.start()
        site.produce(RECORDS)
        await_true("it says so", warned(follower, "full"))
        disk.change("size=64m")
        end_well(follower, kafka, topics)
        assert_same(follower, calm())


@pytest.mark.parametrize("place", ["a file", "no right"])
def test_a_target_that_cannot_be(site: Site, tmp_path: Path, place: str) -> None:
    """It is said in one line, with its path; the store is filled all the same, so the next run has little to do."""
    site.produce(RECORDS[:100])
    target = tmp_path / "target"
    if place == "a file":
        target.write_text("not a folder")
    else:
        if os.geteuid() == 0:
            pytest.skip("root may write everywhere")
        target.mkdir(0o555)
    address = f"sqlite:///{tmp_path / 'store.db'}"
    with Exporter(site.environ, address, tmp_path / "exporter", target) as exporter:
        done = exporter.run()
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith(f"error: {target}")
    store = open_store(address)
    assert store.reader.totals().messages > 0
    store.close()
