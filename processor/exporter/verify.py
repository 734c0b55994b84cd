"""Checks bundles: each file against the manifest, then what the files say against each other.

The manifest finds any byte that changed. Who makes it anew as well still has to make the files agree (agreement.py),
and the digest that the session's end event carries is chained over the messages as they came (rule R12); only a new end
event, which the log would not have, could hide that.
"""

import base64
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple

import msgspec

from processor.codec.isotime import parse_time
from processor.codec.jsontext import plain_object
from processor.core.errors import UsageError
from processor.exporter import manifest as manifests
from processor.exporter.agreement import AuditText, EntryText, Told, event_form, message_form, record_form
from processor.exporter.paths import AUDIT, BUNDLE, METADATA, PAGE, RECORDS, TABLE, date_part, is_date_part, path_part
from processor.exporter.shapes import AuditLine, Entry, Manifest, Metadata, Proof, RecordLine
from processor.exporter.target import Target

PROBLEMS_MAX: Final = 20  # told of one bundle; a file that is cut off has one at every line
_CHUNK_BYTES: Final = 1 << 20
_NEEDED: Final = (METADATA, RECORDS)
_NOT_READABLE: Final = (msgspec.DecodeError, ValueError, RecursionError)  # ValueError: no UTF-8, base64 or object
_KNOWN: Final = frozenset((METADATA, RECORDS, BUNDLE, AUDIT, PAGE, TABLE))


class Problem(NamedTuple):
    """One thing that is wrong, and where."""

    file: str  # "" for the bundle as a whole
    where: str  # a line or a message; "" for the file as a whole
    what: str

    def __str__(self) -> str:
        place = ", ".join(part for part in (self.file, self.where) if part)
        return f"{place}: {self.what}" if place else self.what


@dataclass(slots=True)
class Report:
    """What was found about one bundle."""

    path: str
    session_id: str | None = None
    status: str | None = None  # open, partial or complete, as the bundle says
    messages: int = 0
    problems: list[Problem] = field(default_factory=list)

    @property
    def is_sound(self) -> bool:
        """Whether nothing is wrong. A bundle that says it is partial is sound: it says so."""
        return not self.problems

    def add(self, file: str, where: str, what: str) -> None:
        """Note a problem, unless it is known, or there are many already."""
        problem = Problem(file, where, what)
        if len(self.problems) < PROBLEMS_MAX and problem not in self.problems:
            self.problems.append(problem)


def verify(target: str) -> Iterator[Report]:
    """Yield a report for the bundle `target`, or for each bundle below the root `target`, in order of their paths.

    Raises:
        UsageError: there is no such place, or no bundle in it.
    """
    where = Target(target)
    if not where.files.exists(where.root):
        raise UsageError(f"there is no {target}", remedy="name a bundle, or the folder that bundles were exported to")
    if _looks_like_bundle(where):
        yield verify_bundle(where, where.root)
        return
    found = False
    for path in _bundles_below(where):
        found = True
        yield verify_bundle(where, path)
    if not found:
        raise UsageError(f"{target} holds no bundle", remedy="name a bundle, or the folder bundles were exported to")


def _looks_like_bundle(target: Target) -> bool:
    return any(target.files.exists(f"{target.root}/{name}") for name in (manifests.NAME, METADATA, RECORDS))


def _bundles_below(target: Target) -> Iterator[str]:
    dates = [_name(path) for path in target.files.ls(target.root, detail=False)]
    folders = [target.root] if is_date_part(_name(target.root)) else []
    for folder in folders or [target.path(date) for date in sorted(dates) if is_date_part(date)]:
        try:
            paths = sorted(str(path) for path in target.files.ls(folder, detail=False))
        except OSError:
            yield folder  # It cannot be read, which its report will say.
            continue
        for path in paths:
            if target.files.isdir(path) or (target.is_local and Path(path).is_symlink()):
                yield path


def _is_plain(path: Path) -> bool:
    return path.is_file() and not path.is_symlink()


def _name(path: str) -> str:
    return str(path).replace("\\", "/").rstrip("/").rpartition("/")[2]


def verify_bundle(target: Target, path: str) -> Report:
    """Return what is wrong with the bundle at `path`."""
    report = Report(path)
    try:
        _check(_Checker(target, path, report), report)
    except OSError as error:
        report.add("", "", _unreadable(error))
    return report


def _unreadable(error: OSError) -> str:
    return f"it cannot be read: {error.strerror or type(error).__name__}"


