"""What came of commands: a map from a command's record id to whoever waits for it, filled by one follower."""

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Final, NamedTuple

from processor.client.commands import CommandRecord
from processor.codec.events import EventView
from processor.errors import A3CPError, DecodeError
from processor.runtime.ports import TopicRecord

_LOOK_EVERY_S: Final = 0.1


class NoOutcome(A3CPError):
    """A command was sent, but what came of it was not told in time."""


class Outcome(NamedTuple):
    """What came of a command."""

    accepted: bool  # False when the rules refused it; nothing changed then
    kind: str  # started, ended, paused, resumed, note, context, step, status, tag, unchanged or rejected
    reason: str | None  # of a refusal: not_found, user_mismatch or already_closed; of unchanged: why
    session_id: str | None
    event: EventView  # the whole session event
    backend: str = "kafka"  # or fallback: the command waits in an outbox, and this is what will come of it


class _Waiting(NamedTuple):
    """A command whose outcome is awaited."""

    future: "Future[Outcome]"
    kind: str
    timeout_s: float
    until_s: float


class Outcomes:
    """Commands that wait for their outcome; may be used by several threads."""

    def __init__(self, decode_event: Callable[[bytes], EventView]) -> None:
        """`decode_event` reads a session event."""
        self._decode_event = decode_event
        self._lock = threading.Lock()
        self._waiting: dict[bytes, dict[str, _Waiting]] = {}  # by the user's key, then by the command's record id
        self._trouble: A3CPError | None = None
        self._look_at_s = 0.0

    def expect(self, command: CommandRecord, timeout_s: float) -> "Future[Outcome]":
        """Return what the command's outcome will be in; to be called before the command is sent."""
        future: Future[Outcome] = Future()
        future.set_running_or_notify_cancel()  # It cannot be cancelled: a command that is sent is carried out.
        waiting = _Waiting(future, command.kind, timeout_s, time.monotonic() + timeout_s)
        with self._lock:
            self._waiting.setdefault(command.key, {})[command.record_id] = waiting
        return future

    def take(self, records: Sequence[TopicRecord]) -> None:
        """Give the outcomes among `records` to those who wait for them, and give up what has waited for too long."""
        for record in records:
            if record.value is not None and record.key in self._waiting:
                self._match(record.key, record.value)
        if records:
            self._trouble = None
        now_s = time.monotonic()
        if now_s >= self._look_at_s:
            self._look_at_s = now_s + _LOOK_EVERY_S
            self._expire(now_s)

    def trouble(self, error: A3CPError) -> None:
        """Take note of why no records come: it is the cause of a `NoOutcome`."""
        self._trouble = error

    def fail(self, command: CommandRecord, error: A3CPError) -> None:
        """Tell who waits for `command` that there will be no outcome."""
        self._tell(command.key, command.record_id, error)

    def tell(self, command: CommandRecord, outcome: Outcome) -> None:
        """Tell who waits for `command` its outcome."""
        self._tell(command.key, command.record_id, outcome)

    def close(self) -> None:
        """Give up all."""
        self._expire(float("inf"))

    def _match(self, key: bytes, value: bytes) -> None:
        with self._lock:
            waiting = self._waiting.get(key, {})
            named = {record_id: each.kind for record_id, each in waiting.items() if record_id.encode() in value}
        for record_id, kind in named.items():
            try:
                event = self._decode_event(value)
            except DecodeError:
                continue  # Another release's event; ours is still to come.
            except A3CPError as error:
                self._tell(key, record_id, error)
                continue
            # A command may have another consequence first, such as the end before a forced start.
            if event.command_record_id == record_id and event.kind in (kind, "unchanged", "rejected"):
                outcome = Outcome(event.kind != "rejected", event.kind, event.reason, event.session_id, event)
                self._tell(key, record_id, outcome)

    def _expire(self, now_s: float) -> None:
        with self._lock:
            late = [
                (key, record_id, waiting.timeout_s)
                for key, commands in self._waiting.items()
                for record_id, waiting in commands.items()
                if waiting.until_s <= now_s
            ]
        for key, record_id, timeout_s in late:
            error = NoOutcome(
                f"no outcome within {timeout_s:g} s",
                remedy="see that a3cp process runs; the command is in the log, and is carried out when it does",
            )
            error.__cause__ = self._trouble
            self._tell(key, record_id, error)

    def _tell(self, key: bytes, record_id: str, told: Outcome | A3CPError) -> None:
        """Tell who waits, if nobody was quicker."""
        with self._lock:
            commands = self._waiting.get(key, {})
            waiting = commands.pop(record_id, None)
            if not commands:
                self._waiting.pop(key, None)
        if waiting is None:
            return
        if isinstance(told, Outcome):
            waiting.future.set_result(told)
        else:
            waiting.future.set_exception(told)
