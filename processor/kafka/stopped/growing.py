"""More partitions for the five topics, with the states of the users who move: `a3cp topics grow`.

The order of the steps makes it safe to stop anywhere, and to begin again:

1. All topics but raw get their partitions. From here on their numbers differ, and no worker starts.
2. States move, and the group's offsets get a mark, in one transaction.
3. Raw gets its partitions. Producers begin to use them.
4. The group gets offsets for them. Until then no worker starts: it finds states without offsets.

Whoever begins again sees by the numbers, the marks and the offsets which steps are done.
"""

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from confluent_kafka import Consumer, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient

from processor.errors import UsageError
from processor.kafka.committed.lost_offsets import refuse_lost_offsets
from processor.kafka.committed.marks import Marks, marks_in, with_marks
from processor.kafka.committed.origin import require_same, text_of
from processor.kafka.conf import LogConf
from processor.kafka.identities import identities
from processor.kafka.offsets import await_stable, committed_places, extents, latest_ms, patiently
from processor.kafka.reading.reader import Reader
from processor.kafka.stopped.erasure import is_at_work
from processor.kafka.stopped.standing_in import committed_by, standing_in
from processor.kafka.stopped.states import long_transactions, send, states_in
from processor.kafka.topics.admin import add_partitions, count_partitions
from processor.runtime.growing import Grown, moves
from processor.runtime.identities import Identities
from processor.settings.model import TopicNames
from processor.upstream.words.counting import counted

_AGAIN: Final = "see that all workers are stopped, then grow again"


class Growth(NamedTuple):
    """What growing comes to."""

    before: int
    after: int
    users: int = 0  # who have a state
    moving: int = 0  # of them, who get another partition
    waiting: int = 0  # offsets of raw that are not processed
    waiting_ms: int = 0  # from the first record that waits to the newest one
    is_at_work: bool = False  # whether the processor's group has members
    is_begun: bool = False  # whether the states have moved already


