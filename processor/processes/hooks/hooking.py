"""The hooks: one loop that reads what happens, finds who is to be told, and commits what was told (docs/hooks.md)."""

import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from functools import partial
from queue import Empty, SimpleQueue
from typing import Final, NamedTuple

from processor.codec.codec import Codec
from processor.errors import BrokerUnavailable, DecodeError, Fatal, OwnershipLost, StoreUnavailable, WebhookFailed
from processor.hooks.due import Delivery, Trigger, deliveries, trigger_of
from processor.observe.hooks import HooksObserver
from processor.processes.hooks.telling import Stopped, Telling
from processor.runtime.backoff import backoff_s
from processor.runtime.ports import Assigned
from processor.sessions.ports import Source
from processor.sessions.projection.feed import Feed, OutputRecord
from processor.settings.templates import Hook
from processor.view.view import View

AT_ONCE: Final = 8  # deliveries to one receiver
DUE_MAX: Final = 1_000  # deliveries; then nothing more is read until half of them are done
_RECORDS_MAX: Final = 5_000
_POLL_S: Final = 0.1
_BACKOFF_FIRST_S: Final = 0.2
_BACKOFF_MAX_S: Final = 10.0
_LOOK_EVERY_S: Final = 5.0

Bury = Callable[[Delivery, bytes, WebhookFailed], None]
"""Sets aside what a receiver has not taken; it returns once that is in the log."""


class _Due(NamedTuple):
    """A delivery, and the offsets among which the one that it is of counts as unfinished until then."""

    delivery: Delivery
    unfinished: Counter[int]


