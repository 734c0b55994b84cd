"""What docs/operations.md tells operators to do, done word for word, each on a Kafka without other topics."""

import os
import re
import subprocess
from collections.abc import Iterator
from functools import partial
from itertools import islice, tee
from pathlib import Path
from typing import Any, Final

import pytest
from confluent_kafka import Consumer, IsolationLevel, Producer, TopicPartition
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # Its stub forgets to re-export them.
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewTopic,
    ResourceType,
)

from processor import broker
from processor.kafka.offsets import LATEST, committed_offsets, log_offsets, patiently
from processor.kafka.topics.desired import desired_topics
from processor.runtime.partitioner import partition_of
from tests.broker.audit import read_topic
from tests.broker.fleet import BASE_MS, await_true, day, message, produce
from tests.cli.running import PROGRAM, a3cp

pytestmark = [pytest.mark.broker, pytest.mark.long]

DOCUMENT: Final = Path(__file__).parents[2] / "docs" / "operations.md"
PARTITIONS: Final = 4
COUNT: Final = 300
MIRROR: Final = "main.a3cp.raw"


def commands(heading: str) -> list[str]:
    """Return the lines of the first block of commands below `heading`."""
    section = DOCUMENT.read_text("utf-8").split(f"\n### {heading}\n", 1)[1]
    (block, *_) = re.findall(r"```sh\n(.*?)```", section, re.DOTALL)
    return [line.partition("#")[0].strip() for line in block.splitlines()]


class Place:
    """A folder and a Kafka of one operator's."""

    def __init__(self, bootstrap: str, folder: Path) -> None:
        self.conf: dict[str, Any] = {"bootstrap.servers": bootstrap}
        self.admin = AdminClient(self.conf)
        self.folder = folder
        folder.mkdir(exist_ok=True)
        self.environ = {
            **{name: value for name, value in os.environ.items() if not name.startswith("A3CP_")},
            "KAFKA_BOOTSTRAP_SERVERS": bootstrap,
            "A3CP_SESSION_TIMEOUT_MS": "6000",
            "PYTHONPATH": str(Path(__file__).parents[2]),
        }

    def type(self, *lines: str) -> None:
        """Do as a person would who types `lines` one after the other; `a3cp process` until it has caught up."""
        for line in lines:
            name, *words = line.split()
            if name == "export":
                self.environ |= dict(word.split("=", 1) for word in words)
            elif words == ["process"]:
                self.process()
            else:
                assert name == "a3cp", line
                done = self.run(*words)
                assert done.returncode == 0, done.stdout + done.stderr

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        return a3cp(*words, environ=self.environ, folder=self.folder)

    def process(self) -> None:
        group = self.environ.get("A3CP_GROUP_ID", "a3cp-session-manager")
        raw = self.environ.get("A3CP_RAW_TOPIC", "a3cp.raw")
        log = (self.folder / "process.log").open("ab")
        with log, subprocess.Popen([*PROGRAM, "process"], env=self.environ, cwd=self.folder, stderr=log) as worker:
            try:
                await_true("it has caught up", lambda: worker.poll() is not None or self._is_done(group, raw))
                assert worker.poll() is None, (self.folder / "process.log").read_text()[-2_000:]
            finally:
                worker.terminate()
        assert worker.returncode == 0

    def _is_done(self, group: str, raw: str) -> bool:
        """Whether the group has committed the end of each partition, markers of transactions with it.

        Copies go to other partitions in the transaction that commits the offset. The stable end of these may still
        lie before them when the offset is there: each partition gets its marker on its own.
        """
        places = [(raw, number) for number in range(PARTITIONS)]
        ask_done = partial(committed_offsets, self.conf, group, raw, range(PARTITIONS))
        ask_ends = partial(log_offsets, self.admin, places, LATEST, IsolationLevel.READ_UNCOMMITTED)
        done = patiently(ask_done, "asking for offsets", self.conf)
        ends = patiently(ask_ends, "asking for ends", self.conf)  # After it: with the offsets come copies.
        return all(done.get(number, 0) >= end for (_, number), end in ends.items())

    def tagged(self, prefix: str = "a3cp") -> list[list[bytes | None]]:
        return [[row.value for row in rows] for rows in read_topic(self.conf["bootstrap.servers"], f"{prefix}.tagged")]

    def say_a_day(self) -> None:
        """Make the topics and send a lively day, some of it to wrong partitions."""
        self.type("a3cp topics apply")
        produce(self.conf["bootstrap.servers"], "a3cp.raw", day(seed=5, count=COUNT, users=12))
        stray = Producer(self.conf)
        for number in range(20):
            user = f"stray-{number}"
            wrong = (partition_of(user.encode(), PARTITIONS) + 1 + number % 3) % PARTITIONS
            stray.produce("a3cp.raw", message(user, BASE_MS, number=number), None, wrong)
        assert stray.flush(60) == 0

    def topics(self) -> list[str]:
        """Return the topics but Kafka's own."""
        return [topic for topic in self.admin.list_topics(timeout=60).topics if not topic.startswith("__")]

    def delete(self, *topics: str) -> None:
        """Delete topics and wait until they are gone."""
        for deleted in self.admin.delete_topics(list(topics)).values():
            deleted.result()
        await_true("they are gone", lambda: not set(topics) & set(self.topics()))

    def stamp(self, kind: str) -> None:
        """Set whose times the records of a3cp.raw have."""
        entry = ConfigEntry("message.timestamp.type", kind, incremental_operation=AlterConfigOpType.SET)
        resource = ConfigResource(ResourceType.TOPIC, "a3cp.raw", incremental_configs=[entry])
        self.admin.incremental_alter_configs([resource])[resource].result()
        asked = ConfigResource(ResourceType.TOPIC, "a3cp.raw")

        def is_set() -> bool:
            told = self.admin.describe_configs([asked])[asked].result()
            return bool(told["message.timestamp.type"].value == kind)

        await_true("it is set", is_set)

    def make_a_mirror(self) -> None:
        """Make the topic as a mirror makes it."""
        topic = NewTopic(MIRROR, PARTITIONS, 1, config={"message.timestamp.type": "CreateTime"})
        self.admin.create_topics([topic])[MIRROR].result()


