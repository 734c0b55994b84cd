"""Reads a recording with this release, and says what it means: plain values, to be compared with what was meant."""

import json
from base64 import b64decode
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import asdict
from enum import Enum
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec

from processor.bundles.keys import read_public_keys
from processor.bundles.sealed import Seals
from processor.bundles.seals import InLog
from processor.bundles.verify import verify
from processor.codec.codec import Codec
from processor.codec.events import SEALED, to_json
from processor.codec.schema import Schemas
from processor.codec.state import decode_state
from processor.errors import RecordError
from processor.faces.auth.tokens import read_tokens
from processor.in_memory import TOPICS
from processor.kafka.deadletters.letter import letter_of
from processor.outbox.queue import Queue
from processor.runtime.erased import read_mark
from processor.runtime.ports import TopicRecord
from processor.sessions.model import Sums
from processor.sessions.ports import EVERYTHING
from processor.settings.documents import released_schemas
from processor.store import open_store
from processor.targets.target import Target
from tests.strategies import SCHEMA_TEXTS, FakeRegistry
from tests.upgrades.recording import PERSON, profiles_at


def meaning_of(folder: Path) -> Mapping[str, Any]:
    """Return what a recording means. Databases in `folder` may change: give a copy."""
    stored = {"store": store_at(f"sqlite:///{folder / 'store.db'}"), "outbox": _outbox(folder / "outbox.db")}
    return {**_rest(folder), **stored} if is_whole(folder) else stored


def is_whole(folder: Path) -> bool:
    """Return whether a recording has all that is stored, or only databases that were changed before a release."""
    return (folder / "topics.jsonl").exists()


def _rest(folder: Path) -> Mapping[str, Any]:
    codec = codec_of(folder)
    records = list(records_of(folder))
    topics: dict[str, dict[str, Any]] = {topic: {} for topic in TOPICS}
    for record in records:
        topics[record.topic][f"[{record.partition}]@{record.offset}"] = _record(record, codec)
    rest = {
        **topics,
        "bundles": _bundles(folder, SealsOf(records, codec)),
        "profiles": _profiles(folder / "profiles.db"),
        "tokens": {
            one.name: {"role": one.role, "users": sorted(one.users)} for one in read_tokens(folder / "doors.json")
        },
    }
    told: Mapping[str, Any] = plain(rest)
    return told


def codec_of(folder: Path) -> Codec:
    """Return a codec that knows the shipped schemas, those of earlier releases, and the recording's registry."""
    registry = FakeRegistry()
    texts = json.loads((folder / "registry.json").read_text("utf-8"))
    registry.texts = {int(number): text for number, text in texts.items()}
    return Codec(Schemas(SCHEMA_TEXTS, older=released_schemas(), source=registry))


def records_of(folder: Path) -> Iterator[TopicRecord]:
    """Yield the records of the five topics."""

    def content(text: str | None) -> bytes | None:
        return None if text is None else b64decode(text)

    for line in (folder / "topics.jsonl").read_text("ascii").splitlines():
        held = json.loads(line)
        headers = [(name, content(text)) for name, text in held["headers"]]
        places = held["topic"], held["partition"], held["offset"], held["append_ms"]
        yield TopicRecord(*places, content(held["key"]), content(held["value"]), headers)


def _record(record: TopicRecord, codec: Codec) -> Any:
    try:
        return _MEANINGS[record.topic](record, codec)
    except RecordError as error:
        return {"refused": type(error).__name__}


def _raw(record: TopicRecord, codec: Codec) -> Any:
    told = codec.decode(record.value, record.timestamp_ms)
    return {"is": type(told).__name__, **told._asdict()}


def _tagged(record: TopicRecord, codec: Codec) -> Any:
    view, content = codec.untag(record.value or b"")
    return {**view._asdict(), "content_sha256": sha256(content).hexdigest()}


def _event(record: TopicRecord, codec: Codec) -> Any:
    return json.loads(to_json(codec.decode_event(record.value or b"")))


def _state(record: TopicRecord, _: Codec) -> Any:
    key = record.key or b""
    if record.value is not None:
        return decode_state(record.value)
    erased = read_mark(key)
    return {"forgotten": key} if erased is None else {"erased": erased}


def _letter(record: TopicRecord, _: Codec) -> Any:
    return letter_of(record)


_MEANINGS = dict(zip(TOPICS, (_raw, _tagged, _event, _state, _letter), strict=True))


def store_at(address: str) -> Any:
    """Return what a store means."""
    with closing(open_store(address)) as store:
        reader = store.reader
        return plain({
            "offsets": {f"{topic}[{partition}]": offset for (topic, partition), offset in reader.offsets().items()},
            "totals": reader.totals(),
            "unreadable": reader.unreadable(),
            "found": reader.search("morgen", limit=10),
            "sessions": {
                row.session_id: {
                    "row": row,
                    "messages": reader.messages(row.session_id),
                    "events": reader.events(row.session_id),
                }
                for row in reader.sessions(EVERYTHING, limit=100)
            },
        })  # fmt: skip


class SealsOf:
    """The seals in recorded topics: a `SealLog` that is only read."""

    def __init__(self, records: list[TopicRecord], codec: Codec) -> None:
        self._records, self._codec = records, codec

    def append(self, _: object) -> str:
        """See `SealLog`."""
        raise AssertionError

    def since(self, position: str) -> InLog:
        """See `SealLog`."""
        events = (
            (one, self._codec.decode_event(one.value or b"")) for one in self._records if one.topic == TOPICS.sessions
        )
        found = {one.position: event.details or "" for one, event in events if event.kind == SEALED}
        return InLog(found, position in found)


def _bundles(folder: Path, log: SealsOf) -> Any:
    root = folder / "bundles"
    keys = read_public_keys([folder / "site.pub"])
    seals = Seals(Target(str(root)), log, keys)
    return {
        "seals": [(Path(one.path).name, one.seal, one.problems) for one in seals.reports],
        "sessions": {
            one.session_id: {
                "status": one.status, "messages": one.messages, "problems": one.problems, "signed_by": one.signed_by,
                "sealed": one.sealed and one.sealed.day,
            }
            for one in verify(str(root), None, keys, seals)
        },
    }  # fmt: skip


def _outbox(file: Path) -> Any:
    with closing(Queue(file)) as queue:
        return plain({"stock": queue.stock(), "waiting": queue.first(10), "refused": queue.refused()})


def _profiles(file: Path) -> Any:
    with closing(profiles_at(file)) as profiles:
        person = profiles.pseudonym(PERSON)
        return {
            "person": profiles.profile(person),
            "resumes": profiles.resumes(person),
            "shares": profiles.shares.of_person(person),
            "bookmarks": profiles.bookmarks.of_person(person),
        }


def plain(value: Any) -> Any:
    """Return a value as JSON has it."""
    match value:
        case None | bool() | int() | float() | str():
            return value
        case bytes():
            return value.hex() if len(value) <= 32 else f"sha256 {sha256(value).hexdigest()}"
        case Mapping():
            return {str(key): plain(inner) for key, inner in value.items()}
        case _ if hasattr(value, "_asdict"):
            return plain(value._asdict())
        case msgspec.Struct():
            return plain(msgspec.structs.asdict(value))
        case Sums():
            return plain(asdict(value))
        case Enum():
            return plain(value.value)
        case frozenset():
            return sorted(map(plain, value))
        case _:
            return [plain(inner) for inner in value]