def _check(checker: "_Checker", report: Report) -> None:
    manifest = checker.manifest()
    if manifest is not None:
        report.session_id = manifest.session_id
        checker.files(manifest)
        checker.place(manifest)
        names = {file.name for file in manifest.files}
        for name in _NEEDED:
            if name not in names:
                report.add(name, "", "the manifest does not list it, and every bundle has it")
    metadata = checker.metadata()
    messages = checker.records(metadata.session_id if metadata else report.session_id, metadata)
    report.messages = len(messages.hashes)
    if metadata is not None:
        report.session_id, report.status = metadata.session_id, metadata.completeness
        if metadata.message_count != report.messages:
            report.add(METADATA, "message_count", f"{metadata.message_count}, but {RECORDS} has {report.messages}")
    events: list[bytes] | None = None
    if manifest is None or any(file.name == BUNDLE for file in manifest.files):
        events = checker.bundle(metadata, messages)
    if manifest is None or any(file.name == AUDIT for file in manifest.files):
        checker.audit(metadata, messages, events)


@dataclass(slots=True)
class _Messages:
    """What records.jsonl has, each by its `seq`, in order of the file."""

    hashes: dict[int, bytes] = field(default_factory=dict)  # of their content
    forms: dict[int, bytes | None] = field(default_factory=dict)  # see `record_form`
    digest: str = ""  # chained over the hashes


@dataclass(slots=True)
class _Seen:
    """What was read of bundle.json so far."""

    section: str = ""
    at: str = ""  # of the latest entry
    messages: set[int] = field(default_factory=set)
    events: int = 0  # in the timeline
    listed: list[bytes] = field(default_factory=list)  # the forms of the session events
    proof: Proof | None = None
    told: Told = field(default_factory=Told)


