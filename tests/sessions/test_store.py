"""What the store promises, the same on SQLite and PostgreSQL."""

import json
import uuid
from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from processor.codec.events import from_json
from processor.errors import StoreMoved, StoreUnavailable, UsageError
from processor.sessions.model import SessionView, Status
from processor.sessions.ports import SESSIONS, TAGGED, SessionFilter, Source
from processor.sessions.projection.feed import OutputRecord
from processor.sessions.projection.materializer import Materializer
from processor.store import notes, open_store
from processor.store.database import Database
from processor.store.sql import SqlStore
from processor.store.tables import METADATA, TEXTS
from processor.upstream.notices import Notice
from tests.postgres import Cluster
from tests.sessions.exporting import applied, everything
from tests.sessions.outputs import CODEC, DECODE, START_MS, message, processed

MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
EVERYTHING = SessionFilter()


def command(user_id: str, at_ms: int, name: str, **fields: Any) -> bytes:
    return message(user_id, at_ms, command=name, performer_id="carer01", **fields)


def a_morning() -> list[bytes]:
    """Two users, three sessions, one of them told to end twice."""
    return [
        command("anna", 0, "start", session_notes="Frühstück in der Küche", is_training_data=True),
        message("anna", 1_000, source="ui", event="capture.open", annotation={"intent": "drink"}),
        message(
            "anna", 2_000, source="gesture_classifier", performer_id="system", modality="gesture",
            classifier_output={"drink": 0.75, "eat": 0.25, "unknown": 0.0}, consent_given=True,
        ),
        message("ben", 2_500, source="caregiver", performer_id="carer02", transcript="Möchtest du nach draußen?"),
        message("anna", 3_000, label_status="corrected", label_correction="eat", performer_id="carer01"),
        command("anna", 4_000, "note", note="She pointed at the window"),
        message("anna", 5_000, event="capture.abort", error_code="session_closed", source="camera_feed_worker"),
        message("ben", 6_000, output_phrase="Outside, please", output_type="intent", performer_id="system"),
        message("anna", 2 * HOUR_MS, source="ui", context={"flags": {"requires_attention": True}}, is_demo=True),
        message("anna", 30 * MINUTE_MS, source="ui", modality="gesture"),  # Late: lengthens the first session.
    ]  # fmt: skip


def content(store: SqlStore) -> dict[str, list[Any]]:
    """Return all rows, without the numbers that only say when a row was written."""
    held = {}
    with store.database.engine.connect() as connection:
        for table in METADATA.sorted_tables:
            if table.name != "meta":
                columns = [column for column in table.columns if column is not TEXTS.c.id]
                held[table.name] = sorted(map(tuple, connection.execute(select(*columns))), key=repr)
    return held


def test_a_whole_session_is_complete(store: SqlStore) -> None:
    """Count and digest of the end match what is held, and every message is held to the byte."""
    values = a_morning()
    applied(store, processed(values))
    sessions = store.reader.sessions(EVERYTHING, limit=10)
    assert [(s.user_id, s.status, s.held_count, s.revision) for s in sessions] == [
        ("anna", Status.COMPLETE, 1, 0),
        ("ben", Status.COMPLETE, 2, 0),
        ("anna", Status.COMPLETE, 5, 1),
    ]
    first = sessions[-1]
    view = SessionView(
        first,
        lambda: store.reader.messages(first.session_id, count_max=first.held_count),
        lambda: store.reader.events(first.session_id, count_max=first.event_count),
    )
    rows = list(view.messages())
    assert [row.seq for row in rows] == [1, 2, 3, 4, 5]
    assert [CODEC.strip(row.value or b"") for row in rows] == [values[1], values[2], values[4], values[6], values[9]]
    assert [row.content_hash for row in rows] == [sha256(CODEC.strip(row.value or b"")).digest() for row in rows]
    assert [event.kind for event in view.events()] == ["started", "note", "ended", "ended"]
    assert (first.session_notes, first.is_training_data) == ("Frühstück in der Küche", True)


