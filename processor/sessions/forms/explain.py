"""Explains a session: for each boundary and each flagged message the rule behind it, the numbers and the record.

The rules R1 to R16 are in docs/sessions.md. Pure: whatever it knows is handed in.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

from processor.codec.events import EventView, from_json
from processor.codec.isotime import format_time
from processor.core.limits import limits_of
from processor.core.model import Policy, Rules
from processor.sessions.forms.shapes import Explanation, RecordPlace
from processor.sessions.model import EventRow, MessageRow, SessionView
from processor.sessions.ports import SESSIONS, TAGGED
from processor.upstream.words import Said, filled

_Found: TypeAlias = tuple[str, Said, dict[str, int]]
"""A rule, what is said, and the numbers in it."""


class Limit(NamedTuple):
    """How long something may last, and who set that."""

    ms: int
    whose: str | None  # settings, or own: the user's
    template: str | None = None  # of neither: the template's

    def said(self) -> dict[str, Any]:
        """Return it as the values of a phrase."""
        return {"limit": self.ms, "whose": self.whose, "template": self.template}


class Limits(NamedTuple):
    """The lengths of time that hold for a session."""

    gap: Limit
    max_session: Limit
    pause: Limit


class Known(NamedTuple):
    """What explanations are made of, beside the session's own records."""

    limits: Limits
    skew_ms: int
    topics: Mapping[str, str]  # names by TAGGED and SESSIONS, as positions are written
    why_odd: Callable[[MessageRow], Sequence[str]] = lambda _: ()  # the words of `Odd` for a nonconforming message


def limits_for(template: str | None, policy: Policy | None, rules: Rules) -> Limits:
    """Return the limits of a session of `template`; `policy` is the user's own, if they have any."""
    held = limits_of(template, policy, rules)
    settings, own = limits_of(None, None, rules), limits_of(None, policy, rules)

    def limit(number: int, ms: int) -> Limit:
        if ms == settings[number]:
            return Limit(ms, "settings")
        return Limit(ms, "own") if ms == own[number] else Limit(ms, None, template)

    return Limits(*(limit(number, ms) for number, ms in enumerate(held)))


def explain(view: SessionView, known: Known) -> Iterator[Explanation]:
    """Yield why the session in `view` is as it is: its boundaries and commands first, then its flagged messages."""
    yield from _Events(known).explained(view.events())
    yield from _Messages(known).explained(view.messages())


class _Events:
    """Explains events, in the order of the log."""

    def __init__(self, known: Known) -> None:
        self._known = known
        self._paused_at_ms: int | None = None
        self._last_reason: str | None = None  # of the end that was told last, unless it was taken back

    def explained(self, rows: Iterable[EventRow]) -> Iterator[Explanation]:
        for row in rows:
            event = from_json(row.value)
            found = self._explain(event)
            if found is not None:
                rule, said, numbers = found
                yield Explanation(
                    row.kind,
                    format_time(event.timestamp),
                    rule,
                    filled(said),
                    said.phrase,
                    dict(said.values),
                    numbers,
                    self._place(row, event.record_id),
                )

    def _place(self, row: EventRow, record_id: str) -> RecordPlace:
        return RecordPlace(_position(self._known.topics[SESSIONS], row), record_id)

    def _explain(self, event: EventView) -> _Found | None:
        match event.kind:
            case "started":
                return self._started(event)
            case "ended":
                return self._ended(event)
            case "reopened":
                self._last_reason = None
                return (
                    "R4",
                    Said("why_reopened"),
                    {"gap_ms": self._known.limits.gap.ms, "revision": event.revision or 0},
                )
            case "paused":
                self._paused_at_ms = event.timestamp
                limit = self._known.limits.pause
                return "R8", Said("why_paused", limit.said()), {"pause_max_ms": limit.ms}
            case "resumed":
                self._paused_at_ms = None
                paused_ms = event.paused_ms or 0
                return "R8", Said("why_resumed", {"length": paused_ms}), {"paused_ms": paused_ms}
            case "unchanged":
                return "R7", Said("why_unchanged", {"reason": event.reason}), {}
            case "rejected":
                return "R7", Said("why_rejected", {"reason": event.reason}), {}
        return None  # Notes and the like are no decision of a rule.

    def _started(self, event: EventView) -> _Found:
        match event.reason:
            case "command":
                return "R7", Said("why_started"), {}
            case "late":
                return "R5", Said("why_started_late"), {}
        gap = self._known.limits.gap
        return "R1", Said("why_started_message", gap.said()), {"gap_ms": gap.ms}

    def _ended(self, event: EventView) -> _Found:
        before, self._last_reason = self._last_reason, event.reason
        if before is not None and before == event.reason:
            return (
                "R5",
                Said("why_ended_again"),
                {"revision": event.revision or 0, "messages": event.message_count or 0},
            )
        found = self._end(event)
        if before is not None:
            rule, said, numbers = found
            return rule, said._replace(values={**said.values, "again": "again"}), numbers
        return found

    def _end(self, event: EventView) -> _Found:
        limits = self._known.limits
        end_ms = event.timestamp if event.end_time is None else event.end_time
        start_ms = end_ms if event.start_time is None else event.start_time
        match event.reason:
            case "timeout":
                return _lasted("R3", "silence", event.timestamp - end_ms, "gap_ms", limits.gap)
            case "pause_timeout":
                paused_at_ms = end_ms if self._paused_at_ms is None else self._paused_at_ms
                return _lasted("R8", "pause", event.timestamp - paused_at_ms, "pause_max_ms", limits.pause)
            case "max_duration":
                length_ms = event.timestamp - start_ms
                said = Said("why_max_duration", {"length": length_ms, **limits.max_session.said()})
                return "R2", said, {"length_ms": length_ms, "max_session_ms": limits.max_session.ms}
            case "command":
                return "R7", Said("why_command", {"who": event.performer_id}), {}
            case "superseded":
                return "R7", Said("why_superseded"), {}
            case "late":
                return "R5", Said("why_late_session"), {}
        return "R3", Said("why_ended"), {}


