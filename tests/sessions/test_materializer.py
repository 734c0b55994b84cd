"""Whatever the processor tags, the exporter keeps: every encoding, every oddity."""

import itertools
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processor.bundles.bundle import write_bundle
from processor.core.model import SessionEvent, Tagged
from processor.sessions.due import view_of
from processor.sessions.ports import SESSIONS, TAGGED, SessionFilter
from processor.sessions.projection.decoding import decode
from processor.sessions.projection.feed import OutputRecord
from processor.sessions.projection.materializer import Materializer
from processor.store import open_store
from processor.store.sql import SqlStore
from processor.targets.target import Target
from tests.codec.stage import EXTRAS, PLAIN, TAG
from tests.strategies import SCHEMA_TEXTS, make_codec, messages, session_events, single_object, tags, user_ids

CODEC = make_codec(SCHEMA_TEXTS["A3CPMessage"])
DECODE = partial(decode, CODEC)
OFFSETS = itertools.count()


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SqlStore]:
    folder: Path = tmp_path_factory.mktemp("store")
    store = open_store(f"sqlite:///{folder / 'store.db'}")
    yield store
    store.close()


@settings(max_examples=60)
@given(messages, tags(st.just("sess_x")))
def test_every_message_is_kept(shared: SqlStore, value: bytes, tagged: Tagged) -> None:
    """It comes out of the store to the byte, or is withheld with its hash; none is unreadable."""
    offset = next(OFFSETS)
    record = OutputRecord(TAGGED, 0, offset, 1, CODEC.tag(value, tagged))
    held = shared.writer.offsets().get((TAGGED, 0))
    applied = Materializer(shared.writer, DECODE).apply([record], {(TAGGED, 0): (held, offset + 1)})
    assert (applied.messages, applied.unreadable) == (1, 0)
    found = shared.reader.without_session() if tagged.session_id is None else shared.reader.messages(tagged.session_id)
    row = next(row for row in found if row.offset == offset)
    assert (row.content_hash, row.size_bytes) == (sha256(value).digest(), len(value))
    assert row.withheld if row.value is None else CODEC.strip(row.value) == value


@pytest.mark.parametrize("extra", EXTRAS)
def test_any_text_may_stand_in_extra(tmp_path: Path, extra: str) -> None:
    """Whatever it is, the message is kept and its bundle written."""
    value = CODEC.tag(single_object("A3CPMessage", {**PLAIN, "extra": extra}), TAG)
    with closing(open_store(f"sqlite:///{tmp_path / 'store.db'}")) as store:
        applied = Materializer(store.writer, DECODE).apply(
            [OutputRecord(TAGGED, 0, 0, 1, value)], {(TAGGED, 0): (None, 1)}
        )
        assert (applied.messages, applied.unreadable) == (1, 0)
        (session,) = store.reader.sessions(SessionFilter(), limit=2)
        write_bundle(Target(str(tmp_path / "bundles")), view_of(store.reader, session), CODEC, now_ms=0)


@settings(max_examples=60)
@given(user_ids, session_events, st.sampled_from([1, 2, 3]))
def test_every_event_is_kept(shared: SqlStore, user_id: str, event: SessionEvent, encoding: int) -> None:
    """Whatever encoding it came in, it is held in JSON."""
    offset = next(OFFSETS)
    record = OutputRecord(SESSIONS, 0, offset, 1, CODEC.encode_event(user_id, event, encoding))
    held = shared.writer.offsets().get((SESSIONS, 0))
    applied = Materializer(shared.writer, DECODE).apply([record], {(SESSIONS, 0): (held, offset + 1)})
    assert (applied.events, applied.unreadable) == (1, 0)


@pytest.mark.parametrize("append_ms", [-1, 253_402_300_800_000])
def test_without_an_append_time(shared: SqlStore, append_ms: int) -> None:
    """A foreign record that no page could show when it came is unreadable, and says why."""
    offset = next(OFFSETS)
    held = shared.writer.offsets().get((TAGGED, 0))
    value = CODEC.tag(single_object("A3CPMessage", PLAIN), TAG)
    record = OutputRecord(TAGGED, 0, offset, append_ms, value)
    assert Materializer(shared.writer, DECODE).apply([record], {(TAGGED, 0): (held, offset + 1)}).unreadable == 1


@settings(max_examples=60)
@given(st.binary(max_size=80), st.sampled_from([TAGGED, SESSIONS]))
def test_nonsense_is_counted(shared: SqlStore, value: bytes, topic: str) -> None:
    """Bytes that are neither stop nothing."""
    offset = next(OFFSETS)
    held = shared.writer.offsets().get((topic, 0))
    record = OutputRecord(topic, 0, offset, 1, value)
    assert Materializer(shared.writer, DECODE).apply([record], {(topic, 0): (held, offset + 1)}).unreadable == 1
