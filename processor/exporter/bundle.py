"""Writes a session as a bundle: a folder of files for people, programs and auditors (docs/bundles.md).

The files follow from the session alone, so writing twice gives the same bytes; when and by what they were written
stands in the manifest only. A bundle appears whole or not at all: on a file system it is written under another name and
renamed; elsewhere its manifest is written last, and a folder without one is no bundle.
"""

import base64
import csv
import fcntl
import heapq
import io
import json
import re
import secrets
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from enum import Enum
from functools import cache
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final, NamedTuple, Self

import fsspec
import msgspec
from fsspec.implementations.local import LocalFileSystem

from processor.codec import Codec
from processor.codec.events import EventView, from_json
from processor.codec.isotime import format_time
from processor.codec.wire import JSON
from processor.core.errors import Fatal
from processor.exporter import manifest as manifests
from processor.exporter.model import EventRow, MessageRow, SessionRow, SessionView
from processor.exporter.paths import bundle_path
from processor.exporter.shapes import (
    FORMAT,
    AuditLine,
    Context,
    Entry,
    File,
    Manifest,
    Metadata,
    Note,
    Proof,
    RecordLine,
    Step,
    Summary,
)
from processor.exporter.timeline import Spool, details_of, event_line, message_line, page

METADATA: Final = "session_metadata.json"
BUNDLE: Final = "bundle.json"
AUDIT: Final = "timeline.jsonl"
PAGE: Final = "timeline.html"
TABLE: Final = "messages.csv"
RECORDS: Final = "records.jsonl"
TEMPORARY: Final = ".tmp"  # below the root, so on its file system: what is being written or replaced
_MARK: Final = "=."  # No name of a session's folder holds it.
_OLD: Final = ".old"
_LOCK: Final = "lock-"
_BUFFER_BYTES: Final = 1 << 17
_EVENTS_HELD_MAX: Final = 1_000
_DONE: Final = frozenset({None, "done", "complete", "completed", "finished", "ok", "success", "succeeded"})
_encode: Final = msgspec.json.Encoder().encode


class Format(Enum):
    """What a bundle can hold beside its metadata, its records and its manifest."""

    JSON = "json"
    JSONL = "jsonl"
    HTML = "html"
    CSV = "csv"


ALL_FORMATS: Final = frozenset(Format)


class Outcome(Enum):
    """What `write_bundle` did."""

    WRITTEN = "written"
    REPLACED = "replaced"  # one with other content was there
    UNCHANGED = "unchanged"  # the same content was there and stays as it is


class Written(NamedTuple):
    """Where a bundle lies now."""

    path: str
    outcome: Outcome
    size_bytes: int
    messages: int


class Target:
    """Where bundles go: a folder, or what else fsspec reaches (`s3://…`, `memory://…`)."""

    def __init__(self, root: str) -> None:
        """Use `root`, a path or an fsspec URL.

        Raises:
            Fatal: nothing installed reaches it.
        """
        try:
            self.files, path = fsspec.core.url_to_fs(root)
        except (ImportError, ValueError) as error:
            raise Fatal(f"{root} cannot be reached: {error}", remedy="install its fsspec package") from error
        self.root = str(path).rstrip("/") or "/"
        self.is_local = isinstance(self.files, LocalFileSystem)

    def path(self, below: str) -> str:
        """Return the path of `below` the root."""
        return f"{self.root.rstrip('/')}/{below}"


