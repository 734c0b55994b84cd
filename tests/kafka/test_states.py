"""All states at once: some at a time, so that a million do not stand in memory side by side."""

from collections.abc import Iterator, Sequence
from typing import Any, cast

from processor.codec.state import decode_state, encode_state
from processor.core.model import UserState
from processor.kafka.stopped.adopting import without_offsets
from processor.kafka.stopped.states import SENT_RECORDS, send
from processor.kafka.worker.transactions import Transactions
from processor.runtime.ports import Output


class Sent:
    """Takes what is sent, and notes how many there were each time."""

    def __init__(self) -> None:
        self.counts: list[int] = []

    def send(self, outputs: Sequence[Output]) -> None:
        self.counts.append(len(outputs))


def test_each_is_made_when_it_is_sent() -> None:
    """No more of them than go together."""
    made, sent = 0, Sent()

    def outputs() -> Iterator[Output]:
        nonlocal made
        for number in range(2 * SENT_RECORDS + 1):
            made += 1
            assert made - sum(sent.counts) <= SENT_RECORDS
            yield "state", b"", b"%d" % number, 0, None

    send(cast("Transactions", cast("Any", sent)), outputs())
    assert sent.counts == [SENT_RECORDS, SENT_RECORDS, 1]


def test_an_adopted_state_has_no_offset() -> None:
    """It is read when it is its turn; the newest time of the partition is noted."""
    states = {b"ann": UserState(None, (), b"", None, 7, 0, 40), b"ben": UserState(None, (), b"", None, 9, 0, 41)}
    newest_ms: dict[int, int] = {}
    moved = without_offsets("state", 3, {key: encode_state(state) for key, state in states.items()}, newest_ms)
    topic, value, key, partition, _ = next(moved)
    assert (topic, key, partition, newest_ms) == ("state", b"ann", 3, {3: 7})
    assert decode_state(value or b"") == states[b"ann"]._replace(last_offset=-1)
    assert [key for _, _, key, _, _ in moved] == [b"ben"]
    assert newest_ms == {3: 9}
