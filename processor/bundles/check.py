"""Checks the files of one bundle: their bytes against the manifest, then what they say against each other.

The manifest shows any byte that changed. Whoever writes a new manifest must make the files agree, too (agreement.py).
And the session's end event has a digest that is chained over the messages as they came (rule R12). Only a new end event
could hide a change there, and the log would not have that event.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Final, TypeAlias

import msgspec

from processor.bundles import manifest as manifests
from processor.bundles import signatures
from processor.bundles.agreement import AuditText, Boundaries, EntryText, event_form, message_form, record_form
from processor.bundles.reading import METADATA_BYTES_MAX, NOT_READABLE, content_of, lines, members
from processor.codec.isotime import parse_time
from processor.codec.jsonvalue import plain_object
from processor.sessions.forms.shapes import AuditLine, Entry, Manifest, Metadata, Proof, RecordLine
from processor.targets.paths import (
    AUDIT,
    BUNDLE,
    METADATA,
    PAGE,
    RECORDS,
    TABLE,
    TIMELINE,
    date_part,
    is_date_part,
    path_part,
)
from processor.targets.target import Target
from processor.upstream.notices import Notice, notice_words
from processor.upstream.words.counting import counted

_CHUNK_BYTES: Final = 1 << 20
_NEEDED: Final = (METADATA, RECORDS)
OPENED_TWICE: Final = notice_words(Notice.OPENED_TWICE)[0]
_KNOWN: Final = frozenset((METADATA, RECORDS, BUNDLE, AUDIT, PAGE, TABLE, TIMELINE))


_Key: TypeAlias = int | tuple[int, str]


@dataclass(slots=True)
class Messages:
    """The messages of records.jsonl by their keys, in order of the file."""

    hashes: dict[_Key, bytes] = field(default_factory=dict)  # of their content
    forms: dict[_Key, bytes | None] = field(default_factory=dict)  # see `record_form`
    digest: str = ""  # chained over the hashes

    def key(self, seq: int, recorded_at: str) -> _Key:
        """Return the key of a message: its `seq`, with its time if it is not the first of that `seq`."""
        return key if (key := (seq, recorded_at)) in self.hashes else seq


@dataclass(slots=True)
class _Seen:
    """What was read of bundle.json so far."""

    at: str = ""  # of the latest entry
    messages: set[_Key] = field(default_factory=set)
    events: int = 0  # in the timeline
    listed: list[bytes] = field(default_factory=list)  # the forms of the session events
    proof: Proof | None = None
    told: Boundaries = field(default_factory=Boundaries)


class BundleCheck:
    """Checks the bundle at `path`. Each method checks one side; call them in the order of the file."""

    def __init__(self, target: Target, path: str, add: Callable[[str, str, str], None]) -> None:
        """List the files. `add` takes each problem: the file, the place in it, what is wrong.

        Raises:
            OSError: the folder cannot be read.
        """
        self._target = target
        self._path = path
        self._add = add
        sizes = {name_of(found["name"]): found.get("size") for found in target.files.ls(path, detail=True)}
        self._there, self._sizes = sizes.keys(), sizes
        self._odd = {name for name in self._there if target.is_local and not _is_plain(Path(path, name))}
        for name in sorted(self._odd):  # What a link leads to may be another tomorrow.
            add(name, "", "it is a link, a folder or the like: a bundle has files of its own only")

    def has(self, name: str) -> bool:
        """Return whether there is a plain file `name`. (To read a pipe would never end.)"""
        return name in self._there - self._odd

    def manifest(self) -> Manifest | None:
        """Return the manifest. Returns None if it cannot be read."""
        try:
            return manifests.read(self.manifest_bytes())
        except FileNotFoundError:
            if manifests.NAME not in self._odd:
                self._add(manifests.NAME, "", "it is missing: the bundle was not finished, or somebody removed it")
        except manifests.NotAManifest as error:
            self._add(manifests.NAME, "", str(error))
        except OSError as error:
            self._add(manifests.NAME, "", unreadable(error))
        return None

    def manifest_bytes(self) -> bytes:
        """Return what the manifest's file holds.

        Raises:
            OSError: it cannot be read.
        """
        return self._bytes(manifests.NAME)

    def signature(self, keys: signatures.Checker | None) -> str | None:
        """Check the manifest's signature; without `keys` only its form. Return the id of the key that it names."""
        if not self.has(signatures.NAME):
            if keys is not None and signatures.NAME not in self._odd:
                self._add(signatures.NAME, "", "it is missing: the bundle is not signed")
            return None
        try:
            signature = signatures.read(self._bytes(signatures.NAME))
            is_checked = keys is not None and self.has(manifests.NAME)  # Else that is told.
            fault = keys.fault(signature, self.manifest_bytes()) if keys and is_checked else None
        except signatures.NotASignature as error:
            self._add(signatures.NAME, "", str(error))
            return None
        except OSError as error:  # Of the manifest's it is told already.
            self._add(signatures.NAME, "", unreadable(error))
            return None
        if fault is not None:
            self._add(signatures.NAME, "", fault)
        return signature.key_id

    def files(self, manifest: Manifest) -> None:
        """Check that the listed files are there, no others, with the listed bytes."""
        listed = {file.name: file for file in manifest.files}
        for name in sorted(self._there - self._odd - listed.keys() - {manifests.NAME, signatures.NAME}):
            self._add(name, "", "the manifest does not list it")
        for name in _NEEDED:
            if name not in listed:
                self._add(name, "", "the manifest does not list it, and every bundle has it")
        for name, file in listed.items():
            if name not in _KNOWN:
                self._add(name, "", "no bundle has a file of this name")
            elif name not in self._there:
                self._add(name, "", "it is missing")
            elif name in self._odd:
                continue  # Told before.
            elif (size := self._sizes[name]) not in (file.size, None):  # Not every file system knows it.
                self._add(name, "", f"it has {counted(size, 'byte')}, the manifest says {file.size:,}")
            elif self._hash(name) not in (file.sha256, None):
                self._add(name, "", "its SHA-256 is not the manifest's: its bytes were changed")

    def _hash(self, name: str) -> str | None:
        """Return the SHA-256 of a file. Returns None if it cannot be read, which is told."""
        found = sha256()
        try:
            with self._target.open(f"{self._path}/{name}") as file:
                while chunk := file.read(_CHUNK_BYTES):
                    found.update(chunk)
        except OSError as error:
            self._add(name, "", unreadable(error))
            return None
        return found.hexdigest()

    def place(self, manifest: Manifest) -> None:
        """Check the name of the folder."""
        if name_of(self._path) != path_part(manifest.session_id):
            self._add("", "", f"the folder of this session is called {path_part(manifest.session_id)}")

    def metadata(self, session_id: str | None) -> Metadata | None:
        """Return the metadata. Returns None if they cannot be read. By the manifest they are of `session_id`."""
        try:
            metadata = msgspec.json.decode(self._bytes(METADATA), type=Metadata)
        except FileNotFoundError:
            return None  # Told before.
        except OSError as error:
            self._add(METADATA, "", unreadable(error))
            return None
        except NOT_READABLE as error:
            self._add(METADATA, "", f"it is not what a bundle has: {error}")
            return None
        if metadata.session_id != session_id is not None:
            self._add(METADATA, "session_id", "it is another session than the manifest's")
        folder = name_of(self._path.replace("\\", "/").rstrip("/").rpartition("/")[0])
        with suppress(ValueError):
            date = date_part(parse_time(metadata.start_time))
            if is_date_part(folder) and folder != date:
                self._add(METADATA, "start_time", f"a session of {date} stands in the folder {folder}")
        return metadata

    def records(self, session_id: str | None, metadata: Metadata | None) -> Messages:
        """Check records.jsonl. Return the hashes and forms of its messages."""
        may_lack = metadata is not None and metadata.completeness != "complete"
        may_begin_anew = metadata is not None and OPENED_TWICE in metadata.flags
        messages = Messages()
        digest = sha256((session_id or "").encode()).digest()
        last = 0
        users: dict[str, int] = {}  # with the first message of each
        for number, text in self._lines(RECORDS):
            try:
                line = msgspec.json.decode(text, type=RecordLine)
                wanted = bytes.fromhex(line.content_hash)
                content = content_of(line)
                form = record_form(line)
            except NOT_READABLE as error:
                self._add(RECORDS, f"line {number}", f"it is not what a bundle has: {error}")
                continue
            if line.seq == 1 and may_begin_anew:
                last = 0
            if line.seq <= last or (line.seq > last + 1 and not may_lack):
                self._add(RECORDS, f"line {number}", f"message {line.seq} stands where message {last + 1} should")
            if content is not None and sha256(content).digest() != wanted:
                self._add(RECORDS, f"message {line.seq}", "its content does not match its SHA-256")
            if content is not None and len(content) != line.size:
                self._add(RECORDS, f"message {line.seq}", "its content has not the size that it tells")
            users.setdefault(line.key, line.seq)
            key = line.seq if line.seq not in messages.hashes else (line.seq, line.appended_at)
            messages.hashes[key] = wanted
            messages.forms[key] = form
            digest = sha256(digest + wanted).digest()
            last = line.seq
        for user_id, seq in users.items():
            if metadata is not None and user_id != metadata.user_id:
                self._add(RECORDS, f"message {seq}", f"its key is not the user that {METADATA} names")
        messages.digest = digest.hex()
        return messages

    def bundle(self, metadata: Metadata | None, messages: Messages) -> list[bytes]:
        """Check bundle.json. Return the forms of its session events."""
        seen = _Seen()
        for member, number, text in members(self._lines(BUNDLE)):
            try:
                if member == "proof":
                    seen.proof = msgspec.json.decode(text, type=Proof)
                elif member == "metadata":
                    if metadata not in (None, msgspec.json.decode(text, type=Metadata)):
                        self._add(BUNDLE, "metadata", f"it is not what {METADATA} says")
                elif member == "timeline":
                    self._entry(number, text, messages, seen)
                elif member == "session_events":
                    seen.listed.append(event_form(text))
                    seen.told.add(plain_object(text))
            except NOT_READABLE as error:
                self._add(BUNDLE, f"line {number}", f"it is not what a bundle has: {error}")
        if len(seen.messages) != len(messages.hashes):
            self._add(
                BUNDLE,
                "timeline",
                f"it has {counted(len(seen.messages), 'message')}, {RECORDS} has {len(messages.hashes)}",
            )
        if metadata is not None and {seen.events, len(seen.listed)} != {metadata.event_count}:
            found = f"the timeline has {counted(seen.events, 'session event')}, session_events {len(seen.listed)}"
            self._add(BUNDLE, "", f"{found}, {METADATA} says {metadata.event_count}")
        if seen.proof is None:
            self._add(BUNDLE, "proof", "it is missing")
        else:
            self._proof(seen.proof, messages, seen.told)
        self._session(BUNDLE, metadata, messages, seen.told)
        return seen.listed

    def _entry(self, number: int, text: bytes, messages: Messages, seen: _Seen) -> None:
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
        key = messages.key(entry.seq, entry.recorded_at)
        if key in seen.messages:
            self._add(BUNDLE, where, "it stands there twice")
        seen.messages.add(key)
        if entry.content_hash != messages.hashes.get(key, b"").hex():
            self._add(BUNDLE, where, f"its SHA-256 is not the one in {RECORDS}")
        elif messages.forms[key] not in (None, message_form(record, entry.recorded_at)):
            self._add(BUNDLE, where, f"its record is not the one in {RECORDS}")

    def _proof(self, proof: Proof, messages: Messages, told: Boundaries) -> None:
        if (proof.held_count, proof.held_digest) != (len(messages.hashes), messages.digest):
            self._add(BUNDLE, "proof", f"count or digest are not those of the messages in {RECORDS}")
        end = told.last_end
        if (proof.expected_count, proof.expected_digest) != (end.get("message_count"), end.get("digest")):
            self._add(BUNDLE, "proof", "count or digest are not those that the session's end tells of")
        if proof.status != (status := _status(messages, told.end)):
            self._add(BUNDLE, "proof", f"it says {proof.status}, but the session is {status}")

    def _session(self, name: str, metadata: Metadata | None, messages: Messages, told: Boundaries) -> None:
        """Check the metadata against the session events in the file `name`."""
        if metadata is None:
            return
        for fact, value in told.facts().items():
            if getattr(metadata, fact) != value:
                self._add(METADATA, fact, f"it is not what the session events in {name} say")
        if (OPENED_TWICE in metadata.flags) != (told.starts > 1):
            self._add(METADATA, "flags", f"by {name}, the session started {counted(told.starts, 'time')}")
        if metadata.completeness != (status := _status(messages, told.end)):
            self._add(METADATA, "completeness", f"it says {metadata.completeness}, but the session is {status}")

    def audit(self, metadata: Metadata | None, messages: Messages, events: list[bytes] | None) -> None:
        """Check timeline.jsonl. `events` has the forms of bundle.json's, if there is one."""
        told, found = Boundaries(), 0
        count = len(messages.forms)
        listed = iter(messages.forms.items())
        for number, text in self._lines(AUDIT):
            try:
                line = msgspec.json.decode(text, type=AuditLine)
                record = msgspec.json.decode(text, type=AuditText).event
                if line.event.get("source") == "session_manager" and "kind" in line.event:
                    found += 1
                    told.add(line.event)
                    if events is not None and event_form(record) not in events[found - 1 : found]:
                        self._add(AUDIT, f"line {number}", f"it is not the event that {BUNDLE} has")
                    continue
                count -= 1
                key, form = next(listed, (0, None))
                if form not in (None, message_form(record, line.recorded_at)):
                    seq = key if isinstance(key, int) else key[0]
                    self._add(AUDIT, f"line {number}", f"it is not message {seq} of {RECORDS}")
            except NOT_READABLE as error:
                self._add(AUDIT, f"line {number}", f"it is not what a bundle has: {error}")
        if count:
            has = len(messages.forms)
            self._add(AUDIT, "", f"it has {counted(has - count, 'message')}, {RECORDS} has {has}")
        if metadata is not None and metadata.event_count != found:
            self._add(AUDIT, "", f"it has {counted(found, 'session event')}, {METADATA} says {metadata.event_count}")
        self._session(AUDIT, metadata, messages, told)

    def _lines(self, name: str) -> Iterator[tuple[int, bytes]]:
        try:
            if self.has(name):
                yield from enumerate(lines(self._target, f"{self._path}/{name}"), 1)
        except FileNotFoundError:
            return  # Told before.
        except OSError as error:
            self._add(name, "", unreadable(error))

    def _bytes(self, name: str) -> bytes:
        if not self.has(name):
            raise FileNotFoundError(name)
        return self._target.read(f"{self._path}/{name}", METADATA_BYTES_MAX)


def name_of(path: str) -> str:
    """Return the last part of `path`."""
    return str(path).replace("\\", "/").rstrip("/").rpartition("/")[2]


def unreadable(error: OSError) -> str:
    """Return in words why something cannot be read."""
    return f"it cannot be read: {error.strerror or type(error).__name__}"


def _is_plain(path: Path) -> bool:
    return path.is_file() and not path.is_symlink()


def _status(messages: Messages, end: Mapping[str, object]) -> str:
    if not end:
        return "open"
    whole = (len(messages.hashes), messages.digest) == (end.get("message_count"), end.get("digest"))
    return "complete" if whole else "partial"