def write_bundle(
    target: Target,
    view: SessionView,
    codec: Codec,
    *,
    now_ms: int,
    formats: frozenset[Format] = ALL_FORMATS,
) -> Written:
    """Write the session in `view` below `target`, unless the same is there already.

    Args:
        now_ms: the time of writing, for the manifest alone.
        formats: what to write; what every bundle has is always there.

    Raises:
        OSError: the target cannot be written (full, read-only, away); what was there before is there still.
        DecodeError, RegistryUnavailable: as `Codec.decode_tagged`.
    """
    session = view.session
    below = bundle_path(session.session_id, session.start_ms)
    final = target.path(below)
    with ExitStack() as stack:
        folder = _place_to_write(target, final, stack)
        files = _write_files(folder, view, codec, formats)
        manifest = manifests.make(
            session.session_id,
            files,
            written_at=format_time(now_ms),
            written_by=_writer(),
        )
        size = sum(file.size for file in files)
        there = _manifest_there(target, final)
        if there is not None and manifests.same_content(there, manifest):
            return Written(final, Outcome.UNCHANGED, size, session.held_count)
        text = manifests.render(manifest)
        (folder / manifests.NAME).write_bytes(text)
        replaced = _rename(folder, Path(final)) if target.is_local else _upload(target, folder, final, manifest.files)
    return Written(final, Outcome.REPLACED if replaced else Outcome.WRITTEN, size + len(text), session.held_count)


@cache
def _writer() -> str:
    return f"a3cp-session-manager {version('a3cp-session-manager')}"


def metadata_of(view: SessionView) -> Metadata:
    """Return what session_metadata.json says of a session."""
    return _metadata(view.session, _Told(view))


def remove_bundle(target: Target, session_id: str, start_ms: int) -> bool:
    """Remove the session's bundle and what an interrupted run left of it; return whether there was any."""
    final = target.path(bundle_path(session_id, start_ms))
    if target.is_local and Path(target.root).is_dir():
        beside = Path(target.path(TEMPORARY))
        with _locked(beside, Path(final)):
            _sweep(beside, Path(final))
    if not target.files.exists(final):
        return False
    with suppress(FileNotFoundError):
        target.files.rm_file(f"{final}/{manifests.NAME}")  # First: from here on it is no bundle.
    target.files.rm(final, recursive=True)
    return True


# --- getting it to its place ------------------------------------------------------------------------------------------


def _place_to_write(target: Target, final: str, stack: ExitStack) -> Path:
    if not target.is_local:
        return Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="a3cp-bundle-")))
    place, beside = Path(final), Path(target.path(TEMPORARY))
    stack.enter_context(_locked(beside, place))
    _sweep(beside, place)
    folder = beside / f"{place.name}{_MARK}{secrets.token_hex(4)}"
    stack.callback(shutil.rmtree, folder, ignore_errors=True)
    folder.mkdir()
    return folder


@contextmanager
def _locked(beside: Path, place: Path) -> Iterator[None]:
    """Hold off other exporters from `place`; a lock goes with its process, however that ends."""
    beside.mkdir(parents=True, exist_ok=True)
    number = sha256(place.name.encode()).hexdigest()[0]  # Few files, and rarely two who wait for one.
    with (beside / f"{_LOCK}{number}").open("ab") as file:
        with suppress(OSError):  # A file system without locks: then one exporter at a time is the operator's to see to.
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _sweep(beside: Path, place: Path) -> None:
    """Remove what a run that was killed has left; a bundle that it was about to replace comes back first."""
    left = list(beside.glob(f"{place.name}{_MARK}*")) if beside.is_dir() else []
    for path in left:
        if path.name.endswith(_OLD) and not place.exists():
            path.rename(place)
        else:
            shutil.rmtree(path, ignore_errors=True)


def _rename(folder: Path, place: Path) -> bool:
    place.parent.mkdir(parents=True, exist_ok=True)
    replaced = place.exists()
    if replaced:
        old = folder.with_name(folder.name + _OLD)
        place.rename(old)
        try:
            folder.rename(place)
        except OSError:
            old.rename(place)
            raise
        shutil.rmtree(old, ignore_errors=True)
    else:
        folder.rename(place)
    return replaced


def _upload(target: Target, folder: Path, final: str, files: Iterable[File]) -> bool:
    replaced = bool(target.files.exists(f"{final}/{manifests.NAME}"))
    if replaced:
        target.files.rm(final, recursive=True)
    target.files.makedirs(final, exist_ok=True)
    for name in (*(file.name for file in files), manifests.NAME):
        target.files.put_file(str(folder / name), f"{final}/{name}")
    return replaced


