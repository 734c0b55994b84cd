"""`Sessions`: what can be done with sessions, for threads. Methods and code are those of `AsyncSessions`.

>>> from a3cp_sessions import Sessions
>>> with Sessions("memory://") as sessions:  # http://127.0.0.1:8080 is a service, kafka://127.0.0.1:9092 a Kafka
...     session = sessions.create("elias01", performer_id="carer01")
...     added = sessions.add_message(session.session_id, {"source": "ui", "text": "hello"})
...     noted = sessions.note(session.session_id, "a calm morning", performer_id="carer01")
...     ended = sessions.end(session.session_id, performer_id="carer01")
...     print(ended.kind, ended.message_count, sessions.get(session.session_id).status)
ended 1 closed
"""

import functools
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, Concatenate, ParamSpec, Self, TypeVar, Unpack

from processor.client.service.asking import TIMEOUT_S
from processor.client.service.asyncsessions import AsyncSessions, Filters
from processor.client.service.exchange import Blocking, finished
from processor.client.service.forms import Live
from processor.client.service.opening import backend_of

P = ParamSpec("P")
T = TypeVar("T")


def _blocking(
    method: Callable[Concatenate[AsyncSessions, P], Coroutine[Any, Any, T]],
) -> Callable[Concatenate["Sessions", P], T]:
    """Return a method that does what `method` does, and returns when it is done."""

    @functools.wraps(method)
    def blocking(self: "Sessions", /, *arguments: P.args, **named: P.kwargs) -> T:
        return finished(method(self._all, *arguments, **named))

    return blocking


class Sessions:
    """Sessions for threads; several may use one object. A context manager.

    Arguments, errors and what is safe: `AsyncSessions`.
    """

    def __init__(self, url: str | None = None, *, token: str | None = None, timeout_s: float = TIMEOUT_S) -> None:
        """Choose the service, as `AsyncSessions` does."""
        self._all = AsyncSessions(timeout_s=timeout_s, exchange=Blocking(backend_of(url, token)))

    create = _blocking(AsyncSessions.create)
    start = _blocking(AsyncSessions.start)
    end = _blocking(AsyncSessions.end)
    terminate = _blocking(AsyncSessions.terminate)
    pause = _blocking(AsyncSessions.pause)
    resume = _blocking(AsyncSessions.resume)
    touch = _blocking(AsyncSessions.touch)
    get = _blocking(AsyncSessions.get)
    get_active = _blocking(AsyncSessions.get_active)
    list = _blocking(AsyncSessions.list)
    count = _blocking(AsyncSessions.count)
    count_open = _blocking(AsyncSessions.count_open)
    user_info = _blocking(AsyncSessions.user_info)
    given_id = _blocking(AsyncSessions.given_id)
    add_message = _blocking(AsyncSessions.add_message)
    get_history = _blocking(AsyncSessions.get_history)
    resume_data = _blocking(AsyncSessions.resume_data)
    evaluation = _blocking(AsyncSessions.evaluation)
    note = _blocking(AsyncSessions.note)
    context = _blocking(AsyncSessions.context)
    step = _blocking(AsyncSessions.step)
    update_status = _blocking(AsyncSessions.update_status)
    tag = _blocking(AsyncSessions.tag)
    get_audit = _blocking(AsyncSessions.get_audit)
    validate = _blocking(AsyncSessions.validate)
    purge_stale = _blocking(AsyncSessions.purge_stale)
    export = _blocking(AsyncSessions.export)
    close = _blocking(AsyncSessions.close)

    def live(
        self, session_id: str | None = None, *, after: str | None = None, **filters: Unpack[Filters]
    ) -> Iterator[Live]:
        """Yield what happens, as `AsyncSessions.live` does; each step waits for the next thing."""
        stream = self._all.live(session_id, after=after, **filters)
        try:
            while True:
                yield finished(stream.__anext__())
        except StopAsyncIteration:
            return
        finally:
            finished(stream.aclose())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
