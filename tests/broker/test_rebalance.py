"""Workers come and go under load: every record is processed once, and none waits for long."""

import signal
import sys
from pathlib import Path

import pytest
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # Its stub forgets to re-export them.
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ResourceType,
)

from tests.broker.fleet import TIMEOUT_S, Fleet, Load, Watcher, await_true, day, produce

pytestmark = pytest.mark.broker
LONG = pytest.mark.long


def _shorten_sessions(kafka: str, group_id: str) -> None:
    """Set the group's session time-out, which with KIP-848 is the broker's to set; its default is 45 s."""
    wanted = {"consumer.heartbeat.interval.ms": "200", "consumer.session.timeout.ms": "1000"}
    entries = [ConfigEntry(name, to, incremental_operation=AlterConfigOpType.SET) for name, to in wanted.items()]
    resource = ConfigResource(ResourceType.GROUP, group_id, incremental_configs=entries)
    admin = AdminClient({"bootstrap.servers": kafka})
    for future in admin.incremental_alter_configs([resource]).values():
        future.result(60)


def tagging(tagged: Watcher, more: int = 300) -> None:
    """Wait until every partition has `more` new outputs."""
    before = dict(tagged.counts)

    def look() -> bool:
        tagged.look()
        return all(tagged.counts[partition] >= before[partition] + more for partition in before)

    await_true("each partition goes on", look)


@LONG
@pytest.mark.parametrize(
    "settings",
    [{}, {"static_membership": 1}, {"group_protocol": "consumer"}],
    ids=["classic", "static membership", "KIP-848"],
)
def test_workers_come_and_go(kafka: str, topics: str, tmp_path: Path, settings: dict[str, str | int]) -> None:
    """One joins, one stops cleanly, one joins, one is killed and started again, all under load."""
    if settings.get("group_protocol") == "consumer":
        _shorten_sessions(kafka, topics)
    with Fleet(kafka, topics, tmp_path, batch_records_max=100, **settings) as fleet:
        with Load(kafka, fleet.names.raw, per_pause=5), Watcher(kafka, fleet.names.tagged) as tagged:
            first = fleet.start(slot=0)
            tagging(tagged, 50)
            second = fleet.start(slot=1)
            await_true("the second has partitions", lambda: second.said("restored"))
            tagging(tagged, 50)
            assert first.stop() == 0
            tagging(tagged, 50)
            third = fleet.start(slot=2)
            await_true("the third has partitions", lambda: third.said("restored"))
            tagged.measure()
            second.kill()
            tagging(tagged, 200)
            sys.stdout.write(f"took over {tagged.gap_ms / 1000:.1f} s after kill -9 ({settings})\n")
            fourth = fleet.start(slot=1)
            await_true("the fourth has partitions", lambda: fourth.said("restored"))
            tagging(tagged, 50)
        assert fleet.audit().tagged > 500


@pytest.mark.parametrize("static", [0, pytest.param(1, marks=LONG)], ids=["classic", "static membership"])
def test_a_clean_stop_hands_over_at_once(kafka: str, topics: str, tmp_path: Path, static: int) -> None:
    """SIGTERM: what was begun is committed, the group is left, and the other goes on without waiting for a time-out."""
    settings = {"session_timeout_ms": 2_000 * int(TIMEOUT_S), "static_membership": static}
    with Fleet(kafka, topics, tmp_path, **settings) as fleet:
        with Load(kafka, fleet.names.raw), Watcher(kafka, fleet.names.tagged) as tagged:
            workers = [fleet.start(slot=0), fleet.start(slot=1)]
            await_true("both have partitions", lambda: all(worker.said("restored") for worker in workers))
            tagging(tagged, 50)
            tagged.measure()
            restarts = workers[1].said("starting again from the log")
            assert workers[0].stop() == 0
            tagging(tagged, 200)  # In less than the time-out.
            sys.stdout.write(f"took over {tagged.gap_ms / 1000:.1f} s after SIGTERM\n")
        assert workers[1].said("starting again from the log") == restarts
        assert fleet.audit().tagged > 300


