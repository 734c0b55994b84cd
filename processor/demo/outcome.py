"""What came of a day: sessions folded from the outputs, and proofs that the outputs are whole."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Final, NamedTuple

from processor.codec.codec import Codec, TaggedView
from processor.codec.events import EventView
from processor.demo.script import Sent
from processor.kafka.deadletters import DeadLetter
from processor.kafka.reader import ReadRecord

KINDS: Final = ("started", "ended", "paused", "resumed", "note", "context", "step", "status", "unchanged", "rejected")


@dataclass(slots=True)
class SessionSeen:
    """A session as its events and messages tell it."""

    session_id: str
    user_id: str
    start_ms: int
    opened_by: str
    events: list[EventView] = field(default_factory=list)
    messages: list[TaggedView] = field(default_factory=list)
    hashes: list[bytes] = field(default_factory=list)  # of the messages' contents, in the order of the log

    @property
    def end(self) -> EventView | None:
        """The last word on its end; None while it is open."""
        told = [event for event in self.events if event.kind in ("ended", "reopened")]
        return told[-1] if told and told[-1].kind == "ended" else None

    @property
    def last_ms(self) -> int:
        """Its end, or its latest message so far."""
        if self.end is not None and self.end.end_time is not None:
            return self.end.end_time
        in_time = (message.timestamp_ms for message in self.messages if "clock_skew" not in message.flags)
        return max(in_time, default=self.start_ms)

    @property
    def flags(self) -> Counter[str]:
        """How many of its messages have which flag."""
        return Counter(flag for message in self.messages for flag in message.flags)


class Check(NamedTuple):
    """One thing that was promised, and whether it is so."""

    promise: str
    kept: bool
    found: str


@dataclass(slots=True)
class Outcome:
    """All that came out."""

    sessions: list[SessionSeen]
    tagged: list[TaggedView]
    hashes: list[bytes]  # of the contents of `tagged`
    events: list[EventView]
    dead: list[DeadLetter]
    rerouted: int = 0  # records that were in a wrong partition

    @property
    def answered(self) -> int:
        """How many input records are accounted for: tagged, set aside, or a command that was answered."""
        return len(self.tagged) + len(self.dead) + sum(map(_is_answer, self.events))


def read_outcome(
    codec: Codec, tagged: Iterable[ReadRecord], events: Iterable[ReadRecord], dead: list[DeadLetter]
) -> Outcome:
    """Return what the records of the three output topics say."""
    outcome = Outcome([], [], [], [], dead)
    sessions: dict[str, SessionSeen] = {}
    for record in events:
        assert record.value is not None
        event = codec.decode_event(record.value)
        outcome.events.append(event)
        if event.kind == "started" and event.session_id is not None and event.start_time is not None:
            seen = SessionSeen(event.session_id, event.user_id, event.start_time, event.reason or "")
            sessions.setdefault(event.session_id, seen)
        if event.session_id in sessions:
            sessions[event.session_id].events.append(event)
    for record in tagged:
        assert record.value is not None
        message = codec.decode_tagged(record.value)
        content_hash = sha256(codec.strip(record.value)).digest()
        outcome.tagged.append(message)
        outcome.hashes.append(content_hash)
        session = sessions.get(message.session_id or "")
        if session is not None:
            session.messages.append(message)
            session.hashes.append(content_hash)
    outcome.sessions = sorted(sessions.values(), key=lambda session: (session.user_id, session.start_ms))
    return outcome


def check(sent: Sequence[Sent], outcome: Outcome) -> list[Check]:
    """Return the promises that a reader of the outputs can test, each with what was found."""
    return [
        _each_once(sent, outcome),
        _commands_answered(sent, outcome),
        _numbered(outcome),
        _one_start_one_end(outcome),
        _digests(outcome),
    ]


def _each_once(sent: Sequence[Sent], outcome: Outcome) -> Check:
    came = Counter(sha256(record.value).hexdigest() for record in sent if record.command_id is None)
    went = Counter(content_hash.hex() for content_hash in outcome.hashes)
    went.update(letter.sha256 for letter in outcome.dead)
    missing, surplus = (came - went).total(), (went - came).total()
    found = f"{len(outcome.tagged)} tagged + {len(outcome.dead)} dead letters = {came.total()} sent"
    if missing or surplus:
        found = f"{missing} lost, {surplus} too many, of {came.total()} sent"
    return Check("every message is there exactly once, its bytes unchanged", not missing and not surplus, found)


def _commands_answered(sent: Sequence[Sent], outcome: Outcome) -> Check:
    asked = Counter(record.command_id for record in sent if record.command_id is not None)
    answers = Counter(event.command_record_id for event in outcome.events if _is_answer(event))
    refused = sum(event.kind == "rejected" for event in outcome.events)
    found = f"{asked.total()} commands, {refused} of them refused"
    return Check("every command has exactly one answer", asked == answers, found)


def _numbered(outcome: Outcome) -> Check:
    by_session: dict[str, list[int]] = defaultdict(list)
    for message in outcome.tagged:
        if message.session_id is not None:
            by_session[message.session_id].append(message.session_seq or 0)
    wrong = [sid for sid, numbers in by_session.items() if numbers != list(range(1, len(numbers) + 1))]
    found = f"{len(by_session)} sessions with messages" if not wrong else f"not so in {len(wrong)} sessions"
    return Check("messages are numbered 1, 2, 3… in each session", not wrong, found)


def _one_start_one_end(outcome: Outcome) -> Check:
    wrong = 0
    for session in outcome.sessions:
        starts = sum(event.kind == "started" for event in session.events)
        revisions = [event.revision for event in session.events if event.kind == "ended"]
        wrong += starts != 1 or revisions != list(range(len(revisions)))
    ended = sum(session.end is not None for session in outcome.sessions)
    found = f"{len(outcome.sessions)} started, {ended} ended" if not wrong else f"not so in {wrong} sessions"
    return Check("each session starts once, and its ends are numbered", not wrong, found)


def _digests(outcome: Outcome) -> Check:
    """Compare the count and digest in each session's last end with those of the messages that were read."""
    wrong = ended = 0
    for session in outcome.sessions:
        if session.end is None:
            continue
        ended += 1
        digest = sha256(session.session_id.encode()).digest()
        for content_hash in session.hashes:
            digest = sha256(digest + content_hash).digest()
        wrong += (session.end.message_count, session.end.digest) != (len(session.hashes), digest.hex())
    found = f"{ended} ended sessions" if not wrong else f"not so in {wrong} of {ended} sessions"
    return Check("count and SHA-256 in each end match the messages", not wrong, found)


def _is_answer(event: EventView) -> bool:
    return event.command_record_id is not None and event.kind in KINDS
