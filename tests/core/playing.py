"""Short scenes for the scenario tables: what comes, when, and in words what it causes.

Times are ms from the start of the scene, so that a table reads without arithmetic. Sessions are called A, B, C… in the
order in which they start; a message or a command may name them so.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

import pytest

from processor.core.deadlines import punctuate
from processor.core.memory import evolve, observe
from processor.core.model import (
    Command,
    CommandName,
    Ended,
    Erase,
    Erased,
    Event,
    Forgotten,
    Message,
    Noted,
    Paused,
    Policy,
    PolicySet,
    Record,
    Rejected,
    Reopened,
    Resumed,
    Rules,
    Started,
    StartReason,
    Tagged,
    Unchanged,
    UserState,
    flag_words,
)
from processor.core.session import decide, step

USER: Final = "maria"
EPOCH_MS: Final = 1_800_000_000_000  # when every scene begins: 2027-01-15T08:00:00Z
PASSIVE: Final = "model_trainer"
RULES: Final = Rules(
    gap_ms=100,
    max_session_ms=1_000,
    pause_ms=300,
    late_horizon_ms=700,
    quiet_ms=10,
    skew_ms=20,
    passive_sources=frozenset({PASSIVE}),
    templates={"long": Policy(gap_ms=250), "brief": Policy(gap_ms=40, max_session_ms=200, pause_ms=50)},
)


@dataclass(frozen=True)
class Say:
    """A message comes."""

    at: int
    arrives: int | None = None  # when the broker appends it; by default at once, or as soon as what came before
    claims: str | None = None
    source: str = "speech"
    record_id: str | None = None  # a new one by default
    content: str | None = None  # equal content is a repeat; new by default
    policy: Policy | None = None
    flags: int = 0


@dataclass(frozen=True)
class Ask:
    """A command comes."""

    at: int
    name: str
    session: str | None = None
    arrives: int | None = None
    force_new: bool = False
    template: str | None = None
    record_id: str | None = None
    content: str | None = None


@dataclass(frozen=True)
class Tick:
    """The clock shows `at`, and the partition is caught up."""

    at: int


Step = Say | Ask | Tick
Table = list[tuple[Step, str]]  # what comes, and what it causes


class Scene:
    """One user's sessions, played step by step."""

    def __init__(self, rules: Rules = RULES) -> None:
        self.rules = rules
        self.state: UserState | None = None
        self.events: list[Event] = []
        self._letters: dict[str, str] = {}  # session id -> letter
        self._arrived_ms = 0
        self._records = 0

    def play(self, incoming: Step) -> str:
        """Return what `incoming` causes, in words."""
        if isinstance(incoming, Tick):
            events = () if self.state is None else punctuate(self.state, EPOCH_MS + incoming.at, self.rules)
            for event in events:
                self.state = evolve(self.state, event)
        else:
            record = self._record(incoming)
            slowly = self.state
            for event in decide(self.state, record, self.rules):
                slowly = evolve(slowly, event)
            self.state, events = step(self.state, record, self._records, self.rules)
            assert self.state == observe(slowly, record, self._records)
        self.events += events
        return " ".join(self._words(event) for event in events)

    def _record(self, incoming: Say | Ask) -> Record:
        self._records += 1
        self._arrived_ms = incoming.arrives if incoming.arrives is not None else max(self._arrived_ms, incoming.at)
        record_id = incoming.record_id if incoming.record_id is not None else f"r{self._records}"
        content = incoming.content if incoming.content is not None else f"new {self._records}"
        at_ms, append_ms = EPOCH_MS + incoming.at, EPOCH_MS + self._arrived_ms
        content_hash = sha256(content.encode()).digest()
        if isinstance(incoming, Say):
            claim = self._named(incoming.claims)
            return Message(
                USER,
                record_id,
                at_ms,
                append_ms,
                content_hash,
                incoming.source,
                claim,
                incoming.flags,
                0,
                incoming.policy,
            )
        if incoming.name == "erase":
            return Erase(USER, record_id, at_ms, append_ms, content_hash)
        return Command(
            USER,
            record_id,
            at_ms,
            append_ms,
            content_hash,
            CommandName(incoming.name),
            self._named(incoming.session),
            force_new=incoming.force_new,
            template=incoming.template,
        )

    def _named(self, name: str | None) -> str | None:
        return next((session_id for session_id, letter in self._letters.items() if letter == name), name)

    def _letter(self, session_id: str | None) -> str:
        return "-" if session_id is None else self._letters.get(session_id, session_id)

    def _words(self, event: Event) -> str:  # one branch an event
        match event:
            case Started():
                assert event.session_id not in self._letters
                self._letters[event.session_id] = chr(ord("A") + len(self._letters))
                why = "" if event.reason is StartReason.MESSAGE else f"({event.reason.value})"
                return f"start:{self._letter(event.session_id)}{why}"
            case Tagged():
                words = ",".join(flag_words(event.flags))
                return f"tag:{self._letter(event.session_id)}{event.seq or ''}" + (f"({words})" if words else "")
            case Ended():
                again = f"#{event.revision}" if event.revision else ""
                end = event.end_ms - EPOCH_MS
                return f"end:{self._letter(event.session_id)}@{end}({event.reason.value}){again}"
            case Reopened():
                return f"reopen:{self._letter(event.session_id)}"
            case Paused():
                return f"pause:{self._letter(event.session_id)}@{event.at_ms - EPOCH_MS}"
            case Resumed():
                return f"resume:{self._letter(event.session_id)}(after {event.paused_ms})"
            case Noted():
                return f"{event.command.name.value}:{self._letter(event.session_id)}"
            case Unchanged():
                return f"unchanged:{self._letter(event.session_id)}({event.why})"
            case Rejected():
                return f"reject({event.code.value})"
            case PolicySet():
                return "policy"
            case Forgotten():
                return "forget"
            case Erased():
                return "erase"


def play(steps: Iterable[Step], rules: Rules = RULES) -> list[str]:
    """Return in words what each of `steps` causes."""
    scene = Scene(rules)
    return [scene.play(incoming) for incoming in steps]


def scenes(tables: Mapping[str, Table]) -> pytest.MarkDecorator:
    """Run a test once for each titled table of steps and what each causes."""
    columns = [([incoming for incoming, _ in table], [caused for _, caused in table]) for table in tables.values()]
    return pytest.mark.parametrize(("steps", "caused"), columns, ids=list(tables))