@pytest.fixture(scope="module")
def own_kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Kafka on which no other test uses the default names."""
    folder = tmp_path_factory.mktemp("operations")
    yield broker.up(None, folder).bootstrap
    broker.down(folder)


@pytest.fixture
def place(own_kafka: str, tmp_path: Path) -> Iterator[Place]:
    """An operator's Kafka, with the default names."""
    made = Place(own_kafka, tmp_path / "main")
    yield made
    made.delete(*made.topics())


def test_tagging_a_log_again(place: Place) -> None:
    """Other topics, the same bytes; and nothing is written to the log that is read."""
    place.say_a_day()
    place.type("a3cp process")
    before = read_topic(place.conf["bootstrap.servers"], "a3cp.raw")
    place.type(*commands("Tagging a log again"))
    assert place.tagged("again") == place.tagged()
    assert sum(map(len, place.tagged())) >= COUNT * 9 // 10
    assert read_topic(place.conf["bootstrap.servers"], "a3cp.raw") == before


def test_a_log_that_was_never_processed(place: Place) -> None:
    """Misplaced records have no copies there: refused before anything is written; then its own processor makes them."""
    place.say_a_day()
    *_, process, audit = commands("Tagging a log again")
    own = dict(place.environ)
    place.type(*commands("Tagging a log again")[:-2])
    done = place.run("process")
    assert done.returncode == 2
    assert "of a3cp.raw without a copy in their user's partition: a3cp.raw[" in done.stderr
    assert place.tagged("again") == [[], [], [], []]
    again, place.environ = place.environ, own
    place.type("a3cp process")
    place.environ = again
    place.type(process, audit)
    assert place.tagged("again") == place.tagged()


def test_the_state_topic_is_lost(place: Place) -> None:
    """Going on without states is refused; the log tagged again gives the same tags."""
    place.say_a_day()
    place.type("a3cp process")
    place.delete("a3cp.state")
    first, *rest = commands("The state topic is lost")
    place.type(first)
    done = place.run("process")
    assert (done.returncode, place.tagged()) == (2, tagged := place.tagged())
    assert "a3cp.state" in done.stderr
    place.type(*rest)
    assert place.tagged("again") == tagged


def test_offsets_are_moved_back(place: Place) -> None:
    """What comes again is skipped: nothing is tagged twice."""
    place.say_a_day()
    place.type("a3cp process")
    tagged = place.tagged()
    reader = Consumer({**place.conf, "group.id": "a3cp-session-manager", "enable.auto.commit": False})
    reader.commit(offsets=[TopicPartition("a3cp.raw", number, 0) for number in range(PARTITIONS)], asynchronous=False)
    reader.close()
    place.type("a3cp process", "a3cp audit")
    assert place.tagged() == tagged


def test_another_cluster(place: Place, tmp_path: Path) -> None:
    """A mirror that keeps partitions and times gives the same tags, of misplaced records too."""
    place.say_a_day()
    place.type("a3cp process")
    info = broker.up(None, tmp_path / "other-kafka")
    try:
        other = Place(info.bootstrap, tmp_path / "other")
        other.make_a_mirror()
        mirror(place.conf, other.conf)
        other.type(*commands("Another cluster"))
        assert other.tagged() == place.tagged()
    finally:
        broker.down(tmp_path / "other-kafka")