def _manifest_there(target: Target, final: str) -> Manifest | None:
    """Return the manifest of the bundle that is at `final`, if it has one whose files are there in their size."""
    try:
        manifest = manifests.read(target.files.cat_file(f"{final}/{manifests.NAME}"))
        whole = all(target.files.size(f"{final}/{file.name}") == file.size for file in manifest.files)
    except (OSError, manifests.NotAManifest):
        return None
    return manifest if whole else None


# --- the files --------------------------------------------------------------------------------------------------------


class _Sink:
    """A file that knows its size and hash; it writes and hashes much at a time."""

    def __init__(self, folder: Path, name: str) -> None:
        self.name = name
        self._file = (folder / name).open("wb", buffering=0)
        self._hash = sha256()
        self._size = self._waiting = 0
        self._parts: list[bytes] = []

    def write(self, text: bytes) -> None:
        self._parts.append(text)
        self._waiting += len(text)
        if self._waiting >= _BUFFER_BYTES:
            self._flush()

    def close(self) -> File:
        self._flush()
        self._file.close()
        return File(self.name, self._size, self._hash.hexdigest())

    def _flush(self) -> None:
        data = memoryview(b"".join(self._parts))
        self._hash.update(data)
        self._size += len(data)
        while data:
            data = data[self._file.write(data) :]
        self._waiting = 0
        self._parts.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()


def _write_files(folder: Path, view: SessionView, codec: Codec, formats: frozenset[Format]) -> list[File]:
    session = view.session
    with ExitStack() as stack:
        sinks: list[_Sink] = []

        def sink(name: str) -> _Sink:
            made = stack.enter_context(_Sink(folder, name))
            sinks.append(made)
            return made

        spool = Spool()
        stack.callback(spool.close)
        records = sink(RECORDS)
        table = _Table(sink(TABLE)) if Format.CSV in formats else None
        audit = sink(AUDIT) if Format.JSONL in formats else None

        digest = sha256(session.session_id.encode()).digest()
        for row, number in _in_order_of_log(view):
            if isinstance(row, MessageRow):
                line, content = message_line(row, codec)
                digest = sha256(digest + row.content_hash).digest()
                records.write(_record_line(row, line.entry, content))
                if table is not None:
                    table.write(line.entry)
            else:
                line = event_line(row, number)
            spool.add(line)
            if audit is not None:
                audit.write(_encode(AuditLine(line.entry.recorded_at, line.entry.record)) + b"\n")

        if table is not None:
            table.flush()
        told = _Told(view)
        metadata = _metadata(session, told)
        sink(METADATA).write(msgspec.json.format(_encode(metadata), indent=2) + b"\n")
        if Format.JSON in formats:
            out = sink(BUNDLE)
            for part in _bundle_head(session, metadata, told, digest.hex(), view):
                out.write(part)
            _write_list(out, "timeline", spool)
            out.write(b"\n}\n")
        if Format.HTML in formats:
            out = sink(PAGE)
            for part in page(session, spool):
                out.write(part)
        return [made.close() for made in sinks]


_Placed = tuple[int, int, MessageRow | EventRow, int]


def _in_order_of_log(view: SessionView) -> Iterator[tuple[MessageRow | EventRow, int]]:
    """Yield messages and events, each with its number among its kind, as the log took them.

    Two topics have no common order but time; of what one transaction wrote, a start goes before its message and
    anything else behind.
    """
    messages: Iterator[_Placed] = ((row.append_ms, 1, row, number) for number, row in enumerate(view.messages(), 1))
    events: Iterator[_Placed] = (
        (row.append_ms, 0 if row.kind in ("started", "reopened", "resumed") else 2, row, number)
        for number, row in enumerate(view.events(), 1)
    )
    for _, _, row, number in heapq.merge(messages, events, key=lambda item: (item[0], item[1])):
        yield row, number