def test_the_summary_tells_what_was_there(store: SqlStore) -> None:
    """Whose they are, sources, notices, confidence and feedback are counted over the session's messages."""
    applied(store, processed(a_morning()))
    first = store.reader.sessions(SessionFilter(owner="anna"), limit=10)[-1]
    summary = first.summary
    assert dict(summary.expressed_by) == {"user": 2, "system": 2, "carer": 1}
    assert dict(summary.sources) == {"ui": 2, "gesture_classifier": 1, "camera_feed_worker": 1}
    assert dict(summary.modalities) == {"gesture": 2}
    assert dict(summary.notices) == {"corrected": 1, "capture_abort": 1, "late": 1}
    assert (summary.confidence, summary.captures, summary.consented) == (0.75, 1, 1)
    assert (dict(summary.feedback), dict(summary.abort_codes)) == ({"corrected": 1}, {"session_closed": 1})
    assert first.flags == ("late", "corrected", "capture_abort")
    assert first.duration_ms == 30 * MINUTE_MS


@pytest.mark.parametrize("size", [1, 2, 3, 5, 8])
def test_batches_do_not_matter(store: SqlStore, size: int, tmp_path: Path) -> None:
    """However the records are cut into transactions, and by how many exporters in turn, the store is the same."""
    records = processed(a_morning())
    whole = applied(open_store(f"sqlite:///{tmp_path / 'calm.db'}"), records)
    held: dict[Source, int] = {}
    for start in range(0, len(records), size):
        batch = records[start : start + size]
        moved = {(r.topic, r.partition): (held.get((r.topic, r.partition)), r.offset + 1) for r in batch}
        Materializer(store.writer, DECODE).apply(batch, moved)
        held.update({source: position for source, (_, position) in moved.items()})
    assert content(store) == content(whole)
    whole.close()