def mirror(source: dict[str, Any], target: dict[str, Any], topic: str = "a3cp.raw", name: str = MIRROR) -> None:
    """Copy a topic as a mirror does that keeps partitions, keys, headers and times; offsets become others."""
    producer = Producer({**target, "enable.idempotence": True})
    for rows in read_topic(source["bootstrap.servers"], topic):
        for row in rows:
            headers: Any = list(row.headers)
            producer.produce(name, row.value, row.key, row.partition, timestamp=row.append_ms, headers=headers)
    assert producer.flush(60) == 0


def test_moving_to_another_cluster(place: Place, tmp_path: Path) -> None:
    """Open sessions go on there as they would have gone on here; the audit and a new store agree."""
    place.say_a_day()
    place.type("a3cp process")
    info = broker.up(None, tmp_path / "other-kafka")
    try:
        other = Place(info.bootstrap, tmp_path / "other")
        adopt, *rest = commands("Moving to another cluster")
        for stamped in ("LogAppendTime", "CreateTime"):
            other.type("a3cp topics apply")
            other.stamp(stamped)
            for name in reversed(desired_topics()):  # In no order that means anything.
                mirror(place.conf, other.conf, name.name, name.name)
            if stamped == "LogAppendTime":
                refused = other.run(*adopt.split()[1:])
                assert refused.returncode == 2
                assert "the mirror has not kept the times of a3cp.raw: a3cp.raw[" in refused.stderr
                other.delete(*(name.name for name in desired_topics()))
        times = [
            [[row.append_ms for row in rows] for rows in read_topic(each.conf["bootstrap.servers"], "a3cp.raw")]
            for each in (place, other)
        ]
        assert times[0] == times[1]
        assert other.run("process").returncode == 2  # States without offsets.
        other.type(adopt, *rest[:-1])
        assert other.run(*adopt.split()[1:]).returncode == 2  # Once is enough.
        later = islice(day(seed=5, count=2 * COUNT, users=12), COUNT, None)
        for each, said in zip((place, other), tee(later), strict=True):
            produce(each.conf["bootstrap.servers"], "a3cp.raw", said)
            each.type(rest[-1], "a3cp audit", "a3cp export --to bundles", "a3cp verify bundles")
        assert other.tagged() == place.tagged()
        assert sum(map(len, other.tagged())) >= 2 * COUNT * 9 // 10
        bundles = [{path.name for path in (each.folder / "bundles").glob("*/sess_*")} for each in (place, other)]
        assert bundles[0] == bundles[1]
    finally:
        broker.down(tmp_path / "other-kafka")


def test_a_mirror_that_was_cut(place: Place, tmp_path: Path) -> None:
    """A misplaced record whose copy did not come is named, and nothing is written."""
    place.type("a3cp topics apply")
    place.make_a_mirror()
    producer = Producer(place.conf)
    right = partition_of(b"maria", PARTITIONS)
    wrong = (right + 1) % PARTITIONS
    # Of now: Kafka removes records of CreateTime topics that are older than the retention, at any time.
    producer.produce(MIRROR, message("maria", BASE_MS), None, wrong)
    producer.produce(MIRROR, message("maria", BASE_MS + 1), b"maria", right)
    assert producer.flush(60) == 0
    place.environ["A3CP_RAW_TOPIC"] = MIRROR
    done = place.run("process")
    assert done.returncode == 2
    assert (
        f"1 record of main.a3cp.raw without a copy in their user's partition: main.a3cp.raw[{wrong}]@0" in done.stderr
    )
    assert place.tagged() == [[], [], [], []]


def test_a_store_is_lost_and_an_older_copy_is_restored(place: Place) -> None:
    """A new store gives the same bundles; a restored one goes on, and misses nothing."""
    place.say_a_day()
    place.type("a3cp process", "a3cp export --to first")
    (place.folder / "copy.db").write_bytes((place.folder / "a3cp.db").read_bytes())
    produce(place.conf["bootstrap.servers"], "a3cp.raw", iter([("maria", message("maria", BASE_MS))]))
    place.type("a3cp process", "a3cp export --to first")
    place.type(*commands("A store is lost, or an older copy is restored"))
    sessions = {path.name for path in (place.folder / "first").glob("*/sess_*")}
    assert {path.name for path in (place.folder / "bundles").glob("*/sess_*")} == sessions
    (place.folder / "a3cp.db").write_bytes((place.folder / "copy.db").read_bytes())
    place.type("a3cp export --to restored", "a3cp verify restored")
    assert {path.name for path in (place.folder / "restored").glob("*/sess_*")} == sessions
