"""What came of a day: what a reader of the outputs sees, and whether what was promised is so."""

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from processor.audit.report import AuditReport
from processor.codec.codec import Codec
from processor.codec.events import EventView
from processor.codec.tagged import TaggedView
from processor.demo.exported import Exported
from processor.demo.script import Sent
from processor.kafka.deadletters.letter import DeadLetter
from processor.runtime.ports import TopicRecord
from processor.sessions.model import Status
from processor.settings.model import TopicNames

KINDS: Final = (
    "started",
    "ended",
    "paused",
    "resumed",
    "note",
    "context",
    "step",
    "status",
    "tag",
    "unchanged",
    "rejected",
)


class Check(NamedTuple):
    """One thing that was promised, and whether it is so."""

    promise: str
    kept: bool
    found: str


class DayOutcome(NamedTuple):
    """What the three output topics hold."""

    tagged: Sequence[TaggedView]
    events: Sequence[EventView]
    dead: Sequence[DeadLetter]

    @property
    def answered(self) -> int:
        """How many input records are accounted for: tagged, set aside, or a command that was answered."""
        answers = sum(event.command_record_id is not None and event.kind in KINDS for event in self.events)
        return len(self.tagged) + len(self.dead) + answers

    @property
    def started(self) -> int:
        """How many sessions were started."""
        return len({event.session_id for event in self.events if event.kind == "started"})

    def open_sessions(self) -> dict[str, int]:
        """Return the sessions that have not ended, each with the time of its latest message, ms since the epoch."""
        latest: dict[str, int] = {}
        for event in self.events:
            if event.session_id is not None and event.kind in ("started", "reopened"):
                latest[event.session_id] = event.start_time or event.timestamp
            elif event.session_id is not None and event.kind == "ended":
                latest.pop(event.session_id, None)
        for message in self.tagged:
            if message.session_id in latest and "clock_skew" not in message.flags:
                latest[message.session_id] = max(latest[message.session_id], message.timestamp_ms)
        return latest


def read_outcome(
    codec: Codec, tagged: Iterable[TopicRecord], events: Iterable[TopicRecord], dead: Sequence[DeadLetter]
) -> DayOutcome:
    """Return what the records of the three output topics say."""
    return DayOutcome(
        [codec.decode_tagged(record.value or b"") for record in tagged],
        [codec.decode_event(record.value or b"") for record in events],
        dead,
    )


def check(sent: Sequence[Sent], outcome: DayOutcome, audited: AuditReport, names: TopicNames) -> list[Check]:
    """Return the checks of the day: what the audit has found, and whether the topics have all that was `sent`."""
    commands = sum(record.command_id is not None for record in sent)
    messages = len(sent) - commands
    is_all = audited.tagged + audited.dead == messages
    wrong: dict[str, list[str]] = {names.tagged: [], names.sessions: [], names.state: []}
    others: list[str] = []
    for problem in audited.problems:
        wrong.get(problem.where.partition("[")[0], others).append(f"{problem.where}: {problem.what}")

    def proved(promise: str, problems: Sequence[str], found: str, *, adds_up: bool = True) -> Check:
        first = f"; a3cp audit finds {len(problems)} wrong, the first: {problems[0]}" if problems else ""
        return Check(promise, adds_up and not problems, found + first)

    refused = sum(event.kind == "rejected" for event in outcome.events)
    return [
        proved(
            "every message is there exactly once, its bytes unchanged",
            others,
            f"{audited.tagged} tagged + {audited.dead} dead letters {'=' if is_all else '≠'} {messages} sent",
            adds_up=is_all,
        ),
        proved(
            "every command has exactly one answer",
            [],
            f"{audited.answered} of {commands} commands, {refused} of them refused",
            adds_up=audited.answered == commands,
        ),
        proved("messages are numbered 1, 2, 3… in each session", wrong[names.tagged], f"{audited.sessions} sessions"),
        proved(
            "each session starts once, count and SHA-256 in its ends match the messages",
            wrong[names.sessions],
            f"{audited.ends} ends",
        ),
        proved(
            "each user's state is what the rules make of the messages",
            wrong[names.state],
            f"{audited.states_compared} states",
        ),
    ]


def check_export(outcome: DayOutcome, exported: Exported) -> Check:
    """Return whether all sessions are there, those that have ended whole, each as a bundle that verifies."""
    held, is_open = exported.held, len(outcome.open_sessions())
    return Check(
        "every session is exported, whole if it ended, and its bundle verifies to the bit",
        (held[Status.OPEN], held[Status.PARTIAL]) == (is_open, 0)
        and exported.bundles == exported.sound == len(exported.sessions) == outcome.started,
        f"{held[Status.COMPLETE]} complete, {held[Status.OPEN]} open, {held[Status.PARTIAL]} partial; "
        f"{exported.sound} of {exported.bundles} bundles sound",
    )
