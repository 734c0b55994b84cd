"""Lets this release store one of everything that later releases have to read, and puts it into a folder."""

import json
import shutil
import sqlite3
from base64 import b64encode
from collections.abc import Mapping
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

from processor.bundles.contents import ALL_FORMATS, Format
from processor.bundles.keys import make_keys, read_signing_key
from processor.bundles.sealing import Sealer
from processor.bundles.seals import InLog, text_of
from processor.bundles.writing import BundleWriter, write_index
from processor.codec.events import SOURCE, sealed_view, to_json
from processor.codec.isotime import format_time
from processor.codec.schema import Schemas
from processor.codec.wire import avro_header
from processor.core.model import DAY_MS, HOUR_MS
from processor.faces.auth.tokens import add_token
from processor.in_memory import TOPICS, MemoryDeployment
from processor.outbox.ports import Kept
from processor.outbox.queue import New, Queue
from processor.profiles import Profiles, Pseudonyms, open_profiles
from processor.profiles.bookmarks import Bookmark
from processor.profiles.shares import Share
from processor.runtime.erased import request_of
from processor.runtime.partitioner import partition_of
from processor.sessions.due import hand_on
from processor.sessions.forms.shapes import Seal
from processor.sessions.ports import EVERYTHING, SessionFilter
from processor.sessions.projection.decoding import decode
from processor.sessions.projection.materializer import Materializer
from processor.store import open_store
from processor.targets.target import Target
from processor.testing import ManualClock
from tests.postgres import Cluster
from tests.strategies import SCHEMA_TEXTS, FakeRegistry, confluent, single_object

BEGIN_MS = 1_764_583_200_000  # 2025-12-01T10:00:00Z
DAY = "2025-12-01"
REGISTERED = ("A3CPMessage", "SessionCommand")  # ids 1 and 2 in the registry
SECRET = "of these recordings alone"
TRACEPARENT = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
PERSON = "ana@example.org"


def in_json(name: str, fields: Mapping[str, Any]) -> bytes:
    """Return a record as most of A3CP's modules write it."""
    return json.dumps({**fields, "timestamp": format_time(fields["timestamp"])}).encode()


def _for_avro(name: str, fields: Mapping[str, Any]) -> dict[str, Any]:
    known = {field["name"] for field in json.loads(SCHEMA_TEXTS[name])["fields"]}
    rest = {key: value for key, value in fields.items() if key not in known}
    return {**{key: fields[key] for key in fields if key in known},
            "extra" if name == "A3CPMessage" else "details": json.dumps(rest) if rest else None}  # fmt: skip


def in_avro(name: str, fields: Mapping[str, Any]) -> bytes:
    """Return a record in Avro's single-object encoding."""
    return single_object(name, _for_avro(name, fields))


def framed(name: str, fields: Mapping[str, Any]) -> bytes:
    """Return a record in Confluent's framing."""
    return confluent(name, _for_avro(name, fields), REGISTERED.index(name) + 1)


ENCODINGS = {"ana": in_json, "ben": in_avro, "cleo": framed}


class Day:
    """What three persons do, each in an encoding of their own, and what goes wrong beside."""

    def __init__(self, deployment: MemoryDeployment) -> None:
        self._deployment = deployment
        self._count = 0

    def message(self, user: str, **fields: Any) -> bytes:
        """Send a message a second after the last; return its bytes."""
        return self._send(user, "A3CPMessage", {"performer_id": "carer01", "source": "ui", **fields})

    def command(self, user: str, command: str, **fields: Any) -> None:
        """Send a command a second after the last record."""
        self._send(user, "SessionCommand", {"performer_id": "carer01", "command": command, **fields})

    def put(self, user: str, value: bytes, *, partition: int | None = None, **headers: bytes) -> None:
        """Append any bytes under a user's key."""
        key, deployment = user.encode(), self._deployment
        right = partition_of(key, deployment.broker.partitions) if partition is None else partition
        deployment.broker.append((TOPICS.raw, value, key, right, list(headers.items()) or None))
        deployment.run()

    def wait(self, ms: int) -> None:
        """Let time pass."""
        self._deployment.advance(ms)

    @property
    def elapsed_ms(self) -> int:
        """How much time has passed since the beginning."""
        return self._deployment.clock.now_ms() - BEGIN_MS

    def _send(self, user: str, name: str, fields: Mapping[str, Any]) -> bytes:
        self._deployment.advance(1_000)
        self._count += 1
        spine = {
            "schema_version": "1.0.1",
            "record_id": str(UUID(int=self._count, version=4)),
            "user_id": user,
            "timestamp": self._deployment.clock.now_ms(),
        }
        value = ENCODINGS[user.partition("~")[0]](name, {**spine, **fields})
        self.put(user, value, traceparent=TRACEPARENT)
        return value


