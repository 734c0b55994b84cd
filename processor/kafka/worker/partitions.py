"""The partitions of the raw topic that a member reads: from where, how far, and which are not read for now."""

import contextlib
from collections.abc import Collection, Iterable, Mapping
from typing import Final

from confluent_kafka import OFFSET_INVALID, Consumer, IsolationLevel, KafkaException, Message, TopicPartition
from confluent_kafka.admin import AdminClient

from processor.kafka.conf import LogConf
from processor.kafka.failures import failure
from processor.kafka.offsets import LATEST, log_offsets
from processor.kafka.unreadable import Probes, tell_unreadable
from processor.kafka.worker.positions import Positions
from processor.runtime.ports import LogObserver

_ASK_TIMEOUT_S: Final = 1.0


class Partitions:
    """What one consumer reads. Another consumer begins with another one of these.

    A partition that is not read is unassigned from the consumer: a paused one slows the others down.
    """

    def __init__(self, consumer: Consumer, conf: LogConf, observer: LogObserver) -> None:
        self._consumer = consumer
        self._raw = conf.raw
        self._observer = observer
        self._unread = Probes({**conf.consumer, "group.id": conf.group_id}, conf.raw)
        self._behind: dict[int, int] = {}  # partition -> lag, of those with a batch that cannot be read
        self._held: dict[int, int] = {}  # partition -> offset, of those that are held back
        self.reading: set[int] = set()
        self.positions = Positions(conf.waits.settle_s)

    @property
    def has_unreadable(self) -> bool:
        """Whether a partition is not read since a batch of it cannot be."""
        return bool(self._unread)

    def one_is_readable(self) -> bool:
        """Return whether such a partition can be read again. That takes a new consumer, see `Probes`."""
        return bool(self._unread) and self._unread.one_is_readable()

    def begin(self, offsets: Mapping[int, int]) -> None:
        """Read partitions from these offsets on.

        Raises:
            KafkaException: it cannot be done now.
        """
        places = [TopicPartition(self._raw, partition, offset) for partition, offset in offsets.items()]
        self._consumer.incremental_assign(places)
        self.reading.update(offsets)
        self.positions.begin(offsets)

    def stop(self, partitions: Collection[int]) -> None:
        """Stop reading `partitions`, and forget those that were not read for now. Raises as `begin`."""
        for partition in partitions:
            self._unread.forget(partition)
            self._behind.pop(partition, None)
            self._held.pop(partition, None)
        self.unassign(partitions)

    def unassign(self, partitions: Iterable[int]) -> None:
        """Read no more of `partitions` for now. Raises as `begin`."""
        gone = self.reading.intersection(partitions)
        self.reading -= gone
        for partition in gone:
            self.positions.ends.pop(partition, None)
        self._consumer.incremental_unassign([TopicPartition(self._raw, partition) for partition in sorted(gone)])

    def hold_back(self, partition: int, offset: int) -> None:
        """See `Log.hold_back`."""
        try:
            self.stop([partition])
        except KafkaException as error:
            raise failure("holding back", error) from error
        self._held[partition] = offset
        self.positions.take_back(partition, offset)

    def go_on(self, partition: int) -> None:
        """See `Log.go_on`."""
        offset = self._held.pop(partition, None)
        if offset is None:
            return
        try:
            self.begin({partition: offset})
        except KafkaException as error:
            raise failure("going on to read", error) from error

    def put_off(self, message: Message) -> None:
        """Stop reading the partition of `message`, whose next batch cannot be read, and try it again later."""
        partition = message.partition()
        if partition not in self.reading:
            return
        assert partition is not None
        self.unassign([partition])
        end = 0
        with contextlib.suppress(KafkaException):  # Asked, since with damage the cached one was seen to be -1.
            _, end = self._consumer.get_watermark_offsets(TopicPartition(self._raw, partition), _ASK_TIMEOUT_S)
        self._behind[partition] = max(1, end - (message.offset() or 0))
        self._unread.put_off(partition)
        tell_unreadable(self._observer, message)

    def rewind(self) -> None:
        """Go back to where the batch began, after it was aborted."""
        try:
            for partition, offset in self.positions.first.items():
                if partition in self._held:
                    self._held[partition] = offset
                elif partition in self.reading:
                    self._consumer.seek(TopicPartition(self._raw, partition, offset))
        except KafkaException as error:
            raise failure("reading the batch again", error, in_transaction=True) from error
        for partition in self.positions.first:
            self.positions.ends.pop(partition, None)
        self.positions.forget_batch()

    def caught_up(self, partition: int) -> bool:
        """See `Log.caught_up`."""
        end = self.positions.ends.get(partition)
        return end is not None and self._high_watermark(partition) <= end

    def lag(self) -> dict[int, int]:
        """Return how many offsets are left in each partition that is read, by the latest fetch."""
        try:
            asked = self._consumer.position([TopicPartition(self._raw, each) for each in sorted(self.reading)])
        except KafkaException as error:
            raise failure("asking for positions", error) from error
        positions = {place.partition: max(0, place.offset) for place in asked} | self.positions.ends
        return {
            partition: max(0, self._high_watermark(partition) - position) for partition, position in positions.items()
        }

    def lag_of_others(self, admin: AdminClient | None) -> dict[int, int]:
        """Return how many offsets are left in each partition that is not read for now, which no fetch says.

        Without `admin`, or an answer, those that are held back are left out.
        """
        places = [(self._raw, partition) for partition in self._held]
        if not places or admin is None:
            return self._behind
        try:
            ends = log_offsets(admin, places, LATEST, IsolationLevel.READ_UNCOMMITTED, _ASK_TIMEOUT_S)
        except KafkaException:  # It is asked again.
            return self._behind
        return self._behind | {number: max(0, end - self._held[number]) for (_, number), end in ends.items()}

    def close(self) -> None:
        """Let go of the clients that try what cannot be read."""
        self._unread.close()

    def _high_watermark(self, partition: int) -> int:
        """Return where the log ends, as the latest fetch said; below 0 before the first one."""
        with contextlib.suppress(KafkaException):
            _, high = self._consumer.get_watermark_offsets(TopicPartition(self._raw, partition), cached=True)
            return high
        return OFFSET_INVALID
