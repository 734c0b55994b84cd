"""Random histories of one user: records and, between them, the clock; near every boundary there is.

Times are drawn as distances from what has happened, mostly a limit give or take one ms, so that few steps suffice for
rare combinations. Record ids and contents come from small sets: modules copy ids, producers send again.
"""

from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Final

from hypothesis import strategies as st

from processor.core.deadlines import due_ms, punctuate
from processor.core.memory import evolve, observe
from processor.core.model import (
    FINGERPRINT_BYTES,
    RECENT_RECORDS_MAX,
    RECENT_SESSIONS_MAX,
    Command,
    CommandName,
    Ended,
    Erase,
    Erased,
    Event,
    IdFormat,
    Message,
    Noted,
    Paused,
    Policy,
    Record,
    Rejected,
    Resumed,
    Rules,
    Started,
    Tagged,
    Unchanged,
    UserState,
    flag_words,
)
from processor.core.session import decide, step
from tests.core.playing import EPOCH_MS, PASSIVE, RULES, USER
from tests.oracle import Oracle, Outcome, Place

LIMITS_MS: Final = (0, 10, 20, 40, 50, 100, 200, 250, 300, 700, 1_000)

distances = st.builds(
    lambda limit, sign, nudge: sign * limit + nudge,
    st.sampled_from(LIMITS_MS),
    st.sampled_from((1, 1, -1)),
    st.sampled_from((-1, 0, 0, 1)),
)
policies = st.one_of(
    st.none(),
    st.none(),
    st.none(),
    st.builds(
        Policy,
        st.sampled_from((None, 40, 100, 300)),
        st.sampled_from((None, 200, 1_000)),
        st.sampled_from((None, 50, 300)),
        st.sampled_from((None, "long", "brief")),
    ),
)
rules_drawn = st.builds(
    lambda id_format, quiet_ms, horizon_ms: replace(
        RULES, id_format=id_format, quiet_ms=quiet_ms, late_horizon_ms=horizon_ms
    ),
    st.sampled_from(IdFormat),
    st.sampled_from((0, 10)),
    st.sampled_from((50, 700, 2_000)),
)


@dataclass(frozen=True)
class Draft:
    """A record in the making: times relative to the user's newest event and to the latest arrival."""

    event_after: int  # ms after the previous record's event time
    arrival_after: int  # ms after the previous record's arrival, at least 0
    record_id: str
    content: str
    named: int | None  # which of the ids seen so far it names, counted from the latest; a stranger's when there is none
    source: str = "speech"
    policy: Policy | None = None
    flags: int = 0
    command: CommandName | None = None
    force_new: bool = False
    template: str | None = None
    erases: bool = False
    ticks: tuple[int, ...] = ()  # how long after its arrival the clock looks


arrivals = st.one_of(st.just(0), st.just(0), st.integers(0, 30), distances.map(abs), st.just(2_000))
named = st.one_of(st.none(), st.integers(0, 3))
ticks = st.lists(st.one_of(st.just(0), distances.map(abs)), max_size=2).map(tuple)
record_ids = st.sampled_from(("", "r1", "r2", "r3"))
contents = st.one_of(st.sampled_from(("x", "y")), st.uuids().map(str))
messages = st.builds(
    Draft,
    distances,
    arrivals,
    record_ids,
    contents,
    named,
    st.sampled_from(("speech", "speech", "speech", PASSIVE)),
    policies,
    st.sampled_from((0, 0, 1)),
    ticks=ticks,
)
commands = st.builds(
    Draft,
    distances,
    arrivals,
    record_ids,
    contents,
    named,
    command=st.sampled_from(CommandName),
    force_new=st.booleans(),
    template=st.sampled_from((None, None, "long", "brief", "unheard of")),
    ticks=ticks,
)
erasures = st.builds(Draft, distances, arrivals, record_ids, contents, st.none(), erases=st.just(True), ticks=ticks)
drafts = st.one_of(messages, messages, messages, commands, st.one_of(messages, messages, erasures))
histories = st.lists(drafts, min_size=1, max_size=40)


