"""The data set for training: Parquet, one folder a UTC date, typed columns, zstd.

    <root>/messages/date=YYYY-MM-DD/messages.parquet   one row a message
    <root>/captures/date=YYYY-MM-DD/captures.parquet   one row a recording, joined by capture_id

Both can be filtered on is_training_data, consent_given and is_demo. The files of a date follow from its sessions alone.
"""

import secrets
import shutil
import tempfile
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from processor.codec import Codec
from processor.sessions.forms.shapes import Entry
from processor.sessions.forms.timeline import message_line
from processor.sessions.model import MessageRow, SessionRow, SessionView
from processor.targets.paths import is_date_part
from processor.targets.target import Target
from processor.upstream.words import number, top_label

ROWS_AT_ONCE: Final = 10_000  # in memory, and in a row group, at most
BYTES_AT_ONCE: Final = 16 << 20  # in memory, and in a row group, at most: of messages as they came

_TEXT: Final = pa.string()
_WORD: Final = pa.dictionary(pa.int32(), pa.string())  # Few different texts in many rows.
_TIME: Final = pa.timestamp("ms", tz="UTC")
_SCORES: Final = pa.map_(pa.string(), pa.float64())

_SESSION: Final = (
    ("session_id", _TEXT),
    ("user_id", _TEXT),
    ("is_training_data", pa.bool_()),
    ("training_intent_label", _TEXT),
    ("completeness", _WORD),
)
_FEATURES: Final = (
    ("features_uri", _TEXT),
    ("features_hash", _TEXT),
    ("features_encoding", _WORD),
    ("features_shape", pa.list_(pa.int64())),
    ("features_dtype", _WORD),
    ("features_format", _WORD),
)
_SAID: Final = (  # A capture has the latest that its messages say.
    ("annotation_intent", _TEXT),
    ("classifier_label", _TEXT),
    ("classifier_confidence", pa.float64()),
    ("classifier_scores", _SCORES),
    ("model_version", _WORD),
    *_FEATURES,
    ("predicted_label", _TEXT),
    ("final_label", _TEXT),
)
_ALLOWED: Final = (("consent_given", pa.bool_()), ("is_demo", pa.bool_()))
MESSAGES: Final = pa.schema(
    [
        *_SESSION,
        ("seq", pa.int64()),
        ("timestamp", _TIME),
        ("appended_at", _TIME),
        ("record_id", _TEXT),
        ("capture_id", _TEXT),
        ("source", _WORD),
        ("modality", _WORD),
        ("expressed_by", _WORD),
        ("performer_id", _TEXT),
        ("event", _WORD),
        *_ALLOWED,
        *_SAID,
        ("final_decision", _TEXT),
        ("intent_label", _TEXT),
        ("label_status", _WORD),
        ("label_correction", _TEXT),
        ("partner_action", _WORD),
        ("output_phrase", _TEXT),
        ("transcript", _TEXT),
        ("flags", pa.list_(_TEXT)),
        ("content_hash", pa.binary(32)),
        ("fields", _TEXT),
    ]
)
CAPTURES: Final = pa.schema(
    [
        *_SESSION,
        ("capture_id", _TEXT),
        ("opened_at", _TIME),
        ("closed_at", _TIME),
        ("frames", pa.int64()),
        ("aborted", _TEXT),
        *_ALLOWED,
        *_SAID,
        ("partner_action", _WORD),
        ("messages", pa.int64()),
        ("first_seq", pa.int64()),
    ]
)


class WrittenDate(NamedTuple):
    """The data set of one date."""

    date: str
    messages: int
    captures: int


def write_date(target: Target, date: str, views: Iterable[SessionView], codec: Codec) -> WrittenDate:
    """Write the sessions in `views`, all those that started on the UTC `date`, in place of what was there.

    Raises:
        OSError: the target cannot be written; what was there before is there still.
        DecodeError, RegistryUnavailable: as `Codec.untag`.
    """
    assert is_date_part(date)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="a3cp-dataset-")))
        messages, captures = (
            _Writer(folder / "messages.parquet", MESSAGES),
            _Writer(folder / "captures.parquet", CAPTURES),
        )
        stack.callback(messages.close)
        stack.callback(captures.close)
        for view in views:
            told = _session_columns(view.session)
            joined: dict[str, Capture] = {}
            for row in view.messages():
                entry = message_line(row, codec)[0].entry
                columns = _message_columns(row, entry)
                messages.add({**told, **columns}, row.size_bytes)
                if row.capture_id:
                    joined.setdefault(row.capture_id, Capture(row.capture_id)).take(row, entry.record, columns)
            for capture in joined.values():
                captures.add({**told, **capture.columns()})
        counts = messages.close(), captures.close()
        for name in ("messages", "captures"):
            _put(target, folder / f"{name}.parquet", f"{name}/date={date}/{name}.parquet")
    return WrittenDate(date, *counts)


def _put(target: Target, file: Path, below: str) -> None:
    path = target.path(below)
    if not target.is_local:
        target.files.makedirs(path.rpartition("/")[0], exist_ok=True)
        target.files.put_file(str(file), path)
        return
    place = Path(path)
    place.parent.mkdir(parents=True, exist_ok=True)
    for left in place.parent.glob(f".{place.name}.*"):  # By a run that was killed; one that still writes tries again.
        left.unlink(missing_ok=True)
    beside = place.with_name(f".{place.name}.{secrets.token_hex(4)}")  # On its file system, a rename is one step.
    try:
        shutil.copyfile(file, beside)
        beside.replace(place)
    finally:
        beside.unlink(missing_ok=True)


