"""Proves from the topics alone that every raw record has exactly one outcome, and that outputs and states agree.

The outputs of a partition come in the order of its raw records. So a partition is audited in one pass over raw and
tagged records side by side, and no message is kept. Memory: under 1 KB a session, 250 bytes an event or dead letter,
150 a command or misplaced record, 1 KB for each user of the raw log. One partition is audited after the other; only
misplaced records wait for the end. The checks of sessions, events, states, dead letters and misplaced records are in
sessions.py, events.py, states.py, letters.py and rerouted.py.
"""

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import NamedTuple, TypeAlias

from processor.audit.alignment import HASH_BYTES, Pair, align, meeting, short_hash
from processor.audit.events import EventsCheck
from processor.audit.letters import LettersCheck
from processor.audit.report import AuditReport
from processor.audit.rerouted import ReroutedCheck
from processor.audit.sessions import Left, SessionsCheck, need_its_schema
from processor.audit.states import StatesCheck
from processor.audit.topics import Topics
from processor.codec.codec import Codec
from processor.core.model import Erase, Message, Record, Rules, Tagged, UserState
from processor.errors import RecordError
from processor.runtime.growing import next_partition, parent_of, partitions_at
from processor.runtime.partitioner import partition_of
from processor.settings.documents import located
from processor.settings.model import TopicNames
from processor.upstream.words.counting import counted

Headers: TypeAlias = Sequence[tuple[str, bytes | None]]


class _Raw(NamedTuple):
    """A raw record that is no dead letter."""

    offset: int
    content: bytes  # its hash; a command's is of no use
    value: bytes
    record: Record
    elsewhere: int | None  # its user's partition, to which it may have been rerouted; None if it is this one
    headers: Headers

    @property
    def may_stand_alone(self) -> bool:
        """Whether it may be without a tagged record: a command, or a misplaced record."""
        return self.elsewhere is not None or not isinstance(self.record, Message)


class _Out(NamedTuple):
    """A tagged record."""

    offset: int
    content: bytes  # b"" when it is no tagged message, which equals nothing
    value: bytes
    headers: Headers


@dataclass(slots=True)
class _Scene:
    """What the partitions' audits share."""

    topics: Topics
    codec: Codec
    names: TopicNames
    rules: Rules | None
    now_ms: int
    committed: Mapping[int, int]
    rerouted: ReroutedCheck
    report: AuditReport


def audit(
    topics: Topics,
    codec: Codec,
    names: TopicNames,
    rules: Rules | None,
    *,
    now_ms: int = 0,
    is_mirror: bool = False,
) -> AuditReport:
    """Audit all partitions, one after the other.

    Args:
        topics: what they hold; codec: reads their records; names: what they are called.
        rules: those in force since the raw log began. Tags and states are compared with what they give; not if None.
        now_ms: the time now. Users whose late horizon is over may have been forgotten.
        is_mirror: whether the raw topic may be another cluster's, mirrored with other offsets.
    """
    report = AuditReport()
    is_mirror |= any(topics.adopted(partition) is not None for partition in range(topics.partitions))
    rerouted = ReroutedCheck(topics, names.raw, report, is_mirror=is_mirror)
    scene = _Scene(topics, codec, names, rules, now_ms, topics.committed(), rerouted, report)
    parents: dict[int, _PartitionAudit] = {}  # of those that users have left
    for partition in range(topics.partitions):
        grown = topics.grown(partition)
        parent = parent_of(partition, grown)
        one = _PartitionAudit(scene, partition, None if parent is None else parents.get(parent))
        one.run()
        if grown:
            parents[partition] = one
    rerouted.finish()
    return report


