"""Proves from the topics alone that every raw record has exactly one outcome, and that outputs and states agree.

The processor writes what a partition's records cause in their order. So a partition is audited in one pass over raw and
tagged records side by side, and nothing needs to be kept of a message. What is kept: under 1 KB a session (see
sessions_check.py), 250 bytes a dead letter, 150 a command or misplaced record, 1 KB for each user of the raw log. One
partition is audited after the other; only misplaced records wait for the end.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Final, NamedTuple

from processor.codec.codec import Codec
from processor.codec.state import decode_state, encode_state
from processor.config import TopicNames
from processor.core.errors import DecodeError, RecordError
from processor.core.limits import forget_after_ms
from processor.core.model import Message, Record, Rules, Session, Tagged, UserState
from processor.core.session import step
from processor.exporter.alignment import HASH_BYTES, Pair, align, meeting
from processor.exporter.auditing import TopicRecord, Topics
from processor.exporter.sessions_check import SessionsCheck, TopicPair
from processor.runtime.deadletters import WITHHELD
from processor.runtime.partitioner import partition_of
from processor.runtime.task import REROUTED

PROBLEMS_MAX: Final = 1_000  # kept to be told; the others are counted
_LETTER: Final = "a3cp-dlq-"


class Wrong(NamedTuple):
    """One thing that is wrong, and where."""

    where: str  # such as a3cp.tagged[1]@1042
    what: str


@dataclass(slots=True)
class AuditReport:
    """What an audit counted and found."""

    raw: int = 0  # records that were read
    tagged: int = 0
    answered: int = 0  # commands
    dead: int = 0
    rerouted: int = 0
    waiting: int = 0  # raw records that the processor has not come to
    alone: int = 0  # raw records whose tagged ones are cut off
    sessions: int = 0
    ends: int = 0
    states: int = 0
    states_compared: int = 0  # with a fold of the raw records
    notes: list[str] = field(default_factory=list)  # what could not be looked at, and why
    problems: list[Wrong] = field(default_factory=list)
    problem_count: int = 0

    def add(self, where: str, what: str) -> None:
        """Note a problem."""
        self.problem_count += 1
        if len(self.problems) < PROBLEMS_MAX:
            self.problems.append(Wrong(where, what))


class _Raw(NamedTuple):
    """A raw record that is no dead letter."""

    offset: int
    content: bytes  # its hash; a command's is of no use
    value: bytes
    record: Record
    elsewhere: int | None  # its user's partition, where it may have been rerouted to; None when it is this one

    @property
    def may_stand_alone(self) -> bool:
        """Whether no tagged record need come of it."""
        return self.elsewhere is not None or not isinstance(self.record, Message)


class _Out(NamedTuple):
    """A tagged record."""

    offset: int
    content: bytes  # b"" when it is no tagged message, which equals nothing
    value: bytes


class _Letter(NamedTuple):
    """A dead letter."""

    offset: int
    sha256: str
    content: bytes | None  # hash of value and key; None when they are not as they came


class _Copy(NamedTuple):
    """A misplaced record, or its copy."""

    where: str
    content: bytes
    is_due: bool  # it is wrong if the other is missing
    partition: int  # where it is, or is to be
    waits: bool = False  # the processor has not come to it


@dataclass(slots=True)
class _Scene:
    """What the partitions' audits share."""

    topics: Topics
    codec: Codec
    names: TopicNames
    rules: Rules | None
    now_ms: int
    committed: Mapping[int, int]
    misplaced: dict[str, _Copy] = field(default_factory=dict)
    copies: dict[str, _Copy] = field(default_factory=dict)
    report: AuditReport = field(default_factory=AuditReport)


def audit(topics: Topics, codec: Codec, names: TopicNames, rules: Rules | None, *, now_ms: int = 0) -> AuditReport:
    """Audit all partitions, one after the other.

    Args:
        topics: what they hold; codec: reads their records; names: what they are called.
        rules: those in force since the raw log began, to compare tags and states with what they give; None leaves that
            out.
        now_ms: what the clock shows; users whose late horizon is over by then may have been forgotten.
    """
    scene = _Scene(topics, codec, names, rules, now_ms, topics.committed())
    for partition in range(topics.partitions):
        _PartitionAudit(scene, partition).run()
    _check_rerouted(scene)
    return scene.report


