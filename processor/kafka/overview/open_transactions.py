"""Transactions that stay open: what is behind them is hidden from readers of committed records."""

import time
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from confluent_kafka import IsolationLevel
from confluent_kafka.admin import AdminClient

from processor.kafka.offsets import LATEST, asked_offsets
from processor.kafka.overview.overview import WATCHED_S

_ASKING: Final = "asking how far the topics can be read"
Place = tuple[str, int]  # a topic and a partition


class Hidden(NamedTuple):
    """What is hidden in a partition."""

    lso: int  # the last stable offset, where the oldest open transaction begins
    offsets: int  # how many wait behind it


def open_transactions(conf: Mapping[str, Any], places: Sequence[Place]) -> Mapping[Place, Hidden]:
    """Return what is hidden in those of `places` whose last stable offset has not moved for `WATCHED_S`.

    Raises:
        BrokerUnavailable: no broker answers.
    """
    admin = AdminClient(dict(conf))

    def hidden(asked: Sequence[Place]) -> dict[Place, Hidden]:
        stable = asked_offsets(admin, asked, LATEST, _ASKING, conf)
        ends = asked_offsets(admin, asked, LATEST, _ASKING, conf, isolation=IsolationLevel.READ_UNCOMMITTED)
        return {
            place: Hidden(stable[place], ends[place] - stable[place]) for place in asked if ends[place] > stable[place]
        }

    before = hidden(places)
    if not before:
        return {}
    time.sleep(WATCHED_S)
    return {place: now for place, now in hidden(list(before)).items() if now.lso == before[place].lso}
