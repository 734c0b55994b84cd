"""`a3cp audit` and `a3cp verify --topic` on a real Kafka: after a run, after damage, while the processor works."""

import json
from concurrent.futures import wait
from pathlib import Path

import pytest
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from processor.errors import UsageError
from tests.broker.audit import read_topic
from tests.broker.bad_input import BAD
from tests.broker.fleet import Fleet, Load, Watcher, await_true, day, produce

pytestmark = pytest.mark.broker

COUNT = 3_000


def send(kafka: str, fleet: Fleet) -> None:
    """Send a lively day, some of it misplaced, and bad input of all kinds into every partition."""
    produce(kafka, fleet.names.raw, day(seed=5, count=COUNT, users=60))
    producer = Producer({"bootstrap.servers": kafka, "enable.idempotence": True})
    for number, (_, value) in enumerate(day(seed=6, count=COUNT // 10, users=20)):
        producer.produce(fleet.names.raw, value, None, number % 4)
    for number, (bad, _) in enumerate(BAD.values()):
        if len(bad or b"") < 1_000_000:
            producer.produce(fleet.names.raw, bad, b"someone", number % 4)
    assert producer.flush(60) == 0


@pytest.mark.long
def test_a_real_run_and_damage(kafka: str, topics: str, tmp_path: Path) -> None:
    """Killed in the middle and gone on: sound. Then records that the processor never wrote: each is found."""
    with Fleet(kafka, topics, tmp_path, batch_records_max=50) as fleet:
        send(kafka, fleet)
        with Watcher(kafka, fleet.names.tagged) as tagged:
            worker = fleet.start()
            tagged.await_count(COUNT // 3)
            worker.kill()
        worker = fleet.start()
        fleet.await_processed()
        assert worker.stop() == 0  # Else the clock ends sessions meanwhile, and states that change are not compared.
        code, output = fleet.a3cp("audit")
        assert code == 0, output
        code, output = fleet.a3cp("audit", "--json")
        told = json.loads(output)
        assert told["waiting"] == 0
        assert told["tagged"] + told["dead"] + told["answered"] + told["rerouted"] == told["raw"]
        assert told["states_compared"] > 50
        assert min(told["dead"], told["rerouted"], told["answered"]) > 10
        code, output = fleet.a3cp("verify", "--topic", "--broken")
        assert code == 0, output
        _damage(kafka, fleet)
        code, output = fleet.a3cp("audit")
        assert code == 1
        names = fleet.names
        for wanted in (
            f"it tags {names.raw}[0]@",
            f"it comes from no record that {names.raw}[1] has in its place",
            "it starts a second time",
            "it is no state: ",
            "and there is no such record",
        ):
            assert wanted in output
        code, output = fleet.a3cp("verify", "--topic", "--broken")
        assert code == 1
        assert "it starts a second time" in output
        assert f"BROKEN  {names.tagged}[0] sess_" in output


def _damage(kafka: str, fleet: Fleet) -> None:
    """Append what the processor never would: no one can take away from a log, but anyone with the rights can add."""
    names = fleet.names
    tagged = read_topic(kafka, names.tagged)
    events, states, letters = (read_topic(kafka, name) for name in (names.sessions, names.state, names.dlq))
    producer = Producer({"bootstrap.servers": kafka})
    producer.produce(names.tagged, tagged[0][-1].value, tagged[0][-1].key, 0)
    changed = (tagged[1][-1].value or b"").replace(b'"speech"', b'"speecj"', 1)
    producer.produce(names.tagged, changed, tagged[1][-1].key, 1)
    producer.produce(names.sessions, events[0][0].value, events[0][0].key, 0)
    producer.produce(names.state, (states[2][-1].value or b"")[:-2], states[2][-1].key, 2)
    headers: list[tuple[str, str | bytes | None]] = [
        (name, b"987654" if name == "a3cp-dlq-offset" else text) for name, text in letters[3][0].headers
    ]
    producer.produce(names.dlq, letters[3][0].value, letters[3][0].key, 3, headers=headers)
    assert producer.flush(60) == 0


@pytest.mark.long
def test_while_the_processor_works(kafka: str, topics: str, tmp_path: Path) -> None:
    """Under load, with workers killed meanwhile, the audit finds nothing wrong, again and again."""
    rounds = 4
    processed = 0
    with Fleet(kafka, topics, tmp_path, batch_records_max=30) as fleet, Load(kafka, fleet.names.raw, per_pause=5):
        workers = [fleet.start(), fleet.start()]
        await_true("both started", lambda: all(worker.said("restored") for worker in workers))
        with Watcher(kafka, fleet.names.tagged) as tagged:
            for number in range(rounds):
                if number == rounds // 2:
                    workers[0].kill()
                    fleet.start()
                tagged.await_count(processed + 1)  # Then more is processed than the last audit has found.
                code, output = fleet.a3cp("audit", "--json")
                told = json.loads(output)
                assert code == 0, told["problems"][:10]
                assert told["raw"] - told["waiting"] > processed
                processed = told["raw"] - told["waiting"]
                code, output = fleet.a3cp("verify", "--topic", "--broken")
                assert code == 0, output


@pytest.mark.long
def test_after_the_retention(kafka: str, topics: str, tmp_path: Path) -> None:
    """What the retention has deleted of raw or tagged is said; the rest is compared, and nothing is called missing."""
    with Fleet(kafka, topics, tmp_path) as fleet:
        send(kafka, fleet)
        fleet.start()
        fleet.await_processed()
        cuts = {(fleet.names.raw, 0): 400, (fleet.names.tagged, 1): 300, (fleet.names.raw, 2): 50}
        cuts |= {(fleet.names.tagged, 2): 200, (fleet.names.sessions, 3): 20}
        admin = AdminClient({"bootstrap.servers": kafka})
        wanted = [TopicPartition(name, partition, offset) for (name, partition), offset in cuts.items()]
        futures = admin.delete_records(wanted)
        wait(futures.values())
        code, output = fleet.a3cp("audit")
        assert code == 0
        for (name, partition), offset in cuts.items():
            assert f"note: {name}[{partition}] begins at {offset}" in output
        told = json.loads(fleet.a3cp("audit", "--json")[1])
        assert told["waiting"] == 0
        assert told["tagged"] > COUNT / 2
        assert told["not_compared"] > 100
        assert fleet.a3cp("verify", "--topic", "--broken")[0] == 0


def test_a_beginning_that_was_never_read_is_not_sound(kafka: str, topics: str, tmp_path: Path) -> None:
    """Removed before the processor first came: nothing is wrong with its work, and yet not all was read."""
    with Fleet(kafka, topics, tmp_path) as fleet:
        produce(kafka, fleet.names.raw, day(seed=5, count=400, users=20))
        admin = AdminClient({"bootstrap.servers": kafka})
        wait(admin.delete_records([TopicPartition(fleet.names.raw, 1, 7)]).values())
        fleet.start()
        fleet.await_processed()
        code, output = fleet.a3cp("audit")
        assert code == 0
        assert f"note: {fleet.names.raw}[1] began at 7 when the processor first read it" in output
        assert output.splitlines()[-1].startswith("not all was read: 7 offsets were gone")
        told = json.loads(fleet.a3cp("audit", "--json")[1])
        assert (told["sound"], told["never_read"], told["problem_count"]) == (False, 7, 0)


def test_nothing_to_audit(kafka: str, topics: str, tmp_path: Path) -> None:
    """Empty topics are sound; topics that are not there are the caller's to mend; either a bundle or the topics."""
    fleet = Fleet(kafka, topics, tmp_path)
    assert fleet.a3cp("audit")[0] == 0
    assert fleet.a3cp("verify", "--topic")[0] == 0
    for arguments in (("audit", "--prefix", "no-such"), ("verify", "--topic", "--prefix", "no-such"), ("verify",)):
        assert fleet.a3cp(*arguments)[0] == UsageError.exit_code
