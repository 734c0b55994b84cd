"""Questions to the schema registry, asked by threads, so that no loop waits long for an answer."""

import threading
from collections import deque
from collections.abc import Callable, Collection, Hashable, Iterable
from typing import Final, Generic, NamedTuple, TypeVar

from processor.errors import RegistryUnavailable
from processor.runtime.backoff import backoff_s
from processor.runtime.ports import Clock

PATIENCE_S: Final = 0.5  # of a loop, for answers to a batch; usually they take some ms
THREADS_MAX: Final = 8
QUESTIONS_MAX: Final = 1_000  # that wait to be asked
_AGAIN_FIRST_S: Final = 1.0
_AGAIN_MAX_S: Final = 30.0

Need = TypeVar("Need", bound=Hashable)


class _Failure(NamedTuple):
    """A question to which no answer came."""

    error: RegistryUnavailable
    tries: int
    again_s: float


class Questions(Generic[Need]):
    """Asks in threads, and knows which questions have no answer yet. Used by one thread, the loop's."""

    def __init__(
        self,
        ask: Callable[[Need], object],
        clock: Clock,
        *,
        start: Callable[[Callable[[], None]], object],
        patience_s: float = PATIENCE_S,
    ) -> None:
        """Prepare; nothing is asked yet.

        Args:
            ask: asks, and raises RegistryUnavailable when no answer comes.
            clock: says when to ask again.
            start: runs a function in a thread.
            patience_s: how long `wait` waits at most.
        """
        self._put = ask
        self._clock = clock
        self._start = start
        self._patience_s = patience_s
        self._failures: dict[Need, _Failure] = {}
        self._changed = threading.Condition()  # holds what the threads share: all below
        self._queue: deque[Need] = deque()
        self._open: set[Need] = set()  # questions in the queue or being asked
        self._answers: dict[Need, Exception | None] = {}
        self._threads = 0

    def ask(self, needs: Iterable[Need]) -> None:
        """Ask for `needs`: for each one once at a time, and after a failure only when its pause is over."""
        now_s = self._clock.monotonic_s()
        with self._changed:
            for need in needs:
                failure = self._failures.get(need)
                if need in self._open or (failure is not None and now_s < failure.again_s):
                    continue
                if len(self._queue) >= QUESTIONS_MAX:
                    break
                self._open.add(need)
                self._queue.append(need)
            threads = min(THREADS_MAX - self._threads, len(self._queue))  # Those that run may all have to wait.
            self._threads += threads
        for _ in range(threads):
            self._start(self._work)

    def wait(self, needs: Collection[Need]) -> None:
        """Wait a moment for the answers to `needs`."""
        with self._changed:
            self._changed.wait_for(lambda: self._open.isdisjoint(needs), self._patience_s)

    def answered(self, waited_for: Collection[Need]) -> list[Need]:
        """Return what was answered since the last call. Failures of `waited_for` stay remembered.

        Raises:
            Exception: what asking raised, if it was anything but RegistryUnavailable.
        """
        with self._changed:
            answers, self._answers = self._answers, {}
        for need, error in answers.items():
            if error is None:
                self._failures.pop(need, None)
            elif isinstance(error, RegistryUnavailable):
                self.fail(need, error)
            else:
                raise error
        if len(self._failures) > QUESTIONS_MAX:
            self._failures = {need: self._failures[need] for need in waited_for if need in self._failures}
        return [need for need, error in answers.items() if error is None]

    def fail(self, need: Need, error: RegistryUnavailable) -> None:
        """Note that there is no answer for `need`. It is asked for again after 1 s, 2 s, up to 30 s."""
        tries = self._failures[need].tries + 1 if need in self._failures else 1
        pause_s = backoff_s(tries, first_s=_AGAIN_FIRST_S, max_s=_AGAIN_MAX_S)
        self._failures[need] = _Failure(error, tries, self._clock.monotonic_s() + pause_s)

    def failure(self, need: Need) -> RegistryUnavailable | None:
        """Return why there is no answer for `need`. Returns None if none was missed yet."""
        failure = self._failures.get(need)
        return None if failure is None else failure.error

    def _work(self) -> None:
        """Ask what is in the queue; a thread's work."""
        while True:
            with self._changed:
                if not self._queue:
                    self._threads -= 1
                    return
                need = self._queue.popleft()
            error: Exception | None = None
            try:
                self._put(need)
            except Exception as raised:  # The loop raises it, unless it only says that there is no answer.
                error = raised
            with self._changed:
                self._open.discard(need)
                self._answers[need] = error
                self._changed.notify_all()


def in_background(work: Callable[[], None]) -> None:
    """Run `work` in a thread. The process does not wait for it when it ends."""
    threading.Thread(target=work, name="a3cp-asking", daemon=True).start()