class _Messages:
    """Explains flagged messages, in order of `seq`."""

    def __init__(self, known: Known) -> None:
        self._known = known
        self._first: dict[bytes, int] = {}  # number of the first message of some content

    def explained(self, rows: Iterable[MessageRow]) -> Iterator[Explanation]:
        for row in rows:
            assert row.seq is not None
            first = self._first.setdefault(row.content_hash, row.seq)
            for flag in row.flags:
                if (found := self._explain(flag, row, first)) is not None:
                    rule, said, numbers = found
                    at = format_time(row.timestamp_ms)
                    place = RecordPlace(_position(self._known.topics[TAGGED], row), row.record_id or None)
                    yield Explanation(
                        "message", at, rule, filled(said), said.phrase, dict(said.values), numbers, place, row.seq, flag
                    )

    def _explain(self, flag: str, row: MessageRow, first: int) -> _Found | None:
        ahead_ms = row.timestamp_ms - row.append_ms
        match flag:
            case "late":
                return "R5", Said("why_late", {"behind": max(0, -ahead_ms)}), {"behind_ms": max(0, -ahead_ms)}
            case "duplicate":
                before = {"first_seq": first} if first != row.seq else {}
                return "R11", Said("why_duplicate", before), before
            case "clock_skew":
                skew_ms = self._known.skew_ms
                said = Said("why_clock_skew", {"ahead": max(0, ahead_ms), "skew": skew_ms})
                return "R10", said, {"ahead_ms": ahead_ms, "skew_ms": skew_ms}
            case "while_paused":
                return "R8", Said("why_while_paused"), {}
            case "session_mismatch":
                return "R9", Said("why_session_mismatch", {"session": row.claimed_session_id}), {}
            case "nonconforming":
                return "R16", Said("why_nonconforming", {"why": list(self._known.why_odd(row))}), {}
        return None  # What its content shows is no decision of a rule.


def _lasted(rule: str, what: str, ms: int, limit_name: str, limit: Limit) -> _Found:
    numbers = {f"{what}_ms": ms, limit_name: limit.ms}
    if ms <= limit.ms:  # Other limits held when it ended than are known now.
        return rule, Said(f"why_{what}_then", {"length": ms}), numbers
    return rule, Said(f"why_{what}", {"length": ms, **limit.said()}), numbers


def _position(topic: str, row: EventRow | MessageRow) -> str:
    return f"{topic}[{row.partition}]@{row.offset}"