@LONG
def test_started_in_the_same_second(kafka: str, topics: str, tmp_path: Path) -> None:
    """Processes with no slot given find slots of their own, whether they are one worker or several each."""
    with Fleet(kafka, topics, tmp_path) as fleet:
        with Load(kafka, fleet.names.raw), Watcher(kafka, fleet.names.tagged) as tagged:
            single = [fleet.start(), fleet.start()]
            several = [fleet.start("--workers", "2"), fleet.start("--workers", "2")]
            await_true("all have joined", lambda: all(worker.said("assigned") for worker in single + several))

            def calm() -> bool:
                before = [worker.said("starting again from the log") for worker in single + several]
                tagging(tagged, 200)
                return [worker.said("starting again from the log") for worker in single + several] == before

            await_true("they fence each other no longer", calm)
        assert fleet.audit().tagged > 1_000


@LONG
@pytest.mark.parametrize("static", [0, 1], ids=["classic", "static membership"])
def test_two_in_the_same_fixed_slot(kafka: str, topics: str, tmp_path: Path, static: int) -> None:
    """They fence each other, back off and say what to do; nothing is tagged twice, and with one gone it goes on."""
    with Fleet(kafka, topics, tmp_path, static_membership=static) as fleet:
        with Load(kafka, fleet.names.raw), Watcher(kafka, fleet.names.tagged) as tagged:
            first, second = fleet.start(slot=0), fleet.start(slot=0)
            await_true(
                "they fence each other",
                lambda: (
                    tagged.look()
                    and first.said("starting again from the log") + second.said("starting again from the log") > 3
                ),
            )
            reasons = [
                str(line) for line in first.log() + second.log() if line["message"] == "starting again from the log"
            ]
            assert any("A3CP_SLOT" in reason for reason in reasons)
            second.signal(signal.SIGTERM)
            tagging(tagged, 100)
        assert fleet.audit().tagged > 300


@LONG
def test_takeover_after_a_kill(kafka: str, topics: str, tmp_path: Path) -> None:
    """Kill -9 with the default session time-out: the survivor goes on with all partitions."""
    with Fleet(kafka, topics, tmp_path, session_timeout_ms=6_000) as fleet:
        produce(kafka, fleet.names.raw, day(seed=3, count=2_000, users=300))
        with Load(kafka, fleet.names.raw), Watcher(kafka, fleet.names.tagged) as tagged:
            workers = [fleet.start(slot=0), fleet.start(slot=1)]
            await_true("both have partitions", lambda: all(worker.said("restored") for worker in workers))
            tagging(tagged, 50)
            tagged.measure()
            workers[0].kill()
            tagging(tagged, 1_000)
            sys.stdout.write(
                f"first new output at most {tagged.gap_ms / 1000:.1f} s after kill -9, in every partition\n"
            )
        assert fleet.audit().tagged > 2_000


@LONG
def test_a_killed_worker_is_back_at_once(kafka: str, topics: str, tmp_path: Path) -> None:
    """The spare worker goes on in its slot, and the group waits for no time-out: its partitions go on."""
    with Fleet(kafka, topics, tmp_path, session_timeout_ms=2_000 * int(TIMEOUT_S)) as fleet:
        with Load(kafka, fleet.names.raw), Watcher(kafka, fleet.names.tagged) as tagged:
            supervisor = fleet.start("--workers", "2")
            await_true("all have partitions", lambda: supervisor.said("restored") >= 4)
            for child in supervisor.children()[:2]:
                await_true("a spare one waits", lambda: len(supervisor.children()) == 3)
                tagging(tagged, 100)
                tagged.measure()
                child.kill()
                tagging(tagged, 1_000)
                sys.stdout.write(f"went on {tagged.gap_ms / 1000:.1f} s after kill -9\n")
            assert supervisor.stop() == 0
        fleet.start()
        assert fleet.audit().tagged > 2_000
