"""Idempotency keys: a request that is repeated with its key is carried out once, and answered alike.

A key becomes the command's record id, and a digest of the request its `request`. By both the processor recognises a
repeat, whoever sends it. Both come back in the outcome, which is in `a3cp.sessions`: so does every replica, after a
restart too.
Messages have no outcome: their answers are kept in memory, so only the replica that answered recognises a repeat.
"""

from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, NamedTuple
from uuid import NAMESPACE_URL, uuid5

from processor.codec.events import EventView
from processor.codec.jsonvalue import plain_object
from processor.codec.spine import REQUEST_KEY
from processor.faces.problems import Problem

KEY_CHARS_MAX: Final = 255
_SENT_MAX: Final = 10_000
_KEPT_MAX: Final = 2_000  # answers to requests with messages, at most 25 KiB each


class Kept(NamedTuple):
    """An answer to a request with messages."""

    digest: str  # of the request
    status_code: int
    body: bytes


class Keys:
    """The requests with a key that are under way here, and what was sent and answered for keys."""

    def __init__(self) -> None:
        self._under_way: set[str] = set()
        self._kept: OrderedDict[str, Kept] = OrderedDict()
        self._sent: OrderedDict[str, str] = OrderedDict()  # digests of requests whose outcome may not be known yet

    @contextmanager
    def under_way(self, record_id: str) -> Iterator[None]:
        """Let one request with a key in at a time.

        Raises:
            Problem: in_flight, since another one is under way.
        """
        if record_id in self._under_way:
            raise Problem("in_flight", "a request with this key is still under way")
        self._under_way.add(record_id)
        try:
            yield
        finally:
            self._under_way.discard(record_id)

    def sending(self, record_id: str, digest: str) -> None:
        """Take note that the command of a key is sent.

        Raises:
            Problem: idempotency_key_reused, since it was sent for another request before.
        """
        before = self._sent.setdefault(record_id, digest)
        if len(self._sent) > _SENT_MAX:
            self._sent.popitem(last=False)
        if before != digest:
            raise _reused()

    def kept(self, record_id: str, digest: str) -> Kept | None:
        """Return the answer that was kept for a key; None if there is none.

        Raises:
            Problem: idempotency_key_reused, since it was to another request.
        """
        kept = self._kept.get(record_id)
        if kept is not None and kept.digest != digest:
            raise _reused()
        return kept

    def keep(self, record_id: str, kept: Kept) -> None:
        """Keep an answer, as long as there is room."""
        self._kept[record_id] = kept
        if len(self._kept) > _KEPT_MAX:
            self._kept.popitem(last=False)


def record_id_of(who: str, route: str, key: str) -> str:
    """Return the record id of the command that a key stands for.

    Args:
        who: the caller's name; another caller's keys are others. route: what is asked for.
        key: as the client chose it.

    Raises:
        Problem: invalid_request, since the key is empty or too long.
    """
    if not 0 < len(key) <= KEY_CHARS_MAX:
        raise Problem("invalid_request", f"an Idempotency-Key has 1 to {KEY_CHARS_MAX} characters")
    return str(uuid5(NAMESPACE_URL, f"a3cp\x00{who}\x00{route}\x00{key}"))


def refuse_another(event: EventView, digest: str) -> None:
    """Refuse a request whose key stood for another one, as the outcome `event` tells it.

    Raises:
        Problem: idempotency_key_reused.
    """
    details = {} if event.details is None else plain_object(event.details.encode())
    if details.get(REQUEST_KEY) != digest:
        raise _reused()


def _reused() -> Problem:
    return Problem("idempotency_key_reused", "another request has used this Idempotency-Key")
