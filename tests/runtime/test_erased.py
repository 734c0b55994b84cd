"""The mark of an erasure."""

import pytest

from processor.runtime.erased import ErasureMark, mark_of, read_mark, request_of
from processor.runtime.partitioner import partition_of
from tests.broker.audit import compacted, read_memory
from tests.broker.fleet import BASE_MS
from tests.runtime.stage import NAMES, PARTITIONS, Stage


@pytest.mark.parametrize("user", ["anna", "12 ben", " 7", "ü"])
@pytest.mark.parametrize("offset", [0, 1, 1 << 40])
def test_a_mark_says_who_and_where(user: str, offset: int) -> None:
    """It is no user's key, whatever the user is called."""
    erased = ErasureMark(user.encode(), offset)
    mark = mark_of(erased)
    assert read_mark(mark) == erased
    with pytest.raises(UnicodeDecodeError):
        mark.decode()


@pytest.mark.parametrize("key", [b"", b"anna", b"7 anna", b"\xff", b"\xff anna", b"\xffx 7"])
def test_other_keys_mark_nothing(key: bytes) -> None:
    """Those of users, and of others' records."""
    assert read_mark(key) is None


def test_a_user_is_erased_when_the_log_asks_for_it() -> None:
    """Tombstone and mark come with the request's batch; others stay; who comes back is new; an audit agrees."""
    stage = Stage()
    here = partition_of(b"maria", PARTITIONS)
    for at_ms in (0, 1):
        stage.say("maria", at_ms)
        stage.say("ben", at_ms)
    member = stage.member().finish()
    kinds = stage.kinds()
    stage.send(here, request_of("maria", record_id="r", now_ms=BASE_MS), b"maria")
    member.finish()
    assert stage.kinds() == kinds, "nothing is told of it"
    rows = [row for rows in read_memory(stage.broker, NAMES).state for row in rows]
    end = len(stage.broker.topics[NAMES.raw][here])
    assert [mark for row in rows if (mark := read_mark(row.key or b""))] == [ErasureMark(b"maria", end)]
    assert list(compacted(rows)) == [b"ben"]
    stage.audit()
    stage.say("maria", 2)
    member.finish()
    assert [view.session_seq for view in stage.views(NAMES.tagged)].count(1) == 3
