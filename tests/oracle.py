"""The rules of sessions once more, slow and obvious: what `processor.core` must agree with.

It keeps every record of a user for ever and works out whatever it needs from the lists each time it needs it. It knows
no clock: if the core agrees with it however often the clock was asked, then the clock decides nothing (rule R4). Of the
core it uses the value types only. Sessions are known by their number, in the order in which they started.
"""

from dataclasses import dataclass, field
from hashlib import sha256

from processor.core.model import Command, CommandName, EndReason, Erase, Message, Policy, Record, Rules

HISTORY = 32  # records among which a repeat is recognised
SHELF = 8  # closed sessions within reach


@dataclass(eq=False)
class Chapter:
    """A session as a list of what happened in it."""

    number: int
    start: int
    template: str | None
    moments: list[int]  # event times of what keeps a session going; the start is the first
    hashes: list[bytes] = field(default_factory=list)  # of all its messages
    pauses: list[tuple[int, int]] = field(default_factory=list)  # that are over
    paused_from: int | None = None
    reason: EndReason | None = None  # why it is on the shelf
    touched: int = 0

    @property
    def last(self) -> int:
        """The latest moment."""
        return max(self.moments)

    def digest(self, session_id: str) -> bytes:
        """The digest that an end event must show if the session's id is `session_id`."""
        digest = sha256(session_id.encode()).digest()
        for content_hash in self.hashes:
            digest = sha256(digest + content_hash).digest()
        return digest

    def paused(self) -> int:
        """How long it was paused until its last moment."""
        running = 0 if self.paused_from is None else self.last - self.paused_from
        return running + sum(until - since for since, until in self.pauses)


@dataclass(frozen=True)
class Place:
    """Where a message belongs: the number of its session, its number in there, the flag words."""

    session: int | None
    seq: int
    flags: frozenset[str]


@dataclass(frozen=True)
class Outcome:
    """What became of a command: a word, and the number of the session that it acted on."""

    word: str
    session: int | None = None


