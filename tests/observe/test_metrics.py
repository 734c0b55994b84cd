"""What a scrape says after the worker has said what it did."""

from prometheus_client import CollectorRegistry, generate_latest

from processor.core.model import Flag, Odd
from processor.observe.metrics import Metrics
from processor.runtime.tally import Tally


def test_a_batch_is_counted_once() -> None:
    """Each count of a tally lands in its metric, under the words that the rules use."""
    registry = CollectorRegistry()
    metrics = Metrics(registry)
    tally = Tally(tagged=7, rerouted=1)
    tally.flags[Flag.LATE | Flag.DUPLICATE] = 2
    tally.flags[Flag.LATE] = 1
    tally.odd[Odd.RECORD_ID_MISSING | Odd.USER_ID_BLANKS] = 2
    tally.odd[Odd.USER_ID_BLANKS] = 3
    tally.started["message"] = 3
    tally.ended["timeout"] = 2
    tally.dead["decode"] = 4
    tally.commands["end", "not_found"] = 1
    metrics.count(tally)
    metrics.committed(12, 0.004)

    def value(name: str, **labels: str) -> float | None:
        return registry.get_sample_value(name, labels)

    assert value("a3cp_messages_tagged_total") == 7
    assert value("a3cp_records_rerouted_total") == 1
    assert value("a3cp_messages_flagged_total", flag="late") == 3
    assert value("a3cp_messages_flagged_total", flag="duplicate") == 2
    assert value("a3cp_messages_nonconforming_total", reason="user_id_blanks") == 5
    assert value("a3cp_messages_nonconforming_total", reason="record_id_missing") == 2
    assert value("a3cp_messages_nonconforming_total", reason="timestamp_without_zone") == 0
    assert value("a3cp_sessions_started_total", reason="message") == 3
    assert value("a3cp_sessions_ended_total", reason="timeout") == 2
    assert value("a3cp_dead_letters_total", stage="decode") == 4
    assert value("a3cp_commands_total", command="end", outcome="not_found") == 1
    assert value("a3cp_transactions_total", outcome="committed") == 1
    assert value("a3cp_transactions_total", outcome="aborted") == 0
    assert value("a3cp_commit_seconds_bucket", le="0.005") == 1
    assert value("a3cp_commit_seconds_bucket", le="0.003") == 0
    assert value("a3cp_transaction_records_sum") == 12
    metrics.aborted()
    assert value("a3cp_transactions_total", outcome="aborted") == 1


def test_a_partition_that_left_says_nothing_more() -> None:
    """Gauges of a revoked partition vanish here: its new owner tells them, and a sum over workers stays right."""
    registry = CollectorRegistry()
    metrics = Metrics(registry)
    metrics.assigned([0, 1])
    assert registry.get_sample_value("a3cp_restore_done", {"partition": "1"}) == 0
    for partition in (0, 1):
        metrics.restoring(partition, 5, finished=True)
        metrics.lag(partition, 3)
        metrics.holds(partition, users=4, open_sessions=2, unix_s=1.5)
    assert registry.get_sample_value("a3cp_restore_records", {"partition": "1"}) == 5
    assert registry.get_sample_value("a3cp_restore_done", {"partition": "1"}) == 1
    metrics.revoked([1])
    assert 'partition="1"' not in generate_latest(registry).decode()
    assert registry.get_sample_value("a3cp_lag_offsets", {"partition": "0"}) == 3
    assert registry.get_sample_value("a3cp_partitions_assigned") == 1
    assert registry.get_sample_value("a3cp_rebalances_total", {"kind": "revoked"}) == 1
    metrics.revoked([0], lost=True)
    assert registry.get_sample_value("a3cp_rebalances_total", {"kind": "lost"}) == 1


def test_no_series_says_when_a_counter_was_made() -> None:
    """They would double the number of series, and nobody looks at them."""
    registry = CollectorRegistry()
    Metrics(registry)
    assert "_created" not in generate_latest(registry).decode()