class Growing:
    """The topics of one group on their way to more partitions."""

    def __init__(self, conf: LogConf, names: TopicNames, after: int) -> None:
        """Look where they are. `conf.partitions` is of no use here.

        Raises:
            UsageError: there are no such topics, they cannot get `after` partitions, or the group worked on others.
            BrokerUnavailable: no broker answers.
        """
        self._names, self._after = names, after
        self._counts = count_partitions(conf.common, names)
        self._admin = AdminClient(dict(conf.common))
        roles = names.by_role

        def ask() -> tuple[list[TopicPartition], Identities]:
            numbers = range(self._counts[names.raw])
            return committed_places(conf.common, conf.group_id, names.raw, numbers), identities(self._admin, roles)

        committed, ids = patiently(ask, "asking how far the group is", conf.common)
        require_same(conf.group_id, roles, committed, ids)
        self._text = text_of(ids)
        self._committed = {place.partition: place for place in committed}
        self._before = _before(self._counts, names.raw, committed, after)
        self._conf = conf._replace(partitions=self._before)

    @property
    def is_done(self) -> bool:
        """Whether nothing is left to do."""
        return set(self._counts.values()) == {self._after} and not self._without_offset()

    def require_offsets(self) -> None:
        """Check that the group has an offset wherever there are states, when nothing is left to do.

        Raises:
            UsageError: it has none. A growth was interrupted before its last step, and its marks are gone since.
            BrokerUnavailable, Fatal: see `failure`.
        """
        names, group_id = self._names, self._conf.group_id
        try:
            refuse_lost_offsets(self._conf.common, group_id, raw=names.raw, state=names.state, partitions=self._after)
        except UsageError as error:
            raise UsageError(
                f"the topics have {self._after} partitions already, but {error.what}",
                remedy="if a growth was interrupted, another program has taken away its marks: set the group's offsets "
                "of these partitions to the beginning (kafka-consumer-groups --reset-offsets --to-earliest), then "
                "start the workers",
            ) from error

    def look(self) -> Growth:
        """Return what growing comes to. Nothing is changed.

        Raises:
            UsageError: the group has no offsets, and there are states.
            BrokerUnavailable: no broker answers.
        """
        conf, names = self._conf, self._names
        is_begun = self._has_moved()
        if not is_begun:
            refuse_lost_offsets(conf.common, conf.group_id, raw=names.raw, state=names.state, partitions=self._before)
        users = moving = 0
        for partition, states in states_in(conf, self._before):
            users += len(states)
            moving += len(moves(names.state, partition, states, self._after)) // 2
        waiting, waiting_ms = self._waiting()
        return Growth(self._before, self._after, users, moving, waiting, waiting_ms, is_at_work(conf), is_begun)

    def grow(self, *, waiting_ms_max: int, on_step: Callable[[str], None] = lambda _: None) -> Growth:
        """Take the steps that are left. Return what it came to.

        Args:
            waiting_ms_max: how long raw records may have waited; longer, and sessions would be cut.
            on_step: told in words what comes next.

        Raises:
            UsageError: a worker runs or has started meanwhile, or records have waited for too long.
            BrokerUnavailable, OutcomeUnknown, Fatal: see `failure`. It may be done again.
        """
        on_step("looking")
        growth = self.look()
        if growth.is_at_work:
            raise UsageError(
                f"workers of the group {self._conf.group_id} run",
                remedy="stop all of them, then grow; one that was killed counts until its session times out",
            )
        # Once a topic has its partitions, no worker can start and catch up.
        if growth.waiting_ms > waiting_ms_max and set(self._counts.values()) == {self._before}:
            raise UsageError(
                f"{counted(growth.waiting, 'offset')} of {self._names.raw} not processed, and the newest record came "
                f"{growth.waiting_ms // 1000:,} s after the first of them",
                remedy="start the workers, let them catch up, stop them, and grow at once",
            )
        with standing_in(self._conf, range(self._before), doing="moving states", again=_AGAIN) as member:
            for step, words in self._steps(member):
                on_step(words)
                step()
        return growth

    def _steps(self, member: Consumer) -> Iterator[tuple[Callable[[], None], str]]:
        """Yield the steps that are left, with words for each."""
        conf, raw, after = self._conf.common, self._names.raw, self._after
        growing = [name for name, count in self._counts.items() if count < after]
        others = [name for name in growing if name != raw]
        if others:
            yield lambda: add_partitions(conf, others, after), f"{', '.join(others)} get {counted(after, 'partition')}"
        if self._committed and not self._has_moved():
            yield lambda: self._move(member), "states move"
        if raw in growing:
            yield lambda: add_partitions(conf, [raw], after), f"{raw} gets {counted(after, 'partition')}"
        if self._committed:
            yield lambda: self._begin(member), f"the group {self._conf.group_id} gets offsets for them"

    def _move(self, member: Consumer) -> None:
        """Move the states, and leave a mark beside each offset that the group has."""
        conf, state = self._conf, self._names.state
        with contextlib.closing(long_transactions(conf)) as transactions:
            await_stable(conf.common, state, self._before)  # A dead worker's transaction would hide states.
            for partition, states in states_in(conf, self._before):
                outputs = moves(state, partition, states, self._after)
                send(transactions, outputs)
            offsets = [self._marked(place) for place in committed_by(member, conf.raw, range(self._before))]
            transactions.commit(offsets, member.consumer_group_metadata())

    def _marked(self, place: TopicPartition) -> TopicPartition:
        """Return the offset that it has, with one mark more."""
        marks = marks_in(place.metadata)
        grown = [*marks.grown, Grown(self._before, place.offset)]
        text = with_marks(self._text, marks._replace(grown=grown))
        return TopicPartition(place.topic, place.partition, place.offset, text)

    def _begin(self, member: Consumer) -> None:
        """Give the group its offsets in the new partitions, from the beginning."""
        text = with_marks(self._text, Marks(grown=[Grown(self._before, 0)]))
        places = [TopicPartition(self._names.raw, partition, 0, text) for partition in self._without_offset()]

        def commit() -> None:
            for place in member.commit(offsets=places, asynchronous=False) or ():
                if place.error is not None:
                    raise KafkaException(place.error)

        patiently(commit, "committing the first offsets", self._conf.common)

    def _without_offset(self) -> Sequence[int]:
        """Return the new partitions in which the group has no offset yet, if it has one anywhere."""
        new = range(self._before, self._after) if self._committed else ()
        return [partition for partition in new if partition not in self._committed]

    def _has_moved(self) -> bool:
        return any(
            grown[-1].partitions == self._before
            for place in self._committed.values()
            if (grown := marks_in(place.metadata).grown)
        )

    def _waiting(self) -> tuple[int, int]:
        """Return how many offsets of raw wait, and how long after the first such record the newest one came, ms."""
        raw, conf, numbers = self._names.raw, self._conf.common, range(self._before)
        ends = extents(conf, [(raw, partition) for partition in numbers])
        count, firsts_ms = 0, []
        with Reader(conf, raw) as reader:
            for partition in numbers:
                place = self._committed.get(partition)
                offset = 0 if place is None else place.offset
                first = next(reader.read_from(partition, offset), None)
                if first is not None:
                    count += ends[raw, partition][1] - first.offset
                    firsts_ms.append(first.timestamp_ms)
        return count, max(0, latest_ms(conf, raw, numbers) - min(firsts_ms)) if firsts_ms else 0


def _before(counts: Mapping[str, int], raw: str, committed: Sequence[TopicPartition], after: int) -> int:
    """Return how many partitions there were, or are, before there are `after`.

    Somebody may have given more to the topic `raw` already, by hand.

    Raises:
        UsageError: they cannot become so many.
    """
    others = {count for name, count in counts.items() if name != raw and count != after}
    if len(others) > 1 or counts[raw] > after:
        listed = ", ".join(f"{name} {count}" for name, count in sorted(counts.items()))
        raise UsageError(
            f"these cannot all get {after} partitions: {listed}",
            remedy="grow to the number that an interrupted growth had, or to a larger one",
        )
    before = others.pop() if others else counts[raw]
    if before == after:  # All have them; perhaps the offsets of the new ones are missing.
        grown = (marks_in(place.metadata).grown for place in committed)
        return max((marks[-1].partitions for marks in grown if marks), default=after)
    if after < before or after % before:
        allowed = ", ".join(str(times * before) for times in (2, 3, 4))
        raise UsageError(
            f"{before} partitions cannot become {after}: only multiples keep each user's order",
            remedy=f"name one of {allowed}, … with --partitions",
        )
    return before