class _PartitionAudit:
    """The audit of one partition."""

    def __init__(self, scene: _Scene, partition: int, parent: "_PartitionAudit | None") -> None:
        """`parent`: of the partition that its first users came from, already run; None if there was none."""
        self._scene = scene
        self._parent = parent
        self.rules: Rules | None = None
        self._grown = scene.topics.grown(partition)
        self._topics, self._codec, self._names = scene.topics, scene.codec, scene.names
        self._report = scene.report
        self._partition = partition
        self.spans = {name: scene.topics.span(name, partition) for name in self._names}
        if parent is not None:
            self.spans = {
                name: span._replace(inherits_cut=parent.spans[name].is_cut) for name, span in self.spans.items()
            }
        self._raw = self.spans[self._names.raw]
        self._done = scene.committed.get(partition, 0)  # The processor has come to here.
        self._strays = 0  # records that were tagged here, of users of another partition
        self._answers: Counter[bytes] = Counter()
        adopted = scene.topics.adopted(partition)
        self._letters = LettersCheck(self._names.dlq, self._names.raw, partition, self._report, adopted)
        self._sessions = SessionsCheck(
            self._codec,
            self._names,
            partition,
            tagged=self.spans[self._names.tagged],
            sessions=self.spans[self._names.sessions],
        )
        can_fold = partition in scene.committed and not (self._raw.is_cut or self.spans[self._names.tagged].is_cut)
        if can_fold and (parent is None or parent.rules is not None):
            self.rules = scene.rules
        rules = self.rules
        certain = {name: span.certain for name, span in self.spans.items()}
        state, sessions = self._names.state, self._names.sessions
        self._states = StatesCheck(state, partition, self._report, certain=certain[state], rules=rules, adopted=adopted)
        self._events = EventsCheck(sessions, partition, self._report, certain=certain[sessions], rules=rules)
        # Of users who have left, by the partition where they went.
        self.left_sessions: dict[int, Left] = {}
        self.left_states: dict[int, dict[bytes, UserState]] = {}

    def run(self) -> None:
        """Read the small topics first, then raw and tagged records side by side."""
        came = self._come()
        self._note_what_is_cut()
        self._tell_what_is_lost()
        for record in self._topics.read(self._names.dlq, self._partition):
            self._letters.letter(record)
        self._states.read(self._topics.read(self._names.state, self._partition), self._sessions)
        self._read_events()
        for key, state in came.items():
            self._events.folded(key.decode(), state, ())  # The clock may have ended their sessions here.
        self._states.check(self._sessions, since_ms=self._raw_since_ms(), goes_to=self._goes_to)
        raw_from, tagged_from = self._beginnings()
        for pair in align(self._expected(raw_from), self._actual(tagged_from)):
            self._take(pair)
        self._finish()

    def _come(self) -> Mapping[bytes, UserState]:
        """Take in the users who came from the parent. Return their states as they came."""
        if self._parent is None:
            return {}
        if (sessions := self._parent.left_sessions.pop(self._partition, None)) is not None:
            self._sessions.come(sessions)
        states = self._parent.left_states.pop(self._partition, {})
        self._states.come(states)
        return states

    def _goes_to(self, key: bytes) -> int:
        """Return where a user of this partition went; the partition itself if they are still here."""
        if not self._grown:
            return self._partition
        return next_partition(key, self._partition, self._grown, self._topics.partitions)

    def _note_what_is_cut(self) -> None:
        names = [name for name in (self._names.raw, self._names.tagged, self._names.sessions) if self.spans[name].start]
        for name in names:
            start = self.spans[name].start
            self._report.notes.append(
                f"{name}[{self._partition}] begins at {start}: what was before is gone, and not looked at"
            )
        has_outputs = any(self.spans[name].end for name in self._names if name != self._names.raw)
        if self._partition not in self._scene.committed and has_outputs:
            self._report.notes.append(
                f"{self._names.raw}[{self._partition}] has outputs, but the group has no offset there: "
                "what is missing at the end cannot be told from what is not processed yet"
            )

    def _tell_what_is_lost(self) -> None:
        """Report raw records that were removed before the processor read them, or are to be read and gone."""
        if (late := self._topics.late().get(self._partition)) is not None:
            self._report.never_read += late
            self._report.notes.append(
                f"{self._names.raw}[{self._partition}] began at {late} when the processor first read it: "
                "what was before was never read"
            )
        if (lost := self._topics.lost().get(self._partition)) is not None:
            self._report.add(self._at(self._names.raw, lost[0]), f"{_lost(*lost)} the processor had read them")
        if self._partition in self._scene.committed and self._done < self._raw.start:
            told = f"{_lost(self._done, self._raw.start)} the processor has read them"
            self._report.add(self._at(self._names.raw, self._done), told)

    def _read_events(self) -> None:
        for record in self._topics.read(self._names.sessions, self._partition):
            event = self._sessions.event(record)
            if event is None:
                continue
            self._events.event(event, record.offset)
            if event.command_record_id is not None:
                self._answers[_command_key(event.user_id, event.command_record_id)] += 1
            self._report.ends += event.kind == "ended"

    def _raw_since_ms(self) -> float:
        """Return the append time of the first raw record that is left. Returns 0 if none is gone."""
        if not self._raw.is_cut:
            return 0
        first = next(self._topics.read(self._names.raw, self._partition), None)
        return math.inf if first is None else first.timestamp_ms

    def _beginnings(self) -> tuple[int, int]:
        """Return from which raw and tagged offsets both can be compared; later ones if a beginning is gone."""
        tagged = self.spans[self._names.tagged]
        starts = self._raw.start, tagged.start
        if not (self._raw.is_cut or tagged.is_cut):
            return starts

        def messages() -> Iterator[_Raw]:
            for raw in self._expected(0, counting=False):
                if isinstance(raw.record, Message) and raw.elsewhere is None:
                    yield raw

        found = meeting(messages(), self._actual(0, checking=False))
        if found is None:
            turned = meeting(self._actual(0, checking=False), messages())
            found = None if turned is None else (turned[1], turned[0])
        if found is None:
            return self._raw.end, tagged.end
        return found

    def _expected(self, start: int, *, counting: bool = True) -> Iterator[_Raw]:
        """Yield the commands, and the messages from `start` on. Report what is wrong with other raw records."""
        names, partition = self._names, self._partition
        for record in self._topics.read(names.raw, partition):
            offset, where = record.offset, record.position
            is_due = offset < self._done
            is_set_aside = self._letters.has(record)
            if counting:
                self._report.raw += 1
                self._report.waiting += not is_due and not is_set_aside
            if is_set_aside:
                if counting:
                    self._letters.compare(record)
                    self._scene.rerouted.placed(record, where, short_hash(record.value), partition)
                continue
            try:
                decoded = self._codec.decode(record.value, record.timestamp_ms)
            except RecordError as error:
                if is_due and counting:  # One that waits may become a dead letter.
                    need_its_schema(record, where, error)
                    self._report.add(where, f"it is neither tagged nor set aside, and cannot be tagged: {error.what}")
                continue
            assert record.value is not None
            partitions = partitions_at(offset, self._grown, self._topics.partitions)
            right = partition_of(decoded.user_id.encode(), partitions)
            elsewhere = None if right == partition else right
            raw = _Raw(offset, short_hash(record.value), record.value, decoded, elsewhere, record.headers)
            if counting:  # A copy that came just before there were more partitions is misplaced itself.
                self._scene.rerouted.placed(record, where, raw.content, partition)
            if offset >= start or not isinstance(decoded, Message):
                yield raw
            elif counting:
                self._report.alone += 1
                self._wait_for_copy(raw, is_due=False)

    def _wait_for_copy(self, raw: _Raw, *, is_due: bool) -> bool:
        """Note a misplaced record, to be compared with its copy; return whether it is one."""
        if raw.elsewhere is None:
            return False
        where, waits = self._at(self._names.raw, raw.offset), raw.offset >= self._done
        self._scene.rerouted.misplaced(where, raw.content, raw.elsewhere, is_due=is_due, waits=waits)
        return True

    def _actual(self, start: int, *, checking: bool = True) -> Iterator[_Out]:
        """Yield the tagged records from `start` on. Earlier ones count for their sessions only."""
        for record in self._topics.read(self._names.tagged, self._partition):
            if checking:
                told = self._sessions.message(record)
                source = None if told is None else told[1]
            else:
                try:
                    source = self._codec.strip(record.value or b"")
                except RecordError:
                    source = None
            if record.offset >= start:
                content = b"" if source is None else short_hash(source)
                yield _Out(record.offset, content, record.value or b"", record.headers)

    def _take(self, pair: Pair[_Raw, _Out]) -> None:
        raw, out, agrees, repeats = pair
        if raw is None:
            assert out is not None
            where = self._at(self._names.tagged, out.offset)
            if repeats is not None:
                self._report.add(where, f"it tags {self._at(self._names.raw, repeats)} a second time")
            else:
                self._report.add(
                    where, f"it comes from no record that {self._names.raw}[{self._partition}] has in its place"
                )
            return
        where = self._at(self._names.raw, raw.offset)
        is_due = raw.offset < self._done
        if agrees:
            assert out is not None
            self._report.tagged += 1
            self._report.waiting -= not is_due
            if raw.elsewhere is not None:
                self._strays += 1
                self._report.add(where, f"it is tagged here, and its user's partition is {raw.elsewhere}")
            self._compare_tag(raw, out)
            if raw.headers != out.headers:
                self._report.add(self._at(self._names.tagged, out.offset), f"its headers are not those of {where}")
        elif out is not None:
            self._fold_one(raw)
            told = f"its bytes without the tag are not those of {where}, whose turn it is"
            self._report.add(self._at(self._names.tagged, out.offset), told)
        elif not isinstance(raw.record, Message):
            self._take_command(raw, where, is_due=is_due)
        elif not self._wait_for_copy(raw, is_due=is_due) and is_due:
            self._fold_one(raw)  # What comes after it is as if it had been tagged.
            self._report.add(where, "it is neither tagged nor set aside")

    def _take_command(self, raw: _Raw, where: str, *, is_due: bool) -> None:
        if isinstance(raw.record, Erase) and raw.elsewhere is None:  # Nothing answers it.
            self._fold_one(raw)
            return
        key = _command_key(raw.record.user_id, raw.record.record_id)
        if self._answers[key]:
            self._answers[key] -= 1
            self._report.answered += 1
            self._report.waiting -= not is_due
            self._fold_one(raw)
        elif not self._wait_for_copy(raw, is_due=is_due) and is_due and not self.spans[self._names.sessions].is_cut:
            self._report.add(
                where, f"it is a command, and no event in {self._names.sessions}[{self._partition}] answers it"
            )

    def _fold_one(self, raw: _Raw) -> Tagged | None:
        """Take the next raw record into the fold. Return its tag by the rules, if it has one."""
        if raw.offset >= self._done:
            return None
        after, events = self._states.fold(raw.record, raw.offset)
        self._events.folded(raw.record.user_id, after, events)
        return next((event for event in events if isinstance(event, Tagged)), None)

    def _compare_tag(self, raw: _Raw, out: _Out) -> None:
        tagged = self._fold_one(raw)
        if tagged is not None and self._codec.tag(raw.value, tagged) != out.value:
            told = f"its tag is not the one that the rules give {self._at(self._names.raw, raw.offset)}"
            self._report.add(self._at(self._names.tagged, out.offset), told)

    def _finish(self) -> None:
        self._letters.finish(self._raw.start)
        if not self._raw.is_cut and (surplus := sum(count for count in self._answers.values() if count > 0)):
            where = f"{self._names.sessions}[{self._partition}]"
            self._report.add(
                where,
                f"{counted(surplus, 'event answers', 'events answer')} no command, or one that is answered already",
            )
        self._events.finish()
        if self._grown:
            self.left_states = self._states.leave(self._goes_to)
            self.left_sessions = self._sessions.leave(self._goes_to)
        self._states.compare(self._scene.now_ms)
        if self._strays and not self._grown:
            self._report.notes.append(
                f"{self._names.raw}[{self._partition}] has "
                f"{counted(self._strays, 'tagged record')} of other partitions' users. "
                "If a3cp topics grow moved them, its mark is gone, as when another program set the group's offset. "
                "Then what is told of these users' records, sessions and states need not be wrong"
            )
        if self._states.unplaced and not self._grown and self._topics.adopted(self._partition) is None:
            self._report.notes.append(
                f"{self._names.state}[{self._partition}] has "
                f"{counted(self._states.unplaced, 'state')} without an offset. "
                "If a3cp topics adopt wrote them, or a3cp topics grow, its mark is gone, as when another program set "
                "the group's offset. Then what is told of these users' states and of dead letters need not be wrong"
            )
        if count := self._states.erasures:
            self._report.notes.append(
                f"{self._names.state}[{self._partition}]: a3cp erase took the state of a person "
                f"{counted(count, 'time')}; "
                "what came of them later is compared as a new user's"
            )
        for sid, where in self._sessions.opened_twice:
            why = located("docs/adr/0006-a-session-opened-twice.md")
            self._report.note_twice(f"{sid} is opened again at {where}: its records were sent again ({why})")
        for report in self._sessions.reports():
            self._report.sessions += report.session_id is not None
            for problem in report.problems:
                told = f"{problem.what} ({report.session_id})" if report.session_id else problem.what
                self._report.add(problem.file, told)

    def _at(self, topic: str, offset: int) -> str:
        return f"{topic}[{self._partition}]@{offset}"


def _lost(first: int, after: int) -> str:
    return f"the offsets up to {after - 1} ({after - first}) were removed before"


def _command_key(user_id: str, record_id: str) -> bytes:
    return sha256(f"{user_id}\0{record_id}".encode()).digest()[:HASH_BYTES]
