"""The mark of an erasure."""

import pytest

from processor.runtime.erased import Erased, mark_of, read_mark


@pytest.mark.parametrize("user", ["anna", "12 ben", " 7", "ü"])
@pytest.mark.parametrize("offset", [0, 1, 1 << 40])
def test_a_mark_says_who_and_where(user: str, offset: int) -> None:
    """It is no user's key, whatever the user is called."""
    erased = Erased(user.encode(), offset)
    mark = mark_of(erased)
    assert read_mark(mark) == erased
    with pytest.raises(UnicodeDecodeError):
        mark.decode()


@pytest.mark.parametrize("key", [b"", b"anna", b"7 anna", b"\xff", b"\xff anna", b"\xffx 7"])
def test_other_keys_mark_nothing(key: bytes) -> None:
    """Those of users, and of others' records."""
    assert read_mark(key) is None