@settings(max_examples=15, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
@given(st.randoms(use_true_random=False))
def test_the_order_of_the_topics_does_not_matter(tmp_path: Path, random: Any) -> None:
    """A session's messages before its events, after them or mixed: the same rows."""
    records = processed(a_morning())
    logs = [[r for r in records if (r.topic, r.partition) == source] for source in everything(records)]
    mixed = []
    while any(logs):
        mixed.append(random.choice([log for log in logs if log]).pop(0))
    stores = [open_store(f"sqlite:///{tmp_path / uuid.uuid4().hex}") for _ in range(2)]
    assert content(applied(stores[0], records)) == content(applied(stores[1], mixed))
    for store in stores:
        store.close()


def test_what_is_written_again_changes_nothing(store: SqlStore) -> None:
    """A batch that the store has, or one that another exporter was quicker with, is refused as a whole."""
    records = processed(a_morning())
    before = content(applied(store, records))
    with pytest.raises(StoreMoved):
        applied(store, records)
    with pytest.raises(StoreMoved):
        Materializer(store.writer, DECODE).apply(records, {(TAGGED, 7): (None, 1)})
    with pytest.raises(StoreMoved):
        Materializer(store.writer, DECODE).apply([], {(TAGGED, 1): (3, 4)})
    assert content(store) == before


def test_a_missing_message_makes_it_partial(store: SqlStore) -> None:
    """Held messages that are not those of the end are never called complete, however many there are."""
    records = processed(a_morning())
    missing = next(r for r in records if r.topic == TAGGED and b'"session_seq":2' in (r.value or b""))
    applied(store, [r for r in records if r is not missing])
    assert sorted(s.status.value for s in store.reader.sessions(EVERYTHING, limit=10)) == [
        "complete",
        "complete",
        "partial",
    ]
    assert store.reader.totals().sessions == {"open": 0, "partial": 1, "complete": 2}


def test_an_open_session_is_open(store: SqlStore) -> None:
    """Before its end nobody knows whether all of a session is there."""
    applied(store, processed(a_morning(), quiet=False))
    assert [s.status.value for s in store.reader.sessions(EVERYTHING, limit=10)] == ["open", "open", "complete"]


def test_media_are_not_kept(store: SqlStore, tmp_path: Path) -> None:
    """Raw media and partial transcripts leave their hash and size, and no byte of their content in the database."""
    secret = "SECRETPAYLOAD" * 9
    hidden = message("anna", 3, other="data:image/png;base64," + secret).replace(b"data:image", b"dat\\u0061:image")
    slashed = message("anna", 5, other="data:image/png;base64," + secret).replace(b"image/", rb"image\/")
    values = [
        message("anna", 0, source="camera_feed_worker", frame_data=secret),
        message("anna", 1, source="speech_transcriber", is_partial=True, transcript=secret),
        message("anna", 2, audio=[{"audio_payload": secret}]),
        hidden,
        message("anna", 4, transcript="kept"),
        slashed,
    ]
    applied(store, processed(values))
    (session,) = store.reader.sessions(EVERYTHING, limit=10)
    rows = list(store.reader.messages(session.session_id))
    media = "raw media"
    assert [row.withheld for row in rows] == [media, "partial transcript", media, media, None, media]
    assert [row.value is None for row in rows] == [True, True, True, True, False, True]
    assert [(row.content_hash, row.size_bytes) for row in rows] == [(sha256(v).digest(), len(v)) for v in values]
    assert session.status is Status.COMPLETE
    assert session.summary.notices["withheld"] == 5
    assert "SECRET" not in repr(content(store))
    assert store.reader.search("SECRETPAYLOAD", limit=5) == []
    store.close()
    assert not any(b"SECRETPAYLOAD" in path.read_bytes() for path in tmp_path.glob("store.db*"))


def test_messages_without_a_session_are_kept(store: SqlStore) -> None:
    """What belongs to no session is held apart (rule R15)."""
    applied(store, processed([message("anna", 0, source="model_trainer", performer_id="system")]))
    assert store.reader.sessions(EVERYTHING, limit=10) == []
    (row,) = store.reader.without_session()
    assert (row.session_id, row.seq, row.flags) == (None, None, ("no_session",))
    assert list(store.reader.without_session("ben")) == []
    assert store.reader.totals().without_session == 1


def test_media_in_commands_are_not_kept(store: SqlStore) -> None:
    """Arguments of a command that hold media leave their hash and size."""
    image = "data:image/png;base64,SECRET"
    applied(
        store,
        processed(
            [
                message("anna", 0),
                command("anna", 1, "context", context={"a": image}),
                command("anna", 2, "note", note=image),
            ]
        ),
    )
    (session,) = store.reader.sessions(EVERYTHING, limit=2)
    events = [from_json(event.value) for event in store.reader.events(session.session_id)]
    assert [event.kind for event in events] == ["started", "context", "note", "ended"]
    assert json.loads(events[1].details or "")["withheld"] == "raw media"
    assert json.loads(events[2].session_notes or "")["size"] == len(image)
    assert "SECRET" not in repr(content(store))


def test_no_text_of_an_event_is_kept_as_it_must_not_be(store: SqlStore) -> None:
    """Media in any of its fields leave hash and size; NUL, which PostgreSQL cannot hold, another character."""
    image = "data:image/png;base64,SECRET"
    commands = [
        message("anna", 0, command="start", training_intent_label=image, session_notes="a\0b", performer_id="c\0d"),
        message("anna", 1, performer_id=image, capture_id=image),
    ]
    applied(store, processed(commands))
    (session,) = store.reader.sessions(EVERYTHING, limit=2)
    assert json.loads(session.training_intent_label or "")["size"] == len(image)
    assert (session.session_notes, session.performer_id) == ("a\ufffdb", "c\ufffdd")
    (row,) = store.reader.messages(session.session_id)
    assert json.loads(row.performer_id or "") == json.loads(row.capture_id or "")
    assert "SECRET" not in repr(content(store))


def test_an_id_that_comes_again_stops_nothing(store: SqlStore) -> None:
    """A record produced again after its session was forgotten opens one of the same id: held, and never complete."""
    first, again = processed([message("anna", 0)]), processed([message("anna", 0)])
    later = [r._replace(offset=r.offset + 10) for r in again]
    applied(store, first)
    Materializer(store.writer, DECODE).apply(
        later, {s: (everything(first)[s][1], offset) for s, (_, offset) in everything(later).items()}
    )
    (session,) = store.reader.sessions(EVERYTHING, limit=2)
    assert (session.held_count, session.held_digest, session.status) == (2, None, Status.PARTIAL)
    assert [row.seq for row in store.reader.messages(session.session_id)] == [1, 1]


def test_what_cannot_be_read_is_told(store: SqlStore) -> None:
    """A record that is no tagged message or event stops nothing and is counted."""
    (event,) = [r.value or b"" for r in processed([command("anna", 0, "start")], quiet=False)]
    huge = event.replace(b"}", b',"revision":%d}' % 10**30)
    records = [
        OutputRecord(TAGGED, 0, 0, 1, b"{}"),
        OutputRecord(TAGGED, 0, 1, 1, None),
        OutputRecord(SESSIONS, 0, 0, 1, b"x"),
        OutputRecord(SESSIONS, 0, 1, 1, huge),
    ]
    applied(store, records)
    assert [(row.topic, row.offset, row.size_bytes) for row in store.reader.unreadable()] == [
        (SESSIONS, 0, 1), (SESSIONS, 1, len(huge)), (TAGGED, 0, 2), (TAGGED, 1, 0),
    ]  # fmt: skip
    assert store.reader.totals().unreadable == 4


def test_a_foreign_command_touches_no_session(store: SqlStore) -> None:
    """Who names another user's session in a command appears nowhere in that session."""
    records = processed([message("anna", 0)])
    (session_id,) = {CODEC.decode_tagged(r.value or b"").session_id for r in records if r.topic == TAGGED}
    records = processed([message("anna", 0), command("ben", 1, "end", session_id=session_id)])
    applied(store, records)
    assert session_id is not None
    assert [e.user_id for e in store.reader.events(session_id)] == ["anna", "anna"]
    assert [s.user_id for s in store.reader.sessions(EVERYTHING, limit=10)] == ["anna"]
    assert store.reader.totals().events == 3


@pytest.mark.parametrize(
    ("words", "places"),
    [
        ("draußen", ["transcript"]),
        ("MÖCHTEST nach", ["transcript"]),
        ("outside please", ["output_phrase"]),
        ("window", ["note"]),
        ("küche", ["session_notes"]),
        ("drink", ["annotation.intent"]),
        ("outside window", []),
        ('"; DROP TABLE texts; --', []),
        ("*", []),
        ("", []),
    ],
)
def test_search(store: SqlStore, words: str, places: list[str]) -> None:
    """Texts with all words are found, whole words, in any case; nothing in the words is taken for a command."""
    applied(store, processed(a_morning()))
    assert [found.place for found in store.reader.search(words, limit=5)] == places
    assert [found.place for found in store.reader.search(words, SessionFilter(owner="nobody"), limit=5)] == []


def test_a_search_asks_for_whose_words(store: SqlStore) -> None:
    """Of what the carer heard and what the device said for the user, each is found alone."""
    applied(store, processed(a_morning()))
    found = {
        voice: [each.place for each in store.reader.search("outside", limit=9, expressed_by=voice)]
        for voice in (None, "user", "carer", "system")
    }
    assert found[None]
    assert sorted(found[None]) == sorted(place for voice in ("user", "carer", "system") for place in found[voice])
    assert all(each.expressed_by == "carer" for each in store.reader.search("draußen", limit=9, expressed_by="carer"))
    assert [each.expressed_by for each in store.reader.search("window", limit=9)] == ["carer"]


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("cafe\u0301", True),
        ("caf\u00e9", True),
        ("CAFE\u0301 noir", True),
        ("cafe", False),
        ("Stra\u00dfe", True),
        ("u\u0308ber", True),
        ("\u00fcber", True),
        ("Vie\u0323\u0302t", True),
        ("Vi\u1ec7t", True),
        ("हिन्दी", True),
        ("हिन्दी भाषा", True),
        ("กินข้าว", True),
        ("\u1f10\u03bd", True),  # Its mark ends a word for SQLite.
        ("noir\0über", True),
        ("noir \udcff", True),
        ("noir ... _ *", True),
        ("noir OR nothing", False),
        (" ".join(["noir cafe\u0301"] * 500), True),
    ],
)
def test_words_are_found_however_their_marks_are_written(store: SqlStore, words: str, *, found: bool) -> None:
    """A text is found by its own words, with their marks composed or not, in scripts whose vowels are marks too."""
    text = "un cafe\u0301 noir, \u00fcber die Straße, Vi\u1ec7t, \u03b5\u0313\u03bd, हिन्दी भाषा กินข้าว"
    applied(store, processed([message("anna", 0, transcript=text), message("ben", 1, transcript="plain")]))
    assert [one.user_id for one in store.reader.search(words, limit=5)] == ["anna"] * found