def play(day: Day) -> None:
    """Let happen whatever leaves other bytes behind."""
    for user in ENCODINGS:
        day.command(user, "start", template="interview", is_training_data=True, session_notes="in the kitchen")
        day.message(user, modality="speech", transcript="guten Morgen", text="früh")
        again = day.message(user, modality="gesture", capture_id=str(UUID(int=7, version=4)))
        day.put(user, again)
        day.message(user, session_id="claimed-by-a-module")
        for command, more in (
            ("note", {"note": "pointed at the window"}),
            ("context", {"context": {"room": "kitchen"}}),
            ("step", {"step": {"name": "greet", "status": "done", "duration_ms": 5}}),
            ("status", {"status": "active"}),
            ("tag", {"tags": {"add": ["first"], "remove": []}}),
            ("touch", {}),
            ("pause", {}),
            ("resume", {}),
            ("resume", {"session_id": "sess_of_nobody"}),
            ("end", {}),
        ):
            day.command(user, command, **more)
        day.wait(60_000)
        day.message(user, timestamp=BEGIN_MS + 5_000, transcript="late")  # The end is told again.
        day.message(user, source="user_profile_store", session_policy={"gap_ms": 600_000, "template": "assessment"})
        day.message(user, transcript="within the shorter gap")
        day.wait(HOUR_MS)  # It ends by its time-out, and is opened again.
        day.message(user, timestamp=BEGIN_MS + day.elapsed_ms - HOUR_MS, transcript="late, within the gap")
        day.wait(HOUR_MS)
        day.message(user, transcript="another session")
    day.command("ben", "pause")
    day.message("ana~0a1b2c3d", text="in a lane")
    day.put("ana", b'{"user_id": "ana", "timestamp": "%s"}' % format_time(BEGIN_MS).encode())  # Nonconforming.
    day.put("dora", in_json("", {"user_id": "dora", "timestamp": BEGIN_MS}), partition=_wrong("dora"))  # Sent on.
    for broken in (b"{", b'{"user_id": "ana"}', avro_header(1) + b"x", b"", b"\0\0\0\0\x09x"):
        day.put("ana", broken)
    day.put("emil", in_json("", {"user_id": "emil", "timestamp": BEGIN_MS}))
    day.put("emil", request_of("emil", record_id=str(UUID(int=99, version=4)), now_ms=BEGIN_MS))
    day.wait(DAY_MS)
    day.command("ana", "start")
    day.message("ana", text="open to the end")


def _wrong(user: str) -> int:
    return (partition_of(user.encode(), 2) + 1) % 2


class LogOfSeals:
    """The seals in a log, whose other records do not matter."""

    def __init__(self, deployment: MemoryDeployment) -> None:
        self._deployment = deployment

    def append(self, seal: Seal) -> str:
        """See `SealLog`."""
        broker, key = self._deployment.broker, SOURCE.encode()
        partition = partition_of(key, broker.partitions)
        value = to_json(sealed_view(text_of(seal).decode(), self._deployment.clock.now_ms()))
        broker.append((TOPICS.sessions, value, key, partition, None))
        return f"{TOPICS.sessions}[{partition}]@{len(broker.topics[TOPICS.sessions][partition]) - 1}"

    def since(self, position: str) -> InLog:
        """See `SealLog`: the first one has nothing before it."""
        raise AssertionError


