"""Every metric with unit and labels. No user id, session id or other name from a message is ever a label.

The runtime counts in plain integers while it works and hands them over once a commit, so metrics cost the loop nothing
for each message.
"""

import math
import platform
import time
from collections.abc import Iterable
from importlib.metadata import version
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics

from processor.codec.isotime import parse_time
from processor.core.model import DAY_MS, CommandName, EndReason, Flag, Odd, StartReason, flag_words, odd_words
from processor.runtime.tally import Tally

COMMIT_SECONDS: Final = (0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
TRANSACTION_RECORDS: Final = (1, 3, 10, 30, 100, 300, 1_000, 3_000, 10_000, 30_000, 100_000)

disable_created_metrics()  # type: ignore[no-untyped-call]  # When a counter was made is of no use, and doubles their number.


class Metrics:
    """The metrics of one worker, on the registry handed in. Made and fed by one thread, read by others."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._tagged = Counter("a3cp_messages_tagged", "Messages tagged and committed.", registry=registry)
        self._flags = Counter(
            "a3cp_messages_flagged",
            "Messages tagged with a flag: nonconforming, clock_skew, duplicate, late, while_paused, session_mismatch, "
            "no_session. One message may have several.",
            ["flag"],
            registry=registry,
        )
        self._odd = Counter(
            "a3cp_messages_nonconforming", "Messages flagged nonconforming, by why; one may have several reasons.",
            ["reason"], registry=registry,
        )  # fmt: skip
        self._started = Counter("a3cp_sessions_started", "Sessions started.", ["reason"], registry=registry)
        self._ended = Counter(
            "a3cp_sessions_ended", "Sessions ended; later revisions of an end are not counted.", ["reason"],
            registry=registry,
        )  # fmt: skip
        self._commands = Counter(
            "a3cp_commands", "Session commands, by outcome: accepted, unchanged or the code of a refusal.",
            ["command", "outcome"], registry=registry,
        )  # fmt: skip
        self._dead = Counter(
            "a3cp_dead_letters", "Records set aside, by how far they came: decode, validate, size.", ["stage"],
            registry=registry,
        )  # fmt: skip
        self._rerouted = Counter(
            "a3cp_records_rerouted", "Records that came in the wrong partition and were sent to the right one.",
            registry=registry,
        )  # fmt: skip
        self._repeated = Counter(
            "a3cp_records_repeated", "Records that came again and were skipped: the states hold them already.",
            registry=registry,
        )  # fmt: skip
        self._transactions = Counter(
            "a3cp_transactions", "Transactions, by outcome: committed, or aborted (an unknown outcome counts as that).",
            ["outcome"], registry=registry,
        )  # fmt: skip
        self._commit_seconds = Histogram(
            "a3cp_commit_seconds", "How long the commit of a transaction took, s.", buckets=COMMIT_SECONDS,
            registry=registry,
        )  # fmt: skip
        self._transaction_records = Histogram(
            "a3cp_transaction_records", "Input records in one transaction.", buckets=TRANSACTION_RECORDS,
            registry=registry,
        )  # fmt: skip
        self._lag = Gauge(
            "a3cp_lag_offsets", "Offsets from the position to the end of a3cp.raw; open transactions count.",
            ["partition"], registry=registry,
        )  # fmt: skip
        self._waiting = Gauge(
            "a3cp_partition_waiting", "1 while the partition stands still, by what it waits for.",
            ["partition", "cause"], registry=registry,
        )  # fmt: skip
        self._alarms = Gauge(
            "a3cp_partition_alarm", "1 while somebody must look at the partition, which goes on all the same.",
            ["partition", "alarm"], registry=registry,
        )  # fmt: skip
        self._lost = Counter(
            "a3cp_input_lost_offsets", "Offsets of a3cp.raw that were removed before they were read.",
            registry=registry,
        )  # fmt: skip
        self._open = Gauge("a3cp_sessions_open", "Users with an open session.", ["partition"], registry=registry)
        self._users = Gauge("a3cp_users_remembered", "Users that state is kept of.", ["partition"], registry=registry)
        self._last = Gauge(
            "a3cp_last_processed_timestamp_seconds",
            "When the latest batch was committed, or the partition restored, s since the epoch.",
            ["partition"], registry=registry,
        )  # fmt: skip
        self._restored_records = Gauge(
            "a3cp_restore_records", "State records read by the present or latest restore.", ["partition"],
            registry=registry,
        )  # fmt: skip
        self._restore_done = Gauge(
            "a3cp_restore_done", "1 when the partition is restored, 0 while it is being restored.", ["partition"],
            registry=registry,
        )  # fmt: skip
        self._restore_seconds = Gauge(
            "a3cp_restore_seconds", "How long the present or latest restore has taken, s.", ["partition"],
            registry=registry,
        )  # fmt: skip
        self._rebalances = Counter(
            "a3cp_rebalances", "Changes of assignment, by kind: assigned, revoked, lost.", ["kind"], registry=registry
        )
        self._assigned = Gauge("a3cp_partitions_assigned", "Partitions assigned now.", registry=registry)
        say_what_runs(registry)

        self._partitions: set[int] = set()
        self._restoring_since_s: dict[int, float] = {}
        self._committed = self._transactions.labels("committed")
        self._aborted = self._transactions.labels("aborted")
        self._flag_counters = {word: self._flags.labels(word) for word in Flag.WORDS}
        self._odd_counters = {word: self._odd.labels(word) for word in Odd.WORDS}
        # Counters that exist from the start: a rate over one that appears with its first event misses that event.
        self._start_counters = {reason.value: self._started.labels(reason.value) for reason in StartReason}
        self._end_counters = {reason.value: self._ended.labels(reason.value) for reason in EndReason}
        self._dead_counters = {stage: self._dead.labels(stage) for stage in ("decode", "validate", "size")}
        for name in CommandName:
            self._commands.labels(name.value, "accepted")
        for kind in ("assigned", "revoked", "lost"):
            self._rebalances.labels(kind)

    def count(self, tally: Tally) -> None:
        """Count what one partition's part of a committed transaction did."""
        self._tagged.inc(tally.tagged)
        if tally.rerouted:
            self._rerouted.inc(tally.rerouted)
        if tally.repeated:
            self._repeated.inc(tally.repeated)
        for flags, count in tally.flags.items():
            for word in flag_words(flags):
                self._flag_counters[word].inc(count)
        for odd, count in tally.odd.items():
            for word in odd_words(odd):
                self._odd_counters[word].inc(count)
        for reason, count in tally.started.items():
            self._start_counters[reason].inc(count)
        for reason, count in tally.ended.items():
            self._end_counters[reason].inc(count)
        for stage, count in tally.dead.items():
            self._dead_counters[stage].inc(count)
        for (name, outcome), count in tally.commands.items():
            self._commands.labels(name, outcome).inc(count)

    def committed(self, records: int, seconds: float) -> None:
        """Count a committed transaction of `records` input records, whose commit took `seconds`."""
        self._committed.inc()
        self._commit_seconds.observe(seconds)
        self._transaction_records.observe(records)

    def aborted(self) -> None:
        """Count a transaction that was aborted or whose outcome is not known."""
        self._aborted.inc()

    def lag(self, partition: int, offsets: int) -> None:
        """Set how far `partition` is behind its last stable offset."""
        self._lag.labels(str(partition)).set(offsets)

    def waiting(self, partition: int, cause: str, waits: bool) -> None:
        """Set whether `partition` stands still for `cause`."""
        self._waiting.labels(str(partition), cause).set(waits)

    def alarm(self, partition: int, alarm: str) -> None:
        """Set that somebody must look at `partition`."""
        self._alarms.labels(str(partition), alarm).set(1)

    def lost(self, offsets: int) -> None:
        """Count input that is lost."""
        self._lost.inc(offsets)

    def holds(self, partition: int, *, users: int, open_sessions: int, unix_s: float) -> None:
        """Set how many users of `partition` are remembered, how many have an open session, and when that was so."""
        label = str(partition)
        self._users.labels(label).set(users)
        self._open.labels(label).set(open_sessions)
        self._last.labels(label).set(unix_s)

    def restoring(self, partition: int, records: int, finished: bool) -> None:
        """Set how many state `records` were restored, and whether that was all."""
        now_s = time.monotonic()
        since_s = self._restoring_since_s.setdefault(partition, now_s)
        label = str(partition)
        self._restored_records.labels(label).set(records)
        self._restore_seconds.labels(label).set(now_s - since_s)
        self._restore_done.labels(label).set(int(finished))
        if finished:
            del self._restoring_since_s[partition]

    def assigned(self, partitions: Iterable[int]) -> None:
        """Count an assignment of `partitions`; their restore begins."""
        new = set(partitions)
        self._rebalances.labels("assigned").inc()
        self._partitions |= new
        self._assigned.set(len(self._partitions))
        for partition in new:
            self._restoring_since_s[partition] = time.monotonic()
            self.restoring(partition, 0, finished=False)

    def revoked(self, partitions: Iterable[int], lost: bool = False) -> None:
        """Count that `partitions` went to others, and forget what their gauges said: their new owner says it now."""
        gone = set(partitions)
        self._rebalances.labels("lost" if lost else "revoked").inc()
        self._partitions -= gone
        self._assigned.set(len(self._partitions))
        gauges = (self._lag, self._open, self._users, self._last)
        for partition in gone:
            self._restoring_since_s.pop(partition, None)
            for gauge in (*gauges, self._restored_records, self._restore_done, self._restore_seconds):
                gauge.remove_by_labels({"partition": str(partition)})
            for told in (self._waiting, self._alarms):
                told.remove_by_labels({"partition": str(partition)})


class ExportMetrics:
    """The metrics of one exporter that follows, on the registry handed in."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._records = Counter(
            "a3cp_export_records", "Records written to the store, by kind: messages, events, unreadable.", ["kind"],
            registry=registry,
        )  # fmt: skip
        self._bundles = Counter(
            "a3cp_export_bundles", "Bundles, by outcome: written, replaced, unchanged, set_aside.", ["outcome"],
            registry=registry,
        )  # fmt: skip
        self._lag = Gauge(
            "a3cp_export_lag_offsets", "Offsets that the store is behind the output topics, in all partitions.",
            registry=registry,
        )  # fmt: skip
        self._last = Gauge(
            "a3cp_export_last_stored_timestamp_seconds", "When records were stored last, s since the epoch.",
            registry=registry,
        )  # fmt: skip
        self._waiting = Gauge(
            "a3cp_export_partition_waiting", "1 while the partition stands still, by what it waits for.",
            ["topic", "partition", "cause"], registry=registry,
        )  # fmt: skip
        self._sealed = Gauge(
            "a3cp_export_sealed_timestamp_seconds",
            "Until when bundles are sealed, s since the epoch: the end of the latest sealed day; 0 if none is.",
            registry=registry,
        )  # fmt: skip
        self._sealed.set(math.nan)  # Few seal.
        say_what_runs(registry)
        self._told: dict[str, int] = {}
        for kind in ("messages", "events", "unreadable"):
            self._records.labels(kind)
        for outcome in ("written", "replaced", "unchanged", "set_aside"):
            self._bundles.labels(outcome)

    def records(self, kind: str, total: int) -> None:
        """Set how many records of `kind` this exporter has stored."""
        if total > self._told.get(kind, 0):
            self._last.set(time.time())
        self._rise(self._records.labels(kind), kind, total)

    def bundles(self, outcome: str, total: int) -> None:
        """Set how many bundles had `outcome`."""
        self._rise(self._bundles.labels(outcome), outcome, total)

    def lag(self, offsets: int) -> None:
        """Set how far the store is behind."""
        self._lag.set(offsets)

    def waiting(self, topic: str, partition: int, cause: str, waits: bool) -> None:
        """Set whether a partition stands still."""
        self._waiting.labels(topic, str(partition), cause).set(waits)

    def sealed(self, day: str) -> None:
        """Set which day is the latest whose bundles are sealed; "": none is."""
        self._sealed.set((parse_time(day) + DAY_MS) / 1000 if day else 0)

    def _rise(self, counter: Counter, name: str, total: int) -> None:
        counter.inc(total - self._told.get(name, 0))
        self._told[name] = total


def say_what_runs(registry: CollectorRegistry) -> None:
    """Add the metric whose labels say which version runs."""
    build = Gauge("a3cp_build_info", "Always 1; the labels say what runs.", ["version", "python"], registry=registry)
    build.labels(version("a3cp-session-manager"), platform.python_version()).set(1)
