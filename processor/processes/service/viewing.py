"""Feeds a view: reads the three topics from where the view needs them, committed records only, and goes on for ever."""

from collections.abc import Mapping
from typing import Any, Final, Self

from processor.errors import UsageError
from processor.kafka.identities import ids_of
from processor.kafka.offsets import offsets_since
from processor.kafka.reading.endless import EndlessReader
from processor.kafka.reading.records import TopicPlace
from processor.runtime.identities import differing
from processor.runtime.ports import TopicRecord
from processor.sessions.ports import SESSIONS, TAGGED, Source
from processor.settings.model import TopicNames
from processor.view.position import STATE
from processor.view.view import Starts, View

_POLL_S: Final = 0.1


class Viewing:
    """Follows the topics for one view; used by one thread, but for `ends`, `positions` and `check`."""

    def __init__(self, conf: Mapping[str, Any], names: TopicNames, view: View, partitions: int) -> None:
        """Begin; the view is told where.

        Args:
            conf: librdkafka's properties; names: of the topics, which have so many `partitions`.
            view: nobody else feeds it.

        Raises:
            UsageError: a topic does not exist.
            BrokerUnavailable: no broker answers.
        """
        self._conf = conf
        self._view = view
        self._partitions = partitions
        self._kinds = {names.state: STATE, names.tagged: TAGGED, names.sessions: SESSIONS}
        self._ids = ids_of(conf, self._kinds)
        starts, floors = _starts(conf, names, partitions, view.starts())
        self._reader = EndlessReader(conf, list(self._kinds), from_beginning=True, offsets=starts)
        view.begin(self.ends(), self.ends, starts=self._by_kind(floors))

    def follow(self) -> None:
        """Hand on what has come, and wait a moment if nothing has.

        Raises:
            BrokerUnavailable: no broker answers; it goes on by itself once one does.
            RecordsGone, UsageError, Fatal: a view that begins anew is needed; see `EndlessReader.poll`.
        """
        by_topic: dict[str, list[TopicRecord]] = {}
        for record in self._reader.poll(_POLL_S):
            by_topic.setdefault(record.topic, []).append(record)
        for topic, records in by_topic.items():
            self._view.take(self._kinds[topic], records)
        self._view.at(self.positions())

    def positions(self) -> Mapping[Source, int]:
        """Return the next offset of each partition, by kind."""
        return self._by_kind(self._reader.positions())

    def ends(self) -> Mapping[Source, int]:
        """Return where each partition ends now, by kind. Raises as `EndlessReader.ends`."""
        return self._by_kind(self._reader.ends())

    def check(self) -> None:
        """See that the topics are those that were there at the beginning, with as many partitions.

        Raises:
            UsageError: one was made anew, and what the view knows is of the former one; or there are more partitions.
            BrokerUnavailable: no broker answers.
        """
        if others := differing(self._ids, ids_of(self._conf, self._kinds)):
            raise UsageError(f"{' and '.join(others)} was made anew", remedy="nothing: the view begins anew")
        if any(partition >= self._partitions for _, partition in self.positions()):
            raise UsageError("the topics were given more partitions", remedy="nothing: the view begins anew")

    def close(self) -> None:
        """Let go of the connections."""
        self._reader.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _by_kind(self, offsets: Mapping[TopicPlace, int]) -> Mapping[Source, int]:
        return {(self._kinds[topic], partition): offset for (topic, partition), offset in offsets.items()}


def _starts(
    conf: Mapping[str, Any], names: TopicNames, partitions: int, wanted: Starts
) -> tuple[Mapping[TopicPlace, int], Mapping[TopicPlace, int]]:
    """Return where each partition of the two topics is read from, and from where on requests need its records."""
    kinds = {names.tagged: TAGGED, names.sessions: SESSIONS}
    places = [(topic, number) for topic in kinds for number in range(partitions)]
    firsts, since = offsets_since(conf, places, 0), offsets_since(conf, places, wanted.since_ms)
    starts, floors = {}, {}
    for topic, number in places:
        place = topic, number
        # Session events are few, and only they have what the start of a session said: without a store all are read.
        unstored = firsts[place] if kinds[topic] == SESSIONS else since[place]
        stored = max(firsts[place], wanted.stored.get((kinds[topic], number), unstored))
        floors[place] = stored
        starts[place] = min(stored, since[place]) if kinds[topic] == SESSIONS else stored
    return starts, floors