def record(folder: Path, work: Path) -> None:
    """Fill the empty `folder`; `work` is a folder for what is needed meanwhile."""
    registry = FakeRegistry(*(SCHEMA_TEXTS[name] for name in REGISTERED))
    schemas = Schemas(SCHEMA_TEXTS, source=registry)
    clock = ManualClock(BEGIN_MS)
    with MemoryDeployment(work, partitions=2, clock=clock, schemas=schemas) as deployment:
        play(Day(deployment))
        deployment.export()
        _in_postgresql(
            deployment, folder / "store.sql"
        )  # Before the seal is in the log, which the store does not have.
        _bundles(deployment, folder / "bundles", work / "site.key")
        _topics(deployment, folder / "topics.jsonl")
    shutil.copy(work / "site.key.pub", folder / "site.pub")
    _compact(work / "a3cp.db", folder / "store.db")
    _write(folder / "registry.json", registry.texts)
    _outbox(work / "outbox.db", folder / "outbox.db")
    _persons(work / "profiles.db", folder / "profiles.db")
    add_token(folder / "doors.json", "desk", "operator", frozenset({"*"}))
    add_token(folder / "doors.json", "ana's carer", "reviewer", frozenset({"ana"}))


def profiles_at(path: Path) -> Profiles:
    """Return the profiles of a recording."""
    return open_profiles(f"sqlite:///{path}", Pseudonyms(SECRET.encode()), SECRET)


def _bundles(deployment: MemoryDeployment, root: Path, key: Path) -> None:
    make_keys(key)
    target, signer, now_ms = Target(str(root)), read_signing_key(key), deployment.clock.now_ms
    formats = ALL_FORMATS - {Format.HTML}  # The page is large, and nothing reads it.
    writer = BundleWriter(
        deployment.store.reader, target, deployment.codec, now_ms=now_ms, formats=formats, signer=signer
    )
    hand_on(deployment.store.ledger, writer, SessionFilter(owner="ben", until_ms=BEGIN_MS + DAY_MS))
    write_index(deployment.store, writer)
    Sealer(deployment.store, target, LogOfSeals(deployment), now_ms=now_ms, wanted=EVERYTHING, signer=signer).seal(DAY)


def _topics(deployment: MemoryDeployment, file: Path) -> None:
    lines = [
        json.dumps(
            {
                "topic": topic, "partition": record.number, "offset": record.position, "append_ms": record.append_ms,
                "key": _text(record.raw_key), "value": _text(record.raw_value),
                "headers": [[name, _text(content)] for name, content in record.raw_headers or ()],
            }
        )
        for topic in TOPICS
        for log in deployment.broker.topics[topic]
        for record in log
    ]  # fmt: skip
    file.write_text("\n".join(lines) + "\n", "ascii")


def _in_postgresql(deployment: MemoryDeployment, file: Path) -> None:
    """Fill a store in PostgreSQL with what the other one holds, and dump it."""
    with Cluster() as cluster:
        address = cluster.new_database("recording")
        with closing(open_store(address)) as store:
            moved = {source: (None, offset) for source, offset in deployment.store.reader.offsets().items()}
            Materializer(store.writer, partial(decode, deployment.codec)).apply(deployment.outputs({}), moved)
        cluster.dump(address, file)


def _outbox(path: Path, to: Path) -> None:
    with closing(Queue(path)) as queue:
        keys = [f"user{number}".encode() for number in range(3)]
        queue.add([New(key, str(UUID(int=5)), b"{}" + key, [("traceparent", TRACEPARENT)]) for key in keys], BEGIN_MS)
        queue.set_aside(Kept(1, keys[0], str(UUID(int=5)), b"{}" + keys[0], BEGIN_MS), "too large", BEGIN_MS + 1)
    _compact(path, to)


def _persons(path: Path, to: Path) -> None:
    with closing(profiles_at(path)) as profiles:
        person = profiles.pseudonym_of(PERSON, {"name": "Ana", "company": "Küche"})
        profiles.keep_resume(person, {"skills": ["listening"]})
        share = Share(
            "share01", "sess_1", person, "a3cp.tagged[0]@7", None, "ab" * 32, ("note",), BEGIN_MS, BEGIN_MS + DAY_MS
        )
        profiles.shares.add(share)
        profiles.shares.revoke(share.share_id, BEGIN_MS + 5)
        profiles.bookmarks.add(Bookmark("sess_1", person, "seq=2", "laughs", "carer01", BEGIN_MS))
    _compact(path, to)


def _compact(path: Path, to: Path) -> None:
    """Copy a database into one small file."""
    with closing(sqlite3.connect(path)) as database:
        database.execute("VACUUM INTO ?", (str(to),))


def _text(content: bytes | None) -> str | None:
    return None if content is None else b64encode(content).decode()


def _write(file: Path, content: Any) -> None:
    file.write_text(json.dumps(content, indent=1, ensure_ascii=False, sort_keys=True) + "\n", "utf-8")