def _record_line(row: MessageRow, entry: Entry, content: bytes | None) -> bytes:
    assert row.seq is not None
    line = RecordLine(
        row.seq,
        f"{row.partition}@{row.offset}",
        entry.recorded_at,
        row.user_id,
        row.content_hash.hex(),
        row.size_bytes,
    )
    if content is None:
        line.withheld = str(entry.record["withheld"])
    elif row.encoding == JSON:
        line.text = content.decode()
    else:
        line.base64 = base64.b64encode(content).decode()
    return _encode(line) + b"\n"


# --- messages.csv -----------------------------------------------------------------------------------------------------

_OUR_COLUMNS: Final = ("seq", "at", "recorded_at", "actor", "notices", "content_hash", "words", "fields")
_THEIR_COLUMNS: Final = (
    "source", "modality", "performer_id", "event", "capture_id", "record_id", "output_phrase", "final_decision",
    "label_status", "label_correction", "transcript", "consent_given", "is_demo",
)  # fmt: skip
_FORMULA: Final = re.compile(r"\s*[=+\-@|%\t\r\n\uff1d\uff0b\uff0d\uff20]").match


def defused(value: object) -> str:
    """Return `value` as text that no spreadsheet takes for a formula: an apostrophe goes before what might be one."""
    if isinstance(value, str):
        text = value
        if text[:1].isalnum() and "\0" not in text:  # The common case.
            return text
    elif value is None:
        return ""
    elif isinstance(value, bool):
        return "true" if value else "false"
    elif isinstance(value, int | float):
        return str(value)
    else:
        text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    text = text.replace("\0", "\ufffd")
    return f"'{text}" if _FORMULA(text) else text


class _Table:
    def __init__(self, out: _Sink) -> None:
        self._out = out
        self._text = io.StringIO()
        self._rows = csv.writer(self._text, quoting=csv.QUOTE_MINIMAL, lineterminator="\r\n")
        out.write(b"\xef\xbb\xbf")  # So that spreadsheets read UTF-8.
        self._put((*_OUR_COLUMNS, *_THEIR_COLUMNS))

    def write(self, entry: Entry) -> None:
        record = entry.record
        ours = (
            str(entry.seq), entry.at, entry.recorded_at, entry.actor, " ".join(entry.notices), entry.content_hash or "",
            defused(entry.words), _encode(record).decode(),
        )  # fmt: skip
        self._put((*ours, *(defused(record[name]) if name in record else "" for name in _THEIR_COLUMNS)))

    def _put(self, cells: Iterable[str]) -> None:
        self._rows.writerow(cells)
        if self._text.tell() >= _BUFFER_BYTES:
            self.flush()

    def flush(self) -> None:
        """Hand what was written so far to the file."""
        self._out.write(self._text.getvalue().encode("utf-8", "replace"))
        self._text.seek(0)
        self._text.truncate()


# --- session_metadata.json and bundle.json ----------------------------------------------------------------------------


class _Told:
    """What people told about the session, from its events: read each time when there are many."""

    def __init__(self, view: SessionView) -> None:
        self._rows = view.events
        self._held: list[EventView] | None = None
        if view.session.event_count <= _EVENTS_HELD_MAX:
            self._held = list(self.events())

    def events(self) -> Iterable[EventView]:
        if self._held is not None:
            return self._held
        return (from_json(row.value) for row in self._rows())

    def notes(self) -> Iterator[Note]:
        for event in self.events():
            if event.session_notes and event.kind in ("started", "note"):
                yield Note(format_time(event.timestamp), event.performer_id, event.session_notes)

    def contexts(self) -> Iterator[Context]:
        for event in self.events():
            if event.kind in ("context", "status"):
                details = details_of(event)
                told = details.get("context") if event.kind == "context" else {"status": details.get("status")}
                yield Context(format_time(event.timestamp), event.performer_id, told)

    def steps(self) -> Iterator[Step]:
        for event in self.events():
            step = details_of(event).get("step") if event.kind == "step" else None
            if isinstance(step, dict) and isinstance(step.get("name"), str):
                status, duration = step.get("status"), step.get("duration_ms")
                yield Step(
                    format_time(event.timestamp),
                    event.performer_id,
                    step["name"],
                    status if isinstance(status, str) else None,
                    duration if isinstance(duration, int | float) and not isinstance(duration, bool) else None,
                    step.get("data"),
                )