@pytest.mark.parametrize(
    ("wanted", "users"),
    [
        (SessionFilter(owner="ben"), ["ben"]),
        (SessionFilter(since_ms=START_MS + 2_000), ["anna", "ben"]),
        (SessionFilter(until_ms=START_MS + 2_500), ["anna"]),
        (SessionFilter(notices=Notice.CORRECTED | Notice.DEMO), ["anna", "anna"]),
        (SessionFilter(notices=Notice.DEMO), ["anna"]),
        (SessionFilter(status="partial"), []),
    ],
)
def test_filters(store: SqlStore, wanted: SessionFilter, users: list[str]) -> None:
    """Sessions are found by user, start, notices and status, newest first, page by page."""
    applied(store, processed(a_morning()))
    assert [s.user_id for s in store.reader.sessions(wanted, limit=10)] == users
    assert store.reader.count(wanted) == len(users)
    assert [s.user_id for n in range(4) for s in store.reader.sessions(wanted, limit=1, skip=n)] == users


def test_what_is_to_be_exported(store: SqlStore) -> None:
    """A session is due until it is noted, and again when it has changed; each target for itself."""
    records = processed(a_morning())
    applied(store, records)
    due = store.ledger.unexported("out", EVERYTHING, limit=10)
    assert [s.start_ms for s in due] == sorted(s.start_ms for s in due)
    assert len(due) == 3
    store.ledger.note_exported("out", {s.session_id: s.changes for s in due})
    store.ledger.note_exported("out", {due[0].session_id: due[0].changes - 1})
    assert [s.session_id for s in store.ledger.unexported("out", EVERYTHING, limit=10)] == [due[0].session_id]
    assert len(store.ledger.unexported("elsewhere", SessionFilter(status="complete"), limit=10)) == 3