class Oracle:
    """One user's sessions."""

    def __init__(self, rules: Rules) -> None:
        self.rules = rules
        self.chapters: list[Chapter] = []
        self.open: Chapter | None = None  # may be silent already; nothing has followed it yet
        self.shelf: list[Chapter] = []
        self.silent: Chapter | None = None  # the one that a session now starting has followed
        self.policy: Policy | None = None
        self.records: list[Record] = []  # since the user was last unknown
        self.ids: dict[str, int] = {}  # session id -> number; filled by the one who asks, who knows the ids

    # What is known -------------------------------------------------------------------------------------------------

    def limit(self, name: str, chapter: Chapter) -> int:
        """The limit `name` that holds for `chapter`."""
        nothing = Policy()
        own = self.policy or nothing
        by_session = self.rules.templates.get(chapter.template, nothing) if chapter.template else nothing
        by_user = self.rules.templates.get(own.template, nothing) if own.template else nothing
        for policy in (by_session, own, by_user):
            value: int | None = getattr(policy, name)
            if value is not None:
                return value
        general: int = getattr(self.rules, name)
        return general

    def last_inside(self, chapter: Chapter) -> int:
        """The last event time before `chapter` counts as silent."""
        if chapter.paused_from is None:
            return chapter.last + self.limit("gap_ms", chapter)
        return max(chapter.paused_from + self.limit("pause_ms", chapter), chapter.last)

    def newest(self) -> int:
        """The user's newest event time."""
        times = [chapter.touched for chapter in self.shelf]
        if self.open is not None:
            times.append(self.open.last)
        return max(times, default=0)

    def repeated(self, record: Record) -> bool:
        """Whether the record has come before, not long ago."""
        return record.content_hash[:8] in [earlier.content_hash[:8] for earlier in self.records[-HISTORY:]]

    def bounded(self, record: Record) -> int:
        """The record's event time, as far as it is believed."""
        believed = record.append_ms + self.rules.skew_ms
        return record.timestamp_ms if record.timestamp_ms <= believed else record.append_ms

    # What happens --------------------------------------------------------------------------------------------------

    def read(self, record: Record) -> Place | Outcome:
        """Take in the user's next record and say what becomes of it."""
        if isinstance(record, Erase):
            self.open, self.shelf, self.silent, self.policy, self.records = None, [], None, None, []
            return Outcome("erased")
        self._forget(record)
        answer = self._message(record) if isinstance(record, Message) else self._command(record)
        if isinstance(record, Message) and record.policy is not None:
            self.policy = record.policy if any(value is not None for value in record.policy) else None
        if self.open is None and not self.shelf and self.policy is None:
            self.records = []
        else:
            self.records.append(record)
        return answer

    def _forget(self, record: Record) -> None:
        ends = [chapter.last for chapter in self.shelf] if self.open is None else [self.last_inside(self.open)]
        if not ends:
            return
        arrivals = [earlier.append_ms for earlier in self.records]
        if record.append_ms <= max(arrivals + ends) + self.rules.late_horizon_ms:
            return
        if self.open is not None:
            self._shelve(EndReason.TIMEOUT if self.open.paused_from is None else EndReason.PAUSE_TIMEOUT)
        self.shelf, self.records = [], []

    def _message(self, message: Message) -> Place:
        at = self.bounded(message)
        flags = {"nonconforming"} if message.flags & 1 else set()
        if at != message.timestamp_ms:
            flags.add("clock_skew")
        if self.repeated(message):
            flags.add("duplicate")
        passive = message.source in self.rules.passive_sources
        chapter, more = self._home(message, at, passive)
        flags |= more
        claimed = message.claimed_session_id
        if chapter is None:
            flags |= {"no_session"} if claimed is None else {"no_session", "session_mismatch"}
            return Place(None, 0, frozenset(flags))
        if not passive:
            chapter.moments.append(at)
        chapter.hashes.append(message.content_hash)
        if chapter is not self.open:
            chapter.touched = max(at, self.newest())
        if claimed is not None and self.ids.get(claimed) != chapter.number:
            flags.add("session_mismatch")
        return Place(chapter.number, len(chapter.hashes), frozenset(flags))

    def _home(self, message: Message, at: int, passive: bool) -> tuple[Chapter | None, set[str]]:
        """The session of a message, made if need be, and what is odd about that."""
        late = self._is_late(at)
        before_open = self.open is None or at < self.open.start
        if before_open:
            closed = self._on_shelf(message, at, passive, late)
            if closed is not None:
                return closed, {"late"}
        if late:
            return (None, {"late"}) if passive else (self._late_chapter(at), {"late"})
        if self.open is not None and at <= self.last_inside(self.open):
            inside = at <= self.open.last or at <= self.open.start + self.limit("max_session_ms", self.open)
            if passive or inside:
                paused = self.open.paused_from is not None and at >= self.open.paused_from
                return self.open, {"while_paused"} if paused else set()
        if passive:
            return None, set()
        if self.open is not None:
            self._end_open_at(at)
        return self._begin(at, None), set()

    def _is_late(self, at: int) -> bool:
        if self.open is not None:
            return at < self.open.start - self.limit("gap_ms", self.open)
        return any(at < chapter.last for chapter in self.shelf)

    def _on_shelf(self, message: Message, at: int, passive: bool, late: bool) -> Chapter | None:
        oldest = max(at, self.newest()) - self.rules.late_horizon_ms
        within_reach = [chapter for chapter in self.shelf if chapter.touched >= oldest]
        ranked: list[tuple[int, int, int, Chapter]] = []
        for place, chapter in enumerate(within_reach):
            gap, longest = self.limit("gap_ms", chapter), self.limit("max_session_ms", chapter)
            near = chapter.start - gap <= at <= chapter.last + gap and (passive or at <= chapter.start + longest)
            if chapter.start <= at <= chapter.last:
                rank = 3
            elif near and self.ids.get(message.claimed_session_id or "") == chapter.number:
                rank = 2
            elif near and (late or (passive and self.open is None)):
                rank = 1
            else:
                continue
            ranked.append((rank, chapter.start, place, chapter))
        return max(ranked, key=lambda row: row[:3])[3] if ranked else None

    def _command(self, command: Command) -> Outcome:
        at = self.bounded(command)
        starting = command.name is CommandName.START
        chapter = self.open
        if chapter is not None and at > self.last_inside(chapter):
            chapter = None  # Silent: there is nothing that a command could act on.
        too_long = (
            chapter is not None and at > chapter.last and at > chapter.start + self.limit("max_session_ms", chapter)
        )
        if starting and self.repeated(command):
            return Outcome("already_closed") if chapter is None else self._act(chapter, at, "duplicate")
        if starting and (chapter is None or too_long or command.force_new):
            if chapter is not None and not too_long:
                begin = max(at, chapter.last)
                self._shelve(EndReason.SUPERSEDED)
                return Outcome("started", self._begin(begin, command.template).number)
            if self.open is not None:
                self._end_open_at(at)
                return Outcome("started", self._begin(at, command.template).number)
            begin = max([at, *(closed.last for closed in self.shelf)])
            return Outcome("started", self._begin(begin, command.template).number)
        if starting:
            assert chapter is not None
            return self._act(chapter, at, "already_active")
        if chapter is None or (command.session_id is not None and self.ids.get(command.session_id) != chapter.number):
            return Outcome(self._why_not(command, chapter))
        return self._act(chapter, at, self._what_to_do(chapter, command))

    def _why_not(self, command: Command, chapter: Chapter | None) -> str:
        """Why a command cannot act; whose an id is, is for `tests/core/test_ids.py` to test."""
        known = list(self.shelf)
        if self.open is not None and chapter is None:
            known.append(self.open)
        named = self.ids.get(command.session_id or "")
        return "already_closed" if named in [closed.number for closed in known] else "not_found"

    def _what_to_do(self, chapter: Chapter, command: Command) -> str:
        if self.repeated(command):
            return "duplicate"
        match command.name:
            case CommandName.END:
                return "end"
            case CommandName.PAUSE:
                return "pause" if chapter.paused_from is None else "already_paused"
            case CommandName.RESUME:
                return "not_paused" if chapter.paused_from is None else "resume"
            case CommandName.TOUCH:
                return "touched"
        return str(command.name.value)

    def _act(self, chapter: Chapter, at: int, word: str) -> Outcome:
        now = max(at, chapter.last)
        chapter.moments.append(now)
        if word == "pause":
            chapter.paused_from = now
        elif word == "resume":
            assert chapter.paused_from is not None
            chapter.pauses.append((chapter.paused_from, now))
            chapter.paused_from = None
        elif word == "end":
            self._shelve(EndReason.COMMAND)
        return Outcome(word, chapter.number)

    def _begin(self, at: int, template: str | None) -> Chapter:
        chapter = Chapter(len(self.chapters), at, template, [at])
        self.chapters.append(chapter)
        self._tidy(at)
        self.open, self.silent = chapter, None
        return chapter

    def _late_chapter(self, at: int) -> Chapter:
        chapter = Chapter(len(self.chapters), at, None, [at], reason=EndReason.LATE)
        self.chapters.append(chapter)
        self._tidy(at)
        self._put(chapter)
        return chapter

    def _end_open_at(self, at: int) -> None:
        assert self.open is not None
        if at <= self.last_inside(self.open):
            self._shelve(EndReason.MAX_DURATION)
        else:
            self.silent = self.open
            self._shelve(EndReason.TIMEOUT if self.open.paused_from is None else EndReason.PAUSE_TIMEOUT)

    def _shelve(self, reason: EndReason) -> None:
        """Put the open session on the shelf. Unless it just fell silent, a running pause ends with it."""
        chapter = self.open
        assert chapter is not None
        self.open = None
        chapter.reason, chapter.touched = reason, chapter.last
        if reason not in (EndReason.TIMEOUT, EndReason.PAUSE_TIMEOUT) and chapter.paused_from is not None:
            chapter.pauses.append((chapter.paused_from, chapter.last))
            chapter.paused_from = None
        self._put(chapter)

    def _put(self, chapter: Chapter) -> None:
        while len(self.shelf) >= SHELF:
            self.shelf.remove(min(self.shelf, key=lambda closed: (closed.touched, closed.start)))
        self.shelf.append(chapter)

    def _tidy(self, at: int) -> None:
        """A session that starts takes those out of reach off the shelf, but not the one that fell silent before it."""
        oldest = max(at, self.newest()) - self.rules.late_horizon_ms
        self.shelf = [closed for closed in self.shelf if closed.touched >= oldest or closed is self.silent]
