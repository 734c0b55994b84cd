"""Explains a session: for each boundary and each flagged message the rule behind it, the numbers and the record.

The rules R1 to R16 are in docs/sessions.md. Pure: whatever it knows is handed in.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple, TypeAlias

from processor.codec.events import EventView, from_json
from processor.codec.isotime import format_time
from processor.core.limits import limits_of
from processor.core.model import Policy, Rules
from processor.sessions.model import EventRow, MessageRow, SessionView
from processor.sessions.ports import SESSIONS, TAGGED
from processor.sessions.shapes import Explanation, RecordPlace
from processor.upstream.vocabulary import ODD, REJECTED, UNCHANGED
from processor.upstream.words import span_words

_MINUTE_MS: Final = 60_000
_Found: TypeAlias = tuple[str, str, dict[str, int]]
"""A rule, words, and the numbers in them."""


class Limit(NamedTuple):
    """How long something may last, ms, and who set that, in words."""

    ms: int
    whose: str

    def __str__(self) -> str:
        return f"{span_words(self.ms)} ({self.whose})"


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

    def whose(number: int) -> str:
        if held[number] == settings[number]:
            return "settings"
        return "the user's own" if held[number] == own[number] else f"template {template}"

    return Limits(*(Limit(ms, whose(number)) for number, ms in enumerate(held)))


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
                rule, words, numbers = found
                yield Explanation(
                    row.kind, format_time(event.timestamp), rule, words, numbers, self._place(row, event.record_id)
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
                words = "The end was only announced: something came that lies within the gap, so the session goes on."
                return "R4", words, {"gap_ms": self._known.limits.gap.ms, "revision": event.revision or 0}
            case "paused":
                self._paused_at_ms = event.timestamp
                limit = self._known.limits.pause
                return "R8", f"Paused by a command; a pause may last {limit}.", {"pause_max_ms": limit.ms}
            case "resumed":
                self._paused_at_ms = None
                paused_ms = event.paused_ms or 0
                return "R8", f"Resumed by a command after {span_words(paused_ms)}.", {"paused_ms": paused_ms}
            case "unchanged":
                return "R7", f"A command changed nothing: {UNCHANGED.get(event.reason or '', event.reason)}.", {}
            case "rejected":
                return "R7", f"A command was refused: {REJECTED.get(event.reason or '', event.reason)}.", {}
        return None  # Notes and the like are no decision of a rule.

    def _started(self, event: EventView) -> _Found:
        match event.reason:
            case "command":
                return "R7", "Started by a command; the user had no open session that it could go on with.", {}
            case "late":
                return "R5", "A message came late and no earlier session could hold it, so it got one of its own.", {}
        gap = self._known.limits.gap
        return "R1", f"A message came, and no session was open within the gap of {gap}.", {"gap_ms": gap.ms}

    def _ended(self, event: EventView) -> _Found:
        before, self._last_reason = self._last_reason, event.reason
        if before is not None and before == event.reason:
            words = "The end is told again, since a message was added to the session after it had ended."
            return "R5", words, {"revision": event.revision or 0, "messages": event.message_count or 0}
        found = self._end(event)
        if before is not None:
            rule, words, numbers = found
            return rule, f"The end is told again with another reason. {words}", numbers
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
                words = (
                    f"It ended at its last activity: with what came next it would have lasted {_precise(length_ms)}, "
                    f"and it may last {limits.max_session}."
                )
                return "R2", words, {"length_ms": length_ms, "max_session_ms": limits.max_session.ms}
            case "command":
                by = event.performer_id
                return "R7", f"Ended by a command{f' of {by}' if by else ''}.", {}
            case "superseded":
                return "R7", "Ended at its last activity, since a command asked for a new session.", {}
            case "late":
                return "R5", "Made for a message that came late, so it started and ended at once.", {}
        return "R3", "Ended.", {}


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
                    rule, words, numbers = found
                    at = format_time(row.timestamp_ms)
                    place = RecordPlace(_position(self._known.topics[TAGGED], row), row.record_id or None)
                    yield Explanation("message", at, rule, words, numbers, place, row.seq, flag)

    def _explain(self, flag: str, row: MessageRow, first: int) -> _Found | None:
        ahead_ms = row.timestamp_ms - row.append_ms
        match flag:
            case "late":
                words = f"It came {_precise(-ahead_ms)} after its own time, when the session that holds it had ended."
                return "R5", words, {"behind_ms": max(0, -ahead_ms)}
            case "duplicate":
                where = f" as message {first}" if first != row.seq else ""
                return "R11", f"The same bytes had come before{where}.", {"first_seq": first} if where else {}
            case "clock_skew":
                skew_ms = self._known.skew_ms
                words = f"Its time was {_precise(ahead_ms)} ahead; more than {span_words(skew_ms)} is not believed."
                return "R10", f"{words} Its arrival counts.", {"ahead_ms": ahead_ms, "skew_ms": skew_ms}
            case "while_paused":
                return "R8", "It came while the session was paused.", {}
            case "session_mismatch":
                return "R9", f"It claimed the session {row.claimed_session_id}, and belongs to this one.", {}
            case "nonconforming":
                odd = self._known.why_odd(row)
                why = "; ".join(ODD.get(word, word) for word in odd)
                return "R16", f"It lacks something that is asked of a message{f': {why}' if why else ''}.", {}
        return None  # What its content shows is no decision of a rule.


def _lasted(rule: str, what: str, ms: int, limit_name: str, limit: Limit) -> _Found:
    numbers = {f"{what}_ms": ms, limit_name: limit.ms}
    if ms <= limit.ms:  # Other limits held when it ended than are known now.
        return rule, f"Ended at its last activity, after a {what} of {_precise(ms)}.", numbers
    return rule, f"Ended at its last activity. The {what} had lasted {_precise(ms)}, and it may last {limit}.", numbers


def _precise(ms: int) -> str:
    """Return a length of time in words, to the millisecond."""
    minutes, rest_ms = divmod(max(0, ms), _MINUTE_MS)
    words = [span_words(minutes * _MINUTE_MS)] if minutes else []
    if rest_ms or not minutes:
        words.append(f"{rest_ms / 1000:g} s")
    return " ".join(words)


def _position(topic: str, row: EventRow | MessageRow) -> str:
    return f"{topic}[{row.partition}]@{row.offset}"