def _metadata(session: SessionRow, told: _Told) -> Metadata:
    completed: dict[str, None] = {}
    timing: dict[str, int] = {"duration_ms": session.duration_ms, "paused_ms": session.paused_ms}
    if session.active_ms is not None:
        timing["active_ms"] = session.active_ms
    data: dict[str, Any] = {}
    for step in told.steps():
        if step.status in _DONE:
            completed[step.name] = None
        if step.duration_ms is not None:
            name = f"{re.sub(r'[^a-z0-9]+', '_', step.name.lower()).strip('_') or 'step'}_ms"
            timing[name] = timing.get(name, 0) + round(step.duration_ms)
        if step.data is not None:
            data[step.name] = step.data
    for context in told.contexts():
        if isinstance(context.context, dict):
            data.update(context.context)
    return Metadata(
        format=FORMAT,
        session_id=session.session_id,
        created_at=format_time(session.start_ms),
        status=_status(session),
        user_id=session.user_id,
        audit_path=AUDIT,
        steps_completed=list(completed),
        timing=timing,
        data=data,
        start_time=format_time(session.start_ms),
        end_time=None if session.end_ms is None else format_time(session.end_ms),
        last_activity=format_time(session.last_ms),
        start_reason=session.start_reason,
        end_reason=session.reason,
        performer_id=session.performer_id,
        previous_session_id=session.previous_session_id,
        template=session.template,
        is_training_data=session.is_training_data,
        training_intent_label=session.training_intent_label,
        session_notes=session.session_notes,
        flags=list(session.flags),
        message_count=session.held_count,
        event_count=session.event_count,
        completeness=session.status.value,
    )


def _status(session: SessionRow) -> Any:  # One of the three words of `Metadata.status`.
    return "closed" if session.state == "ended" else session.state


def _summary(session: SessionRow) -> Summary:
    summary = session.summary
    return Summary(
        duration_ms=session.duration_ms,
        active_ms=session.active_ms,
        paused_ms=session.paused_ms,
        messages=session.held_count,
        events=session.event_count,
        actors=dict(sorted(summary.actors.items())),
        sources=dict(sorted(summary.sources.items())),
        modalities=dict(sorted(summary.modalities.items())),
        flags=dict(sorted(summary.notices.items())),
        abort_codes=dict(sorted(summary.abort_codes.items())),
        feedback=dict(sorted(summary.feedback.items())),
        escalations=summary.escalations,
        captures=summary.captures,
        average_confidence=None if summary.confidence is None else round(summary.confidence, 6),
        consented=summary.consented,
    )


def _bundle_head(
    session: SessionRow, metadata: Metadata, told: _Told, digest: str, view: SessionView
) -> Iterator[bytes]:
    proof = Proof(
        session.status.value,
        session.expected_count,
        session.expected_digest,
        session.held_count,
        digest,
        session.revision,
    )
    yield b'{\n"format":%b' % _encode(FORMAT)
    for name, value in (("metadata", metadata), ("summary", _summary(session)), ("proof", proof)):
        yield b',\n"%b":%b' % (name.encode(), _encode(value))
    for name, items in (("notes", told.notes()), ("context", told.contexts()), ("steps", told.steps())):
        yield from _list(name, map(_encode, items))
    yield from _list("session_events", (msgspec.json.format(row.value, indent=-1) for row in view.events()))


def _list(name: str, items: Iterable[bytes]) -> Iterator[bytes]:
    yield b',\n"%b":[' % name.encode()
    between = b"\n"
    for item in items:
        yield between + item
        between = b",\n"
    yield b"\n]"


def _write_list(out: _Sink, name: str, items: Iterable[bytes]) -> None:
    for part in _list(name, items):
        out.write(part)
