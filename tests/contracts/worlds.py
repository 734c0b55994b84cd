"""The two worlds in which the promises of the `Log` port are tested: in memory, and on a real Kafka."""

from collections.abc import Callable, Sequence
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Producer

from processor.kafka.conf import Waits
from processor.kafka.worker.log import KafkaLog
from processor.runtime.ports import Alarm, Assigned, Cause, Log, RawRecord
from processor.settings.model import Settings
from processor.testing import Fault, MemoryBroker, MemoryLog
from processor.wiring import log_conf
from tests.broker.audit import read_topic
from tests.broker.fleet import TIMEOUT_S, await_true, names_of

PARTITIONS = 4
EXPELLED_AFTER_MS = 5_000  # longer than a member of a test stands still by chance


class MemoryWorld:
    """All in memory."""

    def __init__(self, broker: MemoryBroker) -> None:
        self.broker = broker

    def member(self) -> Log:
        """Join the group with one more member."""
        return MemoryLog(self.broker, raw="raw", state="state")

    def member_that_fails(self) -> Log:
        """Join with a member whose first commit comes to an end before the transaction does."""
        return MemoryLog(self.broker, raw="raw", state="state", faults={0: Fault.LOST})

    def produce(self, partition: int, *values: bytes) -> None:
        """Append to the raw topic."""
        for value in values:
            self.broker.append(("raw", value, b"user", partition, None))

    def values(self, topic: str, partition: int) -> list[bytes | None]:
        """Return what is committed of `tagged` or `state`."""
        return [record.raw_value for record in self.broker.topics[topic][partition]]

    def topic(self, name: str) -> str:
        return name

    def hide(self, partition: int, *values: bytes) -> Callable[[], None]:
        """Append to the raw topic in a transaction that stays open; return what commits it."""
        self.broker.hidden[partition] = len(self.broker.topics["raw"][partition])
        self.produce(partition, *values)
        return self.broker.hidden.clear

    def expel(self, log: Log) -> None:
        """See to it that the group gives up on a member, which does not notice."""
        self.broker.remove(log)


class Failing:
    """A producer whose transaction is not committed, though all that belongs to it was sent."""

    def __init__(self, producer: Producer) -> None:
        self._producer = producer

    def __getattr__(self, name: str) -> Any:
        return getattr(self._producer, name)

    def commit_transaction(self, timeout_s: float) -> None:
        """Fail as if no broker answered."""
        raise KafkaException(KafkaError(KafkaError._TIMED_OUT))


class KafkaWorld:
    """On a real Kafka."""

    def __init__(self, bootstrap: str, prefix: str) -> None:
        self.bootstrap, self.prefix, self.group_id = bootstrap, prefix, prefix
        self.names = names_of(prefix)
        self.logs: list[KafkaLog] = []
        self.broker_said: list[str | None] = []
        self.stood_still: list[str] = []
        self.slots: list[int] = []
        self.patience = Waits()
        self.alarms: dict[tuple[int, Alarm], tuple[str, int]] = {}  # why, offsets lost
        self.waits: dict[tuple[int, Cause], tuple[str, str, str]] = {}  # position, why, remedy
        self._producer = Producer({"bootstrap.servers": bootstrap, "linger.ms": 0})

    def settings(self, **more: Any) -> Settings:
        return Settings(
            bootstrap_servers=self.bootstrap, topic_prefix=self.prefix, group_id=self.group_id,
            session_timeout_ms=EXPELLED_AFTER_MS, **more,
        )  # fmt: skip

    def member(self, *, slot: int | None = None, expelled_soon: bool = False, **more: Any) -> KafkaLog:
        kafka = {"log_level": "0", **({"max.poll.interval.ms": str(EXPELLED_AFTER_MS)} if expelled_soon else {})}
        more = {"kafka": kafka, **more}
        conf = log_conf(self.settings(**more), len(self.logs) if slot is None else slot, PARTITIONS)
        log = KafkaLog(conf._replace(waits=self.patience), self)
        self.logs.append(log)
        return log

    def member_that_fails(self) -> KafkaLog:
        log = self.member()
        transactions = log._transactions
        assert transactions is not None
        transactions._producers[:] = map(Failing, transactions._producers)  # type: ignore[arg-type]
        return log

    def slot(self, slot: int) -> None:
        self.slots.append(slot)

    def broker(self, why: str | None) -> None:
        self.broker_said.append(why)

    def stuck(self, where: str) -> None:
        self.stood_still.append(where)

    def waiting(self, partition: int, cause: Cause, why: str | None, *, position: str = "", remedy: str = "") -> None:
        if why is None:
            self.waits.pop((partition, cause), None)
        else:
            self.waits[partition, cause] = (position, why, remedy)

    def alarm(self, partition: int, alarm: Alarm, why: str, *, remedy: str, lost: int = 0) -> None:
        assert "docs/operations.md" in remedy
        self.alarms[partition, alarm] = (why, lost)

    def produce(self, partition: int, *values: bytes) -> None:
        for value in values:
            self._producer.produce(self.names.raw, value, b"user", partition)
        assert self._producer.flush(TIMEOUT_S) == 0

    def values(self, topic: str, partition: int) -> list[bytes | None]:
        return [row.value for row in read_topic(self.bootstrap, self.topic(topic))[partition]]

    def topic(self, name: str) -> str:
        return f"{self.prefix}.{name}"

    def hide(self, partition: int, *values: bytes) -> Callable[[], None]:
        conf = {"transactional.id": f"{self.prefix}-upstream", "transaction.timeout.ms": 600_000}
        producer = Producer({"bootstrap.servers": self.bootstrap, **conf})
        producer.init_transactions(TIMEOUT_S)
        producer.begin_transaction()
        for value in values:
            producer.produce(self.names.raw, value, b"user", partition)
        assert producer.flush(TIMEOUT_S) == 0
        return producer.commit_transaction

    def expel(self, log: Log) -> None:
        """Do nothing: one that does not poll is given up after a while, when it was made with `expelled_soon`."""

    def close(self) -> None:
        for log in self.logs:
            log.close()