class _Checker:
    def __init__(self, target: Target, path: str, report: Report) -> None:
        self._files = target.files
        self._path = path
        self._report = report
        self._add = report.add
        self._there = {_name(found) for found in target.files.ls(path, detail=False)}
        self._odd = {name for name in self._there if target.is_local and not _is_plain(Path(path, name))}
        for name in sorted(self._odd):  # What a link leads to may be another tomorrow; a pipe would never end.
            self._add(name, "", "it is a link, a folder or the like: a bundle has files of its own only")

    def manifest(self) -> Manifest | None:
        try:
            return manifests.read(self._bytes(manifests.NAME))
        except FileNotFoundError:
            if manifests.NAME not in self._odd:
                self._add(manifests.NAME, "", "it is missing: the bundle was not finished, or somebody removed it")
        except manifests.NotAManifest as error:
            self._add(manifests.NAME, "", str(error))
        except OSError as error:
            self._add(manifests.NAME, "", _unreadable(error))
        return None

    def files(self, manifest: Manifest) -> None:
        listed = {file.name: file for file in manifest.files}
        for name in sorted(self._there - self._odd - listed.keys() - {manifests.NAME}):
            self._add(name, "", "the manifest does not list it")
        for name, file in listed.items():
            if name not in _KNOWN:
                self._add(name, "", "no bundle has a file of this name")
            elif name not in self._there:
                self._add(name, "", "it is missing")
            elif name not in self._odd and (found := self._hash(name)) is not None:
                if found[0] != file.size:
                    self._add(name, "", f"it has {found[0]:,} bytes, the manifest says {file.size:,}")
                elif found[1] != file.sha256:
                    self._add(name, "", "its SHA-256 is not the manifest's: its bytes were changed")

    def _hash(self, name: str) -> tuple[int, str] | None:
        size, found = 0, sha256()
        try:
            with self._open(name) as file:
                while chunk := file.read(_CHUNK_BYTES):
                    size += len(chunk)
                    found.update(chunk)
        except OSError as error:
            self._add(name, "", _unreadable(error))
            return None
        return size, found.hexdigest()

    def place(self, manifest: Manifest) -> None:
        if _name(self._path) != path_part(manifest.session_id):
            self._add("", "", f"the folder of this session is called {path_part(manifest.session_id)}")

    def metadata(self) -> Metadata | None:
        try:
            metadata = msgspec.json.decode(self._bytes(METADATA), type=Metadata)
        except FileNotFoundError:
            return None  # Told before.
        except OSError as error:
            self._add(METADATA, "", _unreadable(error))
            return None
        except _NOT_READABLE as error:
            self._add(METADATA, "", f"it is not what a bundle has: {error}")
            return None
        if metadata.session_id != self._report.session_id is not None:
            self._add(METADATA, "session_id", "it is another session than the manifest's")
        folder = _name(self._path.replace("\\", "/").rstrip("/").rpartition("/")[0])
        with suppress(ValueError):
            date = date_part(parse_time(metadata.start_time))
            if is_date_part(folder) and folder != date:
                self._add(METADATA, "start_time", f"a session of {date} stands in the folder {folder}")
        return metadata

    def records(self, session_id: str | None, metadata: Metadata | None) -> _Messages:
        """Return what each message is known by; the digest is chained over their hashes in order."""
        may_lack = metadata is not None and metadata.completeness != "complete"
        messages = _Messages()
        digest = sha256((session_id or "").encode()).digest()
        last = 0
        keys: dict[str, int] = {}  # with the first message of each
        for number, text in self._lines(RECORDS):
            try:
                line = msgspec.json.decode(text, type=RecordLine)
                wanted = bytes.fromhex(line.content_hash)
                content = _content(line)
                form = record_form(line)
            except _NOT_READABLE as error:
                self._add(RECORDS, f"line {number}", f"it is not what a bundle has: {error}")
                continue
            if line.seq <= last or (line.seq > last + 1 and not may_lack):
                self._add(RECORDS, f"line {number}", f"message {line.seq} stands where message {last + 1} should")
            if content is not None and sha256(content).digest() != wanted:
                self._add(RECORDS, f"message {line.seq}", "its content does not match its SHA-256")
            if content is not None and len(content) != line.size:
                self._add(RECORDS, f"message {line.seq}", "its content has not the size that it tells")
            keys.setdefault(line.key, line.seq)
            messages.hashes[line.seq] = wanted
            messages.forms[line.seq] = form
            digest = sha256(digest + wanted).digest()
            last = line.seq
        for key, seq in keys.items():
            if metadata is not None and key != metadata.user_id:
                self._add(RECORDS, f"message {seq}", f"its key is not the user that {METADATA} names")
        messages.digest = digest.hex()
        return messages

    def bundle(self, metadata: Metadata | None, messages: _Messages) -> list[bytes]:
        """Check bundle.json; return the forms of its session events."""
        seen = _Seen()
        for number, text in self._lines(BUNDLE):
            name = _member(text)
            try:
                if name is not None:
                    seen.section = name
                    self._head(name, text.partition(b":")[2].rstrip(b","), metadata, seen)
                elif text[:1] == b"{" and seen.section == "timeline":
                    self._entry(number, text.rstrip(b","), messages, seen)
                elif text[:1] == b"{" and seen.section == "session_events":
                    event = text.rstrip(b",")
                    seen.listed.append(event_form(event))
                    seen.told.add(plain_object(event))
            except _NOT_READABLE as error:
                self._add(BUNDLE, f"line {number}", f"it is not what a bundle has: {error}")
        if len(seen.messages) != len(messages.hashes):
            self._add(BUNDLE, "timeline", f"it has {len(seen.messages)} messages, {RECORDS} has {len(messages.hashes)}")
        if metadata is not None and {seen.events, len(seen.listed)} != {metadata.event_count}:
            found = f"the timeline has {seen.events} session events, session_events {len(seen.listed)}"
            self._add(BUNDLE, "", f"{found}, {METADATA} says {metadata.event_count}")
        if seen.proof is None:
            self._add(BUNDLE, "proof", "it is missing")
        else:
            self._proof(seen.proof, messages, seen.told.end)
        self._session(BUNDLE, metadata, messages, seen.told)
        return seen.listed

    def _head(self, name: str, text: bytes, metadata: Metadata | None, seen: _Seen) -> None:
        if name == "proof":
            seen.proof = msgspec.json.decode(text, type=Proof)
        elif name == "metadata" and metadata not in (None, msgspec.json.decode(text, type=Metadata)):
            self._add(BUNDLE, "metadata", f"it is not what {METADATA} says")

    def _entry(self, number: int, text: bytes, messages: _Messages, seen: _Seen) -> None:
        entry, record = msgspec.json.decode(text, type=Entry), msgspec.json.decode(text, type=EntryText).record
        if entry.at < seen.at:
            self._add(BUNDLE, f"line {number}", "it stands before something earlier")
        seen.at = entry.at
        if entry.kind != "message" or entry.seq is None:
            seen.events += 1
            if event_form(record) not in seen.listed[(entry.number or 0) - 1 : entry.number]:
                self._add(BUNDLE, f"line {number}", "it is not the event that stands in session_events")
            return
        where = f"message {entry.seq}"
        if entry.seq in seen.messages:
            self._add(BUNDLE, where, "it stands there twice")
        seen.messages.add(entry.seq)
        if entry.content_hash != messages.hashes.get(entry.seq, b"").hex():
            self._add(BUNDLE, where, f"its SHA-256 is not the one in {RECORDS}")
        elif messages.forms[entry.seq] not in (None, message_form(record, entry.recorded_at)):
            self._add(BUNDLE, where, f"its record is not the one in {RECORDS}")

    def _proof(self, proof: Proof, messages: _Messages, end: Mapping[str, object]) -> None:
        if (proof.held_count, proof.held_digest) != (len(messages.hashes), messages.digest):
            self._add(BUNDLE, "proof", f"count or digest are not those of the messages in {RECORDS}")
        if (proof.expected_count, proof.expected_digest) != (end.get("message_count"), end.get("digest")):
            self._add(BUNDLE, "proof", "count or digest are not those that the session's end tells of")
        if proof.status != (status := _status(messages, end)):
            self._add(BUNDLE, "proof", f"it says {proof.status}, but the session is {status}")

    def _session(self, name: str, metadata: Metadata | None, messages: _Messages, told: Told) -> None:
        """Check the metadata against the session events in the file `name`."""
        if metadata is None:
            return
        for fact, value in told.facts().items():
            if getattr(metadata, fact) != value:
                self._add(METADATA, fact, f"it is not what the session events in {name} say")
        if metadata.completeness != (status := _status(messages, told.end)):
            self._add(METADATA, "completeness", f"it says {metadata.completeness}, but the session is {status}")

    def audit(self, metadata: Metadata | None, messages: _Messages, events: list[bytes] | None) -> None:
        """Check timeline.jsonl; `events` are those of bundle.json, if there is one."""
        told, found = Told(), 0
        count = len(messages.forms)
        listed = iter(messages.forms.items())
        for number, text in self._lines(AUDIT):
            try:
                line, record = (
                    msgspec.json.decode(text, type=AuditLine),
                    msgspec.json.decode(text, type=AuditText).event,
                )
                if line.event.get("source") == "session_manager" and "kind" in line.event:
                    found += 1
                    told.add(line.event)
                    if events is not None and event_form(record) not in events[found - 1 : found]:
                        self._add(AUDIT, f"line {number}", f"it is not the event that {BUNDLE} has")
                    continue
                count -= 1
                seq, form = next(listed, (0, None))
                if form not in (None, message_form(record, line.recorded_at)):
                    self._add(AUDIT, f"line {number}", f"it is not message {seq} of {RECORDS}")
            except _NOT_READABLE as error:
                self._add(AUDIT, f"line {number}", f"it is not what a bundle has: {error}")
        if count:
            has = len(messages.forms)
            self._add(AUDIT, "", f"it has {has - count} messages, {RECORDS} has {has}")
        if metadata is not None and metadata.event_count != found:
            self._add(AUDIT, "", f"it has {found} session events, {METADATA} says {metadata.event_count}")
        self._session(AUDIT, metadata, messages, told)

    def _lines(self, name: str) -> Iterator[tuple[int, bytes]]:
        try:
            with self._open(name) as file:
                for number, line in enumerate(file, 1):
                    yield number, line.rstrip(b"\n")
        except FileNotFoundError:
            return  # Told before.
        except OSError as error:
            self._add(name, "", _unreadable(error))

    def _bytes(self, name: str) -> bytes:
        with self._open(name) as file:
            return file.read()

    def _open(self, name: str) -> BinaryIO:
        if name not in self._there - self._odd:
            raise FileNotFoundError(name)
        opened: BinaryIO = self._files.open(f"{self._path}/{name}", "rb")
        return opened


def _content(line: RecordLine) -> bytes | None:
    """Return a message as it came; None when its content is withheld."""
    if line.text is not None:
        return line.text.encode()
    if line.base64 is not None:
        return base64.b64decode(line.base64, validate=True)
    if line.withheld is None:
        raise ValueError("it has neither content nor a reason for having none")
    return None


def _status(messages: _Messages, end: Mapping[str, object]) -> str:
    if not end:
        return "open"
    whole = (len(messages.hashes), messages.digest) == (end.get("message_count"), end.get("digest"))
    return "complete" if whole else "partial"


def _member(text: bytes) -> str | None:
    """Return the name of the member of bundle.json that begins in this line."""
    if text[:1] != b'"':
        return None
    return text[1:].partition(b'"')[0].decode("utf-8", "replace")
