"""What waits in the outbox, as the processor will have it, so that sessions of an outage can be read and used.

The processor's own code is applied to each record that is kept, beginning with what the log says of its user. Others
may have sent something for the user that is not seen here; then the log decides, once Kafka is back.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import chain
from typing import Final

from processor.codec.codec import Codec
from processor.codec.events import EventView, from_json
from processor.codec.state import encode_state
from processor.core.model import RejectCode, Rules
from processor.outbox.outbox import Outbox
from processor.runtime.ports import Output, TopicRecord
from processor.runtime.task import Task
from processor.sessions.ports import SESSIONS, TAGGED
from processor.sessions.summary import SessionFold
from processor.settings.model import TopicNames
from processor.testing import MemoryRecord
from processor.view.held import Held, facts_in
from processor.view.position import STATE
from processor.view.states import Open
from processor.view.view import View

_TOPICS: Final = TopicNames("raw", TAGGED, SESSIONS, STATE, "dlq")
_RECORD_BYTES_MAX: Final = 2 << 20
_REMEMBERED_MS: Final = 600_000
"""For how long what was foreseen is remembered once nothing waits: the processor has it in the log by then."""


class Meanwhile:
    """What is foreseen of the records in an outbox; may be used by several threads."""

    def __init__(self, view: View, outbox: Outbox, *, codec: Codec, rules: Rules, now_ms: Callable[[], int]) -> None:
        """Foresee nothing yet.

        Args:
            view: what the log says. outbox: where records wait.
            codec, rules: the processor's.
            now_ms: the clock.
        """
        self._view = view
        self._outbox = outbox
        self._codec = codec
        self._rules = rules
        self._now_ms = now_ms
        self._lock = threading.Lock()
        self._latest_ms = 0
        self._begin()

    @property
    def may_lack(self) -> bool:
        """Whether something waits, so that a session may be missing here: one of before this process began."""
        return self._outbox.stock.records > 0

    @property
    def foreseen(self) -> View:
        """What is foreseen, read as the log is. Of sessions that the log has it does not know all."""
        return self._foreseen

    def take(self, value: bytes, key: bytes) -> None:
        """Take a record that is kept."""
        with self._lock:
            if not self.may_lack and self._now_ms() - self._latest_ms > _REMEMBERED_MS:
                self._begin()
            self._latest_ms = self._now_ms()
            is_ahead = key in self._users and self._outbox.stock.records > 1  # Else the log may know more by now.
            state = None if is_ahead else self._view.memory.state(key.decode())
            self._users.add(key)
            if state is not None:
                self._task.restore([(key, encode_state(state._replace(last_offset=-1)))])
            self._offset += 1
            outputs = self._task.process([MemoryRecord(0, self._offset, key, value, self._latest_ms)])
            outputs += self._task.state_records()
            self._task.committed()
            for kind in (SESSIONS, STATE, TAGGED):
                self._foreseen.take(kind, self._records(kind, outputs))

    def outcome(self, record_id: str, user_id: str) -> EventView | None:
        """Return what will come of a command that is kept; None if that cannot be told here.

        The log may know a session whose state this replica has not read. So it alone says that there is none.
        """
        event = self._foreseen.memory.outcome(record_id, user_id)
        return None if event is not None and event.reason == RejectCode.NOT_FOUND.value else event

    def concerns(self, session_id: str) -> bool:
        """Return whether something waits for a session, so that the log does not tell all of it."""
        user_id = self._foreseen.memory.user_of(session_id)
        return user_id is not None and self._outbox.waits(user_id.encode())

    def session(self, session_id: str, logged: Held | None = None) -> Held | None:
        """Return a session with what waits for it; None if there is none. `logged`: as the log has it."""
        foreseen = self._foreseen.session(session_id)
        if foreseen is None:
            return logged
        if logged is None:
            return replace(foreseen, backend="fallback")
        return self._with_what_waits(logged, foreseen) if self.concerns(session_id) else logged

    def _with_what_waits(self, logged: Held, foreseen: Held) -> Held:
        """Return a session that the log has, with the messages and events of it that wait."""
        fold, user_id = SessionFold(logged.row), logged.row.user_id
        messages = [row for row in foreseen.messages() if (row.seq or 0) > logged.row.held_count]
        for row in messages:
            fold.add_message(row, facts_in(row, self._codec))
        events = []
        for each in foreseen.events():
            event = from_json(each.value)
            if event.command_record_id and self._view.memory.outcome(event.command_record_id, user_id) is None:
                fold.add_event(event)
                events.append(each)
        return replace(
            logged,
            row=fold.row(),
            messages_after=lambda seq: chain(
                logged.messages_after(seq), (row for row in messages if (row.seq or 0) > seq)
            ),
            events=lambda: chain(logged.events(), events),
        )

    def open_sessions(self) -> Iterator[Open]:
        """Yield the open sessions that the log does not have yet."""
        for each in self._foreseen.memory.open_sessions():
            if self._view.memory.user_of(each.session.session_id) is None:
                yield each

    def _begin(self) -> None:
        self._task = Task(
            0,
            1,
            codec=self._codec,
            rules=self._rules,
            topics=_TOPICS,
            record_bytes_max=_RECORD_BYTES_MAX,
            reroutes=False,
        )
        self._foreseen = View(self._codec, None, partitions=1, cluster_id="", now_ms=self._now_ms)
        self._users: set[bytes] = set()
        self._offset = -1
        self._ends: dict[str, int] = {}

    def _records(self, kind: str, outputs: Sequence[Output]) -> list[TopicRecord]:
        records = []
        for topic, value, key, _, headers in outputs:
            if topic == kind:
                offset = self._ends.get(kind, 0)
                self._ends[kind] = offset + 1
                records.append(TopicRecord(kind, 0, offset, self._latest_ms, key, value, headers or ()))
        return records