def test_odd_texts_survive(store: SqlStore) -> None:
    """Whatever a sender writes is held, but for NUL, which PostgreSQL cannot hold and which is marked instead."""
    odd = "tab\there, back\\slash, \N{GRINNING FACE}, quote's \", \\N, new\nline"
    applied(store, processed([message("anna", 0, source=odd, transcript=odd), message("anna", 1, source="a\0b")]))
    (session,) = store.reader.sessions(EVERYTHING, limit=1)
    assert [row.source for row in store.reader.messages(session.session_id)] == [odd, "a\N{REPLACEMENT CHARACTER}b"]
    assert [found.text for found in store.reader.search("grinning OR back", limit=1)] == []
    assert [found.text for found in store.reader.search("new line", limit=1)] == [odd]


def test_a_long_session_is_read_in_pages(store: SqlStore) -> None:
    """More messages than fit a page come in order, as many as are asked for."""
    applied(store, processed([message("anna", number) for number in range(2_100)]))
    (session,) = store.reader.sessions(EVERYTHING, limit=1)
    assert [row.seq for row in store.reader.messages(session.session_id)] == list(range(1, 2_101))
    assert sum(1 for _ in store.reader.messages(session.session_id, count_max=1_500)) == 1_500
    assert session.status is Status.COMPLETE