def _check_rerouted(scene: _Scene) -> None:
    report = scene.report
    for origin, record in scene.misplaced.items():
        copy = scene.copies.pop(origin, None)
        if copy is None:
            if record.is_due:
                report.add(origin, "it is neither tagged, nor set aside, nor sent to its user's partition")
        elif copy.content != record.content:
            report.add(copy.where, f"it is said to be {origin}, but its bytes are others")
        elif copy.partition != record.partition:
            report.add(
                copy.where, f"it is {origin} sent to where its user is not, partition {record.partition} is right"
            )
        else:
            report.rerouted += 1
            report.waiting -= record.waits
    for origin, copy in scene.copies.items():
        if copy.is_due:
            report.add(copy.where, f"it is a copy of {origin}, which has another outcome or is not there")


class _PartitionAudit:
    """The audit of one partition."""

    def __init__(self, scene: _Scene, partition: int) -> None:
        self._scene = scene
        self._topics, self._codec, self._names = scene.topics, scene.codec, scene.names
        self._report = scene.report
        self._partition = partition
        self._spans = {name: scene.topics.span(name, partition) for name in self._names}
        self._raw = self._spans[self._names.raw]
        self._done = scene.committed.get(partition, 0)  # The processor has come to here.
        self._letters: dict[int, _Letter] = {}
        self._answers: Counter[bytes] = Counter()
        self._latest: dict[bytes, tuple[int, bytes | None]] = {}  # user -> offset and value of the state
        self._fold: dict[bytes, UserState] | None = None
        self._check = SessionsCheck(
            self._codec,
            TopicPair(self._names.tagged, self._names.sessions),
            partition,
            tagged=self._spans[self._names.tagged],
            sessions=self._spans[self._names.sessions],
        )

    def run(self) -> None:
        """Read the small topics first, then raw and tagged records side by side."""
        self._note_what_is_cut()
        self._read_letters()
        self._read_events()
        self._read_states()
        raw_from, tagged_from = self._beginnings()
        is_cut = self._raw.is_cut or self._spans[self._names.tagged].is_cut
        if self._scene.rules is not None and self._partition in self._scene.committed and not is_cut:
            self._fold = {}
        for pair in align(self._expected(raw_from), self._actual(tagged_from)):
            self._take(pair)
        self._finish()

    def _note_what_is_cut(self) -> None:
        names = [
            name for name in (self._names.raw, self._names.tagged, self._names.sessions) if self._spans[name].is_cut
        ]
        for name in names:
            start = self._spans[name].start
            self._report.notes.append(
                f"{name}[{self._partition}] begins at {start}: what was before is gone, and not looked at"
            )
        has_outputs = any(self._spans[name].end for name in self._names if name != self._names.raw)
        if self._partition not in self._scene.committed and has_outputs:
            self._report.notes.append(
                f"{self._names.raw}[{self._partition}] has outputs, but the group has no offset there: "
                "what is missing at the end cannot be told from what is not processed yet"
            )

    def _read_letters(self) -> None:
        name = self._names.dlq
        for record in self._topics.read(name, self._partition):
            where = self._at(name, record.offset)
            headers = {key: content.decode(errors="replace") for key, content in record.headers}
            topic, partition, offset = (headers.get(_LETTER + word, "") for word in ("topic", "partition", "offset"))
            if (
                topic != self._names.raw
                or partition != str(self._partition)
                or not (offset.isascii() and offset.isdigit())
            ):
                self._report.add(where, f"it does not say which record of {self._names.raw}[{self._partition}] it was")
                continue
            source = int(offset)
            if source in self._letters:
                first = self._at(name, self._letters[source].offset)
                self._report.add(where, f"it sets aside {self._at(self._names.raw, source)} again, as {first} did")
                continue
            content = None if WITHHELD in headers else _fingerprint(record)
            self._letters[source] = _Letter(record.offset, headers.get(_LETTER + "sha256", ""), content)

    def _read_events(self) -> None:
        for record in self._topics.read(self._names.sessions, self._partition):
            event = self._check.event(record)
            if event is not None and event.command_record_id is not None:
                self._answers[_command_key(event.user_id, event.command_record_id)] += 1
            if event is not None and event.kind == "ended":
                self._report.ends += 1

    def _read_states(self) -> None:
        name = self._names.state
        for record in self._topics.read(name, self._partition):
            if record.key is None:
                self._report.add(self._at(name, record.offset), "it has no key, so it is nobody's state")
            else:
                self._latest[record.key] = record.offset, record.value
        certain = self._spans[name].certain
        for key, (offset, value) in self._latest.items():
            if value is None:
                continue
            where = self._at(name, offset)
            try:
                user_id, state = key.decode(), decode_state(value)
            except UnicodeDecodeError:
                self._report.add(where, "its key is no user id")
                continue
            except DecodeError as error:
                self._report.add(where, f"it is no state: {error.what}")
                continue
            self._report.states += 1
            for session in (*state.closed, *(() if state.current is None else (state.current,))):
                self._check.state(
                    user_id, session.session_id, session.count, session.digest, where, certain=offset < certain
                )
        for user_id, sid in self._check.open_sessions():
            offset, value = self._latest.get(user_id.encode(), (-1, None))
            if value is None and offset < certain:
                self._report.add(f"{name}[{self._partition}]", f"it has no state for {sid}, which is open")

    def _beginnings(self) -> tuple[int, int]:
        """Return where raw and tagged records stand side by side, when the beginning of either is gone."""
        tagged = self._spans[self._names.tagged]
        starts = self._raw.start, tagged.start
        if not (self._raw.is_cut or tagged.is_cut):
            return starts
        letters = dict(self._letters)

        def messages() -> Iterator[_Raw]:
            for raw in self._expected(0, counting=False):
                if isinstance(raw.record, Message) and raw.elsewhere is None:
                    yield raw

        found = meeting(messages(), self._actual(0, checking=False))
        if found is None:
            turned = meeting(self._actual(0, checking=False), messages())
            found = None if turned is None else (turned[1], turned[0])
        self._letters = letters
        if found is None:
            return self._raw.end, tagged.end
        return found

    def _expected(self, start: int, *, counting: bool = True) -> Iterator[_Raw]:
        """Yield the raw records that are to be answered, or tagged from `start` on; tell what is wrong with others."""
        names, partition = self._names, self._partition
        for record in self._topics.read(names.raw, partition):
            offset, where = record.offset, self._at(names.raw, record.offset)
            is_due = offset < self._done
            letter = self._letters.pop(offset, None)
            if counting:
                self._report.raw += 1
                self._report.waiting += not is_due and letter is None
                self._note_copy(record, where)
            if letter is not None:
                if counting:
                    self._check_letter(record, letter)
                continue
            try:
                decoded = self._codec.decode(record.value, record.timestamp_ms)
            except RecordError as error:
                if is_due and counting:
                    self._report.add(where, f"it is neither tagged nor set aside, and cannot be tagged: {error.what}")
                continue
            assert record.value is not None
            right = partition_of(decoded.user_id.encode(), self._topics.partitions)
            stays = right == partition or any(name == REROUTED for name, _ in record.headers)
            raw = _Raw(offset, _hash(record.value), record.value, decoded, None if stays else right)
            if offset >= start or not isinstance(decoded, Message):
                yield raw
            elif counting:
                self._report.alone += 1
                self._wait_for_copy(raw, is_due=False)

    def _wait_for_copy(self, raw: _Raw, *, is_due: bool) -> bool:
        """Note a misplaced record, to be compared with its copy; return whether it is one."""
        if raw.elsewhere is None:
            return False
        where = self._at(self._names.raw, raw.offset)
        may_be_gone = self._topics.span(self._names.raw, raw.elsewhere).is_cut
        self._scene.misplaced[where] = _Copy(
            where, raw.content, is_due and not may_be_gone, raw.elsewhere, raw.offset >= self._done
        )
        return True

    def _note_copy(self, record: TopicRecord, where: str) -> None:
        origin = next((content.decode(errors="replace") for name, content in record.headers if name == REROUTED), None)
        if origin is None:
            return
        copies = self._scene.copies
        if origin in copies:
            self._report.add(where, f"it is a copy of {origin}, as {copies[origin].where} is already")
            return
        copies[origin] = _Copy(where, _hash(record.value), self._is_there(origin), self._partition)

    def _is_there(self, origin: str) -> bool:
        """Whether the raw record at the position `origin` was not cut off."""
        topic, _, place = origin.rpartition("[")
        partition, _, offset = place.partition("]@")
        if topic != self._names.raw or not partition.isdigit() or not offset.isdigit():
            return True
        if int(partition) >= self._topics.partitions:
            return True
        return int(offset) >= self._topics.span(topic, int(partition)).start

    def _check_letter(self, record: TopicRecord, letter: _Letter) -> None:
        where, source = self._at(self._names.dlq, letter.offset), self._at(self._names.raw, record.offset)
        if letter.sha256 != sha256(record.value or b"").hexdigest():
            self._report.add(where, f"its SHA-256 is not that of {source}")
        elif letter.content is not None and letter.content != _fingerprint(record):
            self._report.add(where, f"its bytes are not those of {source}")
        else:
            self._report.dead += 1

    def _actual(self, start: int, *, checking: bool = True) -> Iterator[_Out]:
        """Yield the tagged records from `start` on; those before are taken for their sessions only."""
        for record in self._topics.read(self._names.tagged, self._partition):
            if checking:
                told = self._check.message(record)
                source = None if told is None else told[1]
            else:
                try:
                    source = self._codec.strip(record.value or b"")
                except RecordError:
                    source = None
            if record.offset >= start:
                yield _Out(record.offset, b"" if source is None else _hash(source), record.value or b"")

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
            self._compare_tag(raw, out)
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
        key = _command_key(raw.record.user_id, raw.record.record_id)
        if self._answers[key]:
            self._answers[key] -= 1
            self._report.answered += 1
            self._report.waiting -= not is_due
            self._fold_one(raw)
        elif not self._wait_for_copy(raw, is_due=is_due) and is_due and not self._spans[self._names.sessions].is_cut:
            self._report.add(
                where, f"it is a command, and no event in {self._names.sessions}[{self._partition}] answers it"
            )

    def _fold_one(self, raw: _Raw) -> Tagged | None:
        if self._fold is None or raw.offset >= self._done:
            return None
        assert self._scene.rules is not None
        key = raw.record.user_id.encode()
        after, events = step(self._fold.get(key), raw.record, self._scene.rules)
        if after is None:
            self._fold.pop(key, None)
        else:
            self._fold[key] = after
        return next((event for event in events if isinstance(event, Tagged)), None)

    def _compare_tag(self, raw: _Raw, out: _Out) -> None:
        tagged = self._fold_one(raw)
        if tagged is not None and self._codec.tag(raw.value, tagged) != out.value:
            told = f"its tag is not the one that the rules give {self._at(self._names.raw, raw.offset)}"
            self._report.add(self._at(self._names.tagged, out.offset), told)

    def _finish(self) -> None:
        for source, letter in self._letters.items():
            if self._raw.start <= source:
                told = f"it sets aside {self._at(self._names.raw, source)}, and there is no such record"
                self._report.add(self._at(self._names.dlq, letter.offset), told)
        if not self._raw.is_cut and (surplus := sum(count for count in self._answers.values() if count > 0)):
            where = f"{self._names.sessions}[{self._partition}]"
            self._report.add(where, f"{surplus} events answer no command, or one that is answered already")
        if self._fold is not None:
            self._compare_states(self._fold)
        for report in self._check.reports():
            self._report.sessions += report.session_id is not None
            for problem in report.problems:
                told = f"{problem.what} ({report.session_id})" if report.session_id else problem.what
                self._report.add(problem.file, told)

    def _compare_states(self, fold: Mapping[bytes, UserState]) -> None:
        """Compare the states with the fold's, but for what the clock decides: when ends were told."""
        assert self._scene.rules is not None
        name, rules = self._names.state, self._scene.rules
        certain = self._spans[name].certain
        for key, expected in fold.items():
            offset, value = self._latest.get(key, (certain - 1, None))
            if offset >= certain:  # The processor has changed it since the audit began.
                continue
            after_ms = forget_after_ms(expected, rules)
            may_be_forgotten = after_ms is not None and self._scene.now_ms > after_ms
            if value is None:
                if not may_be_forgotten:
                    told = "a user of the raw log has no state, and is not to be forgotten yet"
                    self._report.add(f"{name}[{self._partition}]", told)
                continue
            try:
                actual = decode_state(value)
            except DecodeError:
                continue  # Told when it was read.
            if may_be_forgotten and actual.current is None and not actual.closed:
                continue  # All but the user's own limits is forgotten.
            self._report.states_compared += 1
            if encode_state(_unclocked(actual)) != encode_state(_unclocked(expected)):
                told = "it is not what the rules make of the user's raw records"
                self._report.add(self._at(name, offset), told)
        for key, (offset, value) in self._latest.items():
            if value is not None and key not in fold and offset < certain:
                self._report.add(self._at(name, offset), "it is a state of nobody in the raw log")

    def _at(self, topic: str, offset: int) -> str:
        return f"{topic}[{self._partition}]@{offset}"


def _hash(value: bytes | None) -> bytes:
    return sha256(value or b"").digest()[:HASH_BYTES]


def _fingerprint(record: TopicRecord) -> bytes:
    """Return a hash of value and key."""
    key = b"-" if record.key is None else b"%d " % len(record.key) + record.key
    return sha256(key + (record.value or b"")).digest()[:HASH_BYTES]


def _command_key(user_id: str, record_id: str) -> bytes:
    return sha256(f"{user_id}\0{record_id}".encode()).digest()[:HASH_BYTES]


def _unclocked(state: UserState) -> UserState:
    """Return `state` without what tells when ends were announced: which is the clock's."""

    def plain(session: Session) -> Session:
        return session._replace(ends=0)

    current = state.current
    if current is not None:
        current = current._replace(ends=0, end_ms=None, end_reason=None)
    return state._replace(current=current, closed=tuple(plain(session) for session in state.closed))