class Hooks:
    """One member of the group that tells receivers; the loop is one thread's, deliveries have threads of their own."""

    def __init__(
        self,
        hooks: Mapping[tuple[str, str], Hook],
        telling: Telling,
        *,
        view: Callable[[], View | None],
        bury: Bury,
        observer: HooksObserver,
        stopped: threading.Event,
        codec: Codec,
        committed: Callable[[frozenset[int]], Mapping[Source, int]],
        due_max: int = DUE_MAX,
    ) -> None:
        """Prepare.

        Args:
            hooks: by the names of template and hook.
            telling: tells one receiver of one thing.
            view: what is known of sessions; None while there is nothing yet.
            bury: sets aside what was not taken.
            observer, stopped: told how it goes; set when it is to stop.
            codec: reads the records.
            committed: returns where to begin in partitions that are assigned.
            due_max: how many deliveries may be due before nothing more is read for a while.
        """
        self._hooks = hooks
        self._steps = frozenset(hook.every_messages for hook in hooks.values() if hook.every_messages is not None)
        self._telling = telling
        self._view = view
        self._bury = bury
        self._observer = observer
        self._stopped = stopped
        self._codec = codec
        self._where_to_begin = committed
        self._due_max = due_max
        self._pools = {name: ThreadPoolExecutor(AT_ONCE, thread_name_prefix=f"a3cp-hook-{name[1]}") for name in hooks}
        self._lanes: dict[tuple[str, str, str], deque[_Due]] = {}  # the first of each is under way
        self._ended: SimpleQueue[tuple[_Due, Future[str]]] = SimpleQueue()
        self._found: list[Trigger] = []  # whose turn is only known once the other topic was read as far
        self._barrier: Mapping[Source, int] | None = None
        self._owned: frozenset[int] = frozenset()
        self._unfinished: dict[Source, Counter[int]] = {}  # offsets of what was found, or is due
        self._committed: dict[Source, int] = {}
        self._is_held_back = False
        self._look_s = 0.0

    def run(self, join: Callable[[], Feed]) -> None:
        """Read and tell until stopped. `join` joins the group.

        Raises:
            UsageError: a topic does not exist, or the client refuses a property.
        """
        failures = 0
        try:
            while not self._stopped.is_set():
                try:
                    with closing(join()) as feed:
                        self._begin_anew(frozenset())
                        while not self._stopped.is_set():
                            self._turn(feed)
                            failures = 0
                        self._end_deliveries()
                        self._collect()
                        self._commit(feed)
                except (BrokerUnavailable, OwnershipLost, StoreUnavailable) as error:
                    failures += 1
                    self._observer.away(error)
                    self._stopped.wait(backoff_s(failures, first_s=_BACKOFF_FIRST_S, max_s=_BACKOFF_MAX_S))
        finally:
            self._stopped.set()
            self._end_deliveries()

    def _end_deliveries(self) -> None:
        """Wait for those whose receiver is being asked; the others are told again by whoever comes next."""
        for pool in self._pools.values():
            pool.shutdown(cancel_futures=True)

    def _turn(self, feed: Feed) -> None:
        records = feed.poll(_RECORDS_MAX, _POLL_S)
        self._take_over(feed)
        self._find(records)
        self._release(feed)
        self._collect()
        self._commit(feed)
        self._hold_back_or_go_on(feed)
        self._look_around(feed)

    def _take_over(self, feed: Feed) -> None:
        """Begin with what is assigned anew where the group has come to; forget what is another member's."""
        if not (changes := feed.assignments()):
            return
        owned = self._owned
        for change in changes:
            owned = owned | change.partitions if isinstance(change, Assigned) else owned - change.partitions
        self._begin_anew(owned)
        starts = self._where_to_begin(owned) if owned else {}
        feed.begin(starts)
        feed.stored(starts)  # A partition without a commit would begin later next time, and miss what came between.
        self._committed = dict(starts)
        self._observer.assigned(owned)

    def _begin_anew(self, owned: frozenset[int]) -> None:
        """Forget what was found, and how far it was. What is due stays so; if it comes again, it is told again."""
        self._owned = owned
        self._found, self._barrier = [], None
        self._unfinished, self._committed = {}, {}
        self._is_held_back = False

    def _find(self, records: Sequence[OutputRecord]) -> None:
        for record in records:
            try:
                trigger = trigger_of(record, self._codec, self._steps)
            except DecodeError as error:  # The exporter keeps it aside, and says so too.
                self._observer.unreadable(record, error)
                continue
            if trigger is not None:
                self._found.append(trigger)
                self._unfinished.setdefault(trigger.source, Counter())[trigger.offset] += 1

    def _release(self, feed: Feed) -> None:
        """Make due what was found, in order of each session.

        A session's messages and events are in two topics. So what was found waits until both were read as far as they
        went after it had been read, here and by the view.
        """
        view = self._view()
        if not self._found or view is None:
            return
        if self._barrier is None:
            self._barrier = feed.ends()
        barrier = self._barrier
        if not self._have_passed(barrier, feed, view):
            return
        ready = [trigger for trigger in self._found if trigger.offset < barrier[trigger.source]]
        templates = [self._template_of(trigger, view) for trigger in ready]
        self._found = [trigger for trigger in self._found if trigger.offset >= barrier[trigger.source]]
        self._barrier = None
        now_s = time.monotonic()
        for trigger, template in sorted(zip(ready, templates, strict=True), key=lambda pair: pair[0].order):
            for delivery in deliveries(trigger, template, self._hooks, now_s):
                self._append(_Due(delivery, self._unfinished[trigger.source]))
            _finish(trigger.offset, self._unfinished[trigger.source])

    def _have_passed(self, barrier: Mapping[Source, int], feed: Feed, view: View) -> bool:
        partitions = {trigger.source[1] for trigger in self._found}
        here = feed.positions()
        there = {source: end for position in view.progress.positions() for source, end in position.ends.items()}
        return all(
            min(here.get(source, 0), there.get(source, 0)) >= end
            for source, end in barrier.items()
            if source[1] in partitions
        )

    def _template_of(self, trigger: Trigger, view: View) -> str | None:
        if trigger.moment == "start":
            return None if trigger.event is None else trigger.event.template
        held = view.session(trigger.session_id)
        return None if held is None else held.row.template

    def _append(self, due: _Due) -> None:
        due.unfinished[due.delivery.trigger.offset] += 1
        lane = self._lanes.setdefault(due.delivery.lane, deque())
        lane.append(due)
        if len(lane) == 1:
            self._begin(due)

    def _begin(self, due: _Due) -> None:
        pool = self._pools[due.delivery.lane[:2]]
        pool.submit(self._deliver, due.delivery).add_done_callback(lambda future: self._ended.put((due, future)))

    def _deliver(self, delivery: Delivery) -> str:
        """Tell a receiver; return what came of it."""
        body = self._telling.body_of(delivery)
        if body is None:
            return "nothing_to_tell"
        try:
            self._telling.tell(delivery, body)
        except WebhookFailed as error:
            self._telling.patiently(partial(self._bury, delivery, body, error))
            self._observer.buried(delivery.template, delivery.hook, delivery.trigger.session_id, error)
            return "dead"
        return "delivered"

    def _collect(self) -> None:
        """Take note of what is done, and begin with what comes after it."""
        while True:
            try:
                due, future = self._ended.get_nowait()
            except Empty:
                return
            if future.cancelled() or isinstance(error := future.exception(), Stopped):
                continue  # It is told again by whoever comes next.
            if error is not None:
                raise Fatal(f"a delivery failed in an unforeseen way ({type(error).__name__})") from error
            template, hook, _ = due.delivery.lane
            self._observer.told(template, hook, future.result())
            _finish(due.delivery.trigger.offset, due.unfinished)
            lane = self._lanes[due.delivery.lane]
            lane.popleft()
            if not lane:
                del self._lanes[due.delivery.lane]
            elif not self._stopped.is_set():
                self._begin(lane[0])

    def _commit(self, feed: Feed) -> None:
        offsets = {}
        for source, position in feed.positions().items():
            offset = min(self._unfinished.get(source) or (position,))
            if offset > self._committed.get(source, -1):
                offsets[source] = offset
        if offsets:
            feed.stored(offsets)
            self._committed.update(offsets)

    def _hold_back_or_go_on(self, feed: Feed) -> None:
        due = sum(map(len, self._lanes.values()))
        self._observer.due(due)
        if due > self._due_max and not self._is_held_back:
            for source, position in dict(feed.positions()).items():
                feed.hold_back(source, position)
            self._is_held_back = True
        elif due <= self._due_max // 2 and self._is_held_back:
            for source in dict(feed.positions()):
                feed.go_on(source)
            self._is_held_back = False

    def _look_around(self, feed: Feed) -> None:
        """Now and then, say how far behind it is."""
        if time.monotonic() > self._look_s:
            self._look_s = time.monotonic() + _LOOK_EVERY_S
            ends = feed.ends()
            self._observer.lag(sum(ends[source] - offset for source, offset in self._committed.items()))
        view = self._view()
        troubles = ["the topics were not read yet"] if view is None else [view.progress.why_not_ready()]
        troubles += [
            f"{each.topic}[{each.partition}]@{each.offset} stands still: {each.why}" for each in feed.unreadable()
        ]
        self._observer.beat(next(filter(None, troubles), None))


def _finish(offset: int, unfinished: Counter[int]) -> None:
    unfinished[offset] -= 1
    if not unfinished[offset]:
        del unfinished[offset]