class Member:
    """A member that takes turns as the worker does, and remembers what it was told."""

    def __init__(self, world: MemoryWorld | KafkaWorld, log: Log | None = None) -> None:
        self.world = world
        self.log = log or world.member()
        self.owned: set[int] = set()
        self.restoring: set[int] = set()
        self.states: dict[int, list[tuple[bytes, bytes | None]]] = {}
        self.changes: list[object] = []

    def follow(self) -> None:
        for change in self.log.assignments():
            self.changes.append(change)
            if isinstance(change, Assigned):
                self.owned |= change.partitions
                self.restoring |= change.partitions
                self.states.update({partition: [] for partition in change.partitions})
            else:
                self.owned -= change.partitions
                self.restoring -= change.partitions

    def turn(self, records_max: int = 100) -> Sequence[RawRecord]:
        """Take a turn but for the commit, and return what was polled."""
        self.follow()
        for chunk in self.log.restore(0.05) if self.restoring else ():
            self.states[chunk.partition] += chunk.records
            if chunk.finished:
                self.restoring.remove(chunk.partition)
        records = self.log.poll(records_max, 0.05)
        self.follow()
        assert not {record.partition() for record in records} & self.restoring, "polled before it was restored"
        assert {record.partition() for record in records} <= self.owned, "polled what another owns"
        return records

    def tag(self, records: Sequence[RawRecord]) -> None:
        """Send an output for each record, and a state for each partition, uncommitted."""
        tagged, state = self.world.topic("tagged"), self.world.topic("state")
        self.log.send([(tagged, record.value(), b"user", record.partition(), None) for record in records])
        partitions = {record.partition() for record in records}
        self.log.send([(state, b"state", b"user", partition, None) for partition in sorted(partitions)])

    def run_until(self, what: str, condition: Callable[[], object], *others: "Member") -> None:
        """Take turns and commit until `condition` holds; `others` do so too."""

        def look() -> object:
            for member in (self, *others):
                records = member.turn()
                if records:
                    member.tag(records)
                    member.log.commit()
            return condition()

        await_true(what, look)

    def await_records(self, count: int, records_max: int = 100) -> list[RawRecord]:
        """Take turns, committing nothing, until `count` records were polled."""
        records: list[RawRecord] = []

        def look() -> bool:
            records.extend(self.turn(records_max))
            return len(records) >= count

        await_true(f"{count} records", look)
        assert len(records) == count
        return records

    def await_restored(self) -> None:
        """Take turns until all partitions are this member's, and restored."""
        await_true(
            "all partitions restored",
            lambda: not self.turn() and len(self.owned) == PARTITIONS and not self.restoring,
        )

    def await_restored_after(self, late: "Member", tagged: list[bytes]) -> None:
        """Take turns until this member owns all that `late` owned, and partition 0 is tagged as far as `tagged`."""
        owned = set(late.owned)
        self.run_until("taken over", lambda: owned <= self.owned and not self.restoring)
        self.run_until("tagged", lambda: self.world.values("tagged", 0) == tagged)