class Telling:
    """What one run of the core has told. Sessions are numbered as they start: a forgotten one's id may come again."""

    def __init__(self) -> None:
        self.numbers: dict[str, int] = {}  # session id -> number of the latest session that has it
        self.ids: list[str] = []  # by number
        self.tags: list[list[Tagged]] = []  # by number
        self.ends: list[list[Ended]] = []  # by number

    def hear(self, events: tuple[Event, ...]) -> list[int]:
        """Note `events`; return the numbers of the sessions that ended or whose end was told again."""
        ended = []
        for event in events:
            match event:
                case Started():
                    self.numbers[event.session_id] = len(self.ids)
                    self.ids.append(event.session_id)
                    self.tags.append([])
                    self.ends.append([])
                case Tagged(session_id=str(tagged_id)):
                    self.tags[self.numbers[tagged_id]].append(event)
                case Ended():
                    ended.append(self.numbers[event.session_id])
                    self.ends[ended[-1]].append(event)
                case _:
                    pass
        return ended


class Run:
    """One user's records, taken in by the core with a clock, by the core without one, by the oracle: all must agree."""

    def __init__(self, rules: Rules) -> None:
        self.rules = rules
        self.oracle = Oracle(rules)
        self.live: UserState | None = None  # the clock looks now and then
        self.calm: UserState | None = None  # it never does
        self.live_told = Telling()
        self.calm_told = Telling()
        self.event_ms = EPOCH_MS
        self.now_ms = EPOCH_MS
        self.offset = -1  # of the latest record

    def record_of(self, draft: Draft) -> Record:
        """Return the record that `draft` makes at this point of the history."""
        self.event_ms += draft.event_after
        self.now_ms = max(self.now_ms + draft.arrival_after, self.event_ms - 25)
        name = None
        if draft.named is not None:
            name = "sess_stranger" if draft.named >= len(self.live_told.ids) else self.live_told.ids[-1 - draft.named]
        content_hash = sha256(draft.content.encode()).digest()
        if draft.erases:
            return Erase(USER, draft.record_id, self.event_ms, self.now_ms, content_hash)
        if draft.command is None:
            return Message(
                USER,
                draft.record_id,
                self.event_ms,
                self.now_ms,
                content_hash,
                draft.source,
                name,
                draft.flags,
                0,
                draft.policy,
            )
        return Command(
            USER,
            draft.record_id,
            self.event_ms,
            self.now_ms,
            content_hash,
            draft.command,
            name,
            force_new=draft.force_new,
            template=draft.template,
        )

    def take(self, draft: Draft) -> None:
        """Take in the record of `draft`, then let the live core's clock look."""
        self.take_record(self.record_of(draft))
        for later_ms in draft.ticks:
            self.tick(later_ms)

    def take_record(self, record: Record) -> None:
        """Take in `record` and assert that all agree on what it causes."""
        self.offset += 1
        self.live, live_events = self._step(self.live, record)
        self.calm, calm_events = self._step(self.calm, record)
        live_ended = self.live_told.hear(live_events)
        calm_ended = self.calm_told.hear(calm_events)
        assert self.live_told.ids == self.calm_told.ids
        self.oracle.ids = self.live_told.numbers
        expected = self.oracle.read(record)
        assert self._answer(live_events) == expected
        assert self._answer(calm_events) == expected
        tagged = [event for event in live_events if isinstance(event, Tagged)]
        assert tagged == [event for event in calm_events if isinstance(event, Tagged)]
        assert len(tagged) == isinstance(record, Message)
        for number in live_ended:
            self._check_end(self.live_told, number)
        for number in calm_ended:
            self._check_end(self.calm_told, number)
        self._check_state(self.live)
        self._check_state(self.calm)

    def tick(self, later_ms: int) -> None:
        """Let the live core's clock look `later_ms` from now, once; no record arrives before that time afterwards."""
        self.now_ms += later_ms
        if self.live is None:
            return
        due = due_ms(self.live, self.rules)
        events = punctuate(self.live, self.now_ms, self.rules)
        assert bool(events) == (due is not None and self.now_ms >= due)
        for event in events:
            self.live = evolve(self.live, event)
        for number in self.live_told.hear(events):
            self._check_end(self.live_told, number)
        self._check_state(self.live)

    def finish(self) -> None:
        """Assert that the ends told last are those of the oracle, with the clock and without."""
        for told in (self.live_told, self.calm_told):
            assert len(told.ids) == len(self.oracle.chapters)
            for number, chapter in enumerate(self.oracle.chapters):
                ends = told.ends[number]
                assert [end.revision for end in ends] == list(range(len(ends)))
                assert [tagged.seq for tagged in told.tags[number]] == list(range(1, len(chapter.hashes) + 1))
                if chapter.reason is not None:
                    assert ends[-1].reason == chapter.reason
                    self._check_end(told, number)

    def _check_end(self, told: Telling, number: int) -> None:
        """Assert that the end told last of a session is what the oracle knows of it by now."""
        last, chapter = told.ends[number][-1], self.oracle.chapters[number]
        assert last.messages == len(told.tags[number]) == len(chapter.hashes)
        assert last.digest == chapter.digest(last.session_id)
        assert (last.start_ms, last.end_ms, last.paused_ms) == (chapter.start, chapter.last, chapter.paused())
        assert last.revision == len(told.ends[number]) - 1

    def _check_state(self, state: UserState | None) -> None:
        """Assert what holds of every state."""
        if state is None:
            return
        assert state.current is not None or state.closed or state.policy is not None
        assert state.last_offset == self.offset
        assert len(state.closed) <= RECENT_SESSIONS_MAX
        assert len(state.recent) <= RECENT_RECORDS_MAX * FINGERPRINT_BYTES
        assert len(state.recent) % FINGERPRINT_BYTES == 0
        assert [session.start_ms for session in state.closed] == sorted(session.start_ms for session in state.closed)
        sessions = state.closed if state.current is None else (*state.closed, state.current)
        assert len({session.session_id for session in sessions}) == len(sessions)
        for session in state.closed:
            assert session.end_ms == session.last_ms
            assert session.end_reason is not None
            assert session.ends > 0
            assert state.current is None or session.last_ms <= state.current.start_ms
        if state.current is not None:
            assert state.current.start_ms <= state.current.last_ms
            assert (state.current.end_ms is None) == (state.current.end_reason is None)

    def _step(self, state: UserState | None, record: Record) -> tuple[UserState | None, tuple[Event, ...]]:
        """Return what `step` returns, after asserting that it is pure and nothing but `decide`, `evolve`, `observe`."""
        remembered = repr((state, record))
        offset = self.offset
        after, events = step(state, record, offset, self.rules)
        assert step(state, record, offset, self.rules) == (after, events)
        assert repr((state, record)) == remembered
        assert decide(state, record, self.rules) == events
        evolved = state
        for event in events:
            evolved = evolve(evolved, event)
        assert observe(evolved, record, offset) == after
        return after, events

    def _answer(self, events: tuple[Event, ...]) -> Place | Outcome:
        """Return the outcome of the record that caused `events`, as the oracle would say it."""
        numbers = self.live_told.numbers
        last = next((event for event in events if isinstance(event, Tagged)), events[-1])
        match last:
            case Tagged():
                number = None if last.session_id is None else numbers[last.session_id]
                return Place(number, last.seq, frozenset(flag_words(last.flags)))
            case Rejected():
                return Outcome(last.code.value)
            case Unchanged():
                return Outcome(last.why, numbers[last.session_id])
            case Erased():
                return Outcome("erased")
            case Started():
                return Outcome("started", numbers[last.session_id])
            case Ended() | Noted() | Paused() | Resumed():
                assert last.command is not None
                return Outcome(last.command.name.value, numbers[last.session_id])
        raise AssertionError(last)