class _Writer:
    """A Parquet file that takes rows one by one."""

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        self._file: Any = pq.ParquetWriter(path, schema, compression="zstd")
        self._schema = schema
        self._rows: list[Mapping[str, Any]] = []
        self._size = 0
        self._count = 0

    def add(self, row: Mapping[str, Any], size_bytes: int = 0) -> None:
        self._rows.append(row)
        self._size += size_bytes
        if len(self._rows) >= ROWS_AT_ONCE or self._size >= BYTES_AT_ONCE:
            self._flush()

    def close(self) -> int:
        self._flush()
        self._file.close()
        return self._count

    def _flush(self) -> None:
        if self._rows:
            self._file.write_table(pa.Table.from_pylist(self._rows, self._schema))
            self._count += len(self._rows)
            self._rows = []
            self._size = 0


def _session_columns(session: SessionRow) -> dict[str, Any]:
    return {
        "session_id": session.session_id,
        "user_id": session.user_id,
        "is_training_data": session.is_training_data is True,
        "training_intent_label": session.training_intent_label,
        "completeness": session.status.value,
    }


def _message_columns(row: MessageRow, entry: Entry) -> dict[str, Any]:
    record = entry.record
    output = record.get("classifier_output", record.get("intent_predictions"))
    label = top_label(output)
    return {
        "seq": row.seq,
        "timestamp": row.timestamp_ms,
        "appended_at": row.append_ms,
        "record_id": row.record_id or None,
        "capture_id": row.capture_id,
        "source": row.source,
        "modality": row.modality,
        "expressed_by": row.expressed_by,
        "performer_id": row.performer_id,
        "consent_given": _truth(record, "consent_given"),
        "is_demo": _truth(record, "is_demo"),
        "annotation_intent": _text(record.get("annotation"), "intent"),
        "classifier_label": label[0] if label else None,
        "classifier_confidence": label[1] if label else None,
        "classifier_scores": _scores(output),
        **_features(record.get("raw_features_ref")),
        **{name: _text(record, name) for name in _OWN_TEXTS},
        "flags": entry.notices,
        "content_hash": row.content_hash,
        "fields": msgspec.json.encode(record).decode(),
    }


_OWN_TEXTS: Final = (
    "event", "model_version", "predicted_label", "final_label", "final_decision", "intent_label", "label_status",
    "label_correction", "partner_action", "output_phrase", "transcript",
)  # fmt: skip


@dataclass(slots=True)
class Capture:
    """What the messages of one recording say together. Where several say something, the latest counts."""

    capture_id: str
    said: dict[str, Any] = field(default_factory=dict)
    consents: set[bool] = field(default_factory=set)
    demo: bool | None = None
    opened_ms: int | None = None
    closed_ms: int | None = None
    frames: int = 0
    aborted: str | None = None
    messages: int = 0
    first_seq: int | None = None

    def take(self, row: MessageRow, record: Mapping[str, Any], columns: Mapping[str, Any]) -> None:
        """Add what one message says."""
        self.messages += 1
        self.first_seq = self.first_seq or row.seq
        self.said.update({name: columns[name] for name in _JOINED if columns[name] is not None})
        if (consent := columns["consent_given"]) is not None:
            self.consents.add(consent)
        if columns["is_demo"] is not None:
            self.demo = bool(self.demo or columns["is_demo"])
        match record.get("event"):
            case "capture.open":
                self.opened_ms = row.timestamp_ms
            case "capture.close":
                self.closed_ms = row.timestamp_ms
            case "capture.frame_meta":
                self.frames += 1
            case "capture.abort":
                self.aborted = _text(record, "error_code") or "unknown"

    def columns(self) -> dict[str, Any]:
        """Return the capture as a row: consent only where somebody gave it and nobody refused."""
        return {
            "capture_id": self.capture_id,
            "opened_at": self.opened_ms,
            "closed_at": self.closed_ms,
            "frames": self.frames,
            "aborted": self.aborted,
            "consent_given": None if not self.consents else self.consents == {True},
            "is_demo": self.demo,
            "messages": self.messages,
            "first_seq": self.first_seq,
            **self.said,
        }


_JOINED: Final = (*(name for name, _ in _SAID), "partner_action")


def _truth(record: Mapping[str, Any], name: str) -> bool | None:
    value = record.get(name)
    return value if isinstance(value, bool) else None


def _text(record: Any, name: str) -> str | None:
    value = record.get(name) if isinstance(record, Mapping) else None
    return value if isinstance(value, str) else None


def _scores(output: Any) -> list[tuple[str, float]] | None:
    if isinstance(output, Mapping):
        scores = [(str(label), score) for label, share in output.items() if (score := number(share)) is not None]
        return scores or None
    if isinstance(output, list):
        ranked = (top_label([item]) for item in output)
        return [(found[0], found[1]) for found in ranked if found and found[1] is not None] or None
    return None


def _features(reference: Any) -> dict[str, Any]:
    shape = reference.get("shape") if isinstance(reference, Mapping) else None
    is_shape = isinstance(shape, list) and all(type(size) is int and abs(size) < 1 << 63 for size in shape)
    return {
        "features_shape": shape if is_shape else None,
        **{f"features_{name}": _text(reference, name) for name in ("uri", "hash", "encoding", "dtype", "format")},
    }