def test_a_store_belongs_to_its_topics(store: SqlStore, address: str) -> None:
    """One store is never filled from two places; opened again it is the same one."""
    store.writer.follow("a3cp.tagged and a3cp.sessions")
    store.writer.follow("a3cp.tagged and a3cp.sessions")
    with pytest.raises(UsageError, match="holds what is in"):
        store.writer.follow("other.tagged and other.sessions")
    again = open_store(address)
    assert again.identity == store.identity
    again.close()


def test_two_exporters_begin_a_store_at_once(store: SqlStore, address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who comes second between the question and the answer follows the same topics, or is told of the others."""
    other, ask = open_store(address), notes.held

    def ask_late(database: Database, names: Sequence[str]) -> Mapping[str, str]:
        known = ask(database, names)
        if database is store.database:
            other.writer.follow("a3cp.tagged and a3cp.sessions")
        return known

    monkeypatch.setattr(notes, "held", ask_late)
    store.writer.follow("a3cp.tagged and a3cp.sessions")
    with store.database.engine.begin() as connection:
        connection.exec_driver_sql("DELETE FROM meta WHERE name = 'topics'")
    with pytest.raises(UsageError, match=r"holds what is in a3cp\.tagged"):
        store.writer.follow("other.tagged and other.sessions")
    other.close()


@pytest.mark.parametrize(
    "address",
    ["nonsense", "mysql://here/there", "sqlite://", "sqlite:////no/such/folder/x.db", "sqlite:////etc/passwd"],
)
def test_wrong_addresses_are_refused(address: str) -> None:
    """A mistake in the address is a UsageError."""
    with pytest.raises(UsageError):
        open_store(address)


def test_passwords_are_not_shown() -> None:
    """The address in an error has no password."""
    with pytest.raises((UsageError, StoreUnavailable)) as caught:
        open_store("postgresql://user:geheim@127.0.0.1:1/db")
    assert "geheim" not in str(caught.value)


def test_postgresql_may_restart(cluster: Cluster, prefix: str) -> None:
    """While it is away the store is unavailable; once it is back, it goes on."""
    store = open_store(cluster.new_database(prefix))
    records = processed(a_morning())
    half = len(records) // 2
    held = everything(records[:half])
    applied(store, records[:half])
    cluster.stop()
    try:
        with pytest.raises(StoreUnavailable):
            store.writer.offsets()
    finally:
        cluster.start()
    Materializer(store.writer, DECODE).apply(
        records[half:],
        {
            source: (held.get(source, (None, None))[1], offset)
            for source, (_, offset) in everything(records[half:]).items()
        },
    )
    assert store.reader.totals().sessions["complete"] == 3
    store.close()


def test_postgresql_may_vanish_without_a_word(cluster: Cluster, prefix: str) -> None:
    """Its connections are given up within half a minute, not within hours; what the address says counts."""
    store = open_store(f"{cluster.new_database(prefix)}&keepalives_idle=20")
    with store.database.reading() as connection:
        used = connection.connection.driver_connection.info.get_parameters()  # type: ignore[union-attr]
    names = ("keepalives_idle", "keepalives_interval", "keepalives_count", "tcp_user_timeout", "connect_timeout")
    assert [used[name] for name in names] == ["20", "5", "3", "25000", "5"]
    store.close()


def test_a_full_disk_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A database that may not grow refuses the batch as a whole, and takes it once there is room."""
    store = open_store(f"sqlite:///{tmp_path / 'full.db'}")
    allow: Callable[[int], None] = lambda pages: _allow(store, pages)  # noqa: E731
    allow(40)
    records = processed([message("anna", number, transcript="word " * 100) for number in range(500)])
    with pytest.raises(StoreUnavailable, match="full"):
        applied(store, records)
    assert store.reader.totals().messages == 0
    allow(1 << 30)
    applied(store, records)
    assert store.reader.totals().messages == 500
    store.close()


def _allow(store: SqlStore, pages: int) -> None:
    with store.database.engine.connect() as connection:
        connection.exec_driver_sql(f"PRAGMA max_page_count = {pages}")
