"""Those who use the service: commands that must happen once, and messages that must come in order.

They go on whatever happens to the service and to Kafka, as good clients do: what was not answered is sent again.
"""

import itertools
import threading
import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Sequence
from typing import Any, Final, Self

import httpx

from tests.broker.fleet import BASE_MS, message

PAUSE_S: Final = 0.2  # between two attempts
REST_S: Final = 0.1  # between two messages
NOTES: Final = 3  # of each session
_PATIENCE_S: Final = 8.0  # for an answer
_ANSWERED_WITHIN_S: Final = 100.0  # once all runs undisturbed, on a machine that does much else
_AGAIN: Final = frozenset({429, 503, 504, 507})  # statuses that say: later


class Customer(threading.Thread, ABC):
    """Sends until told to stop, and is at the end once its last request was answered well."""

    def __init__(self, name: str, ports: Sequence[int]) -> None:
        super().__init__(name=name, daemon=True)
        self.unanswered = 0  # requests whose answer was lost on the way
        self.kept = 0  # answers that said that it waits in an outbox
        self.trouble: list[str] = []
        self._urls = [f"http://127.0.0.1:{port}" for port in ports]
        self._stopped = threading.Event()

    def run(self) -> None:
        with httpx.Client(timeout=_PATIENCE_S) as http:
            for number in itertools.count(1):
                if self._stopped.wait(REST_S) or self.trouble:
                    return
                self.serve(http, number)

    @abstractmethod
    def serve(self, http: httpx.Client, number: int) -> None:
        """Do what this customer does, for the `number`th time."""

    def ask(self, http: httpx.Client, path: str, urls: Sequence[str], **request: Any) -> httpx.Response:
        """Post to each of `urls` in turn until one answers well; an answer that helps nobody is noted as trouble."""
        for url in itertools.cycle(urls):
            try:
                answer = http.post(f"{url}{path}", **request)
            except httpx.ConnectError:
                pass
            except httpx.HTTPError:
                self.unanswered += 1
            else:
                if answer.status_code not in _AGAIN:
                    if answer.is_error:
                        self.trouble.append(f"{self.name}: {path} {request}: {answer.status_code} {answer.text}")
                    return answer
            time.sleep(PAUSE_S)
        raise AssertionError("cycle ended")

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._stopped.set()
        if kind is None:  # Else nobody may be there any more to answer the last request.
            self.join(_ANSWERED_WITHIN_S)
            if self.is_alive():
                self.trouble.append(f"{self.name}: its last request is not answered")


class Carer(Customer):
    """Begins sessions, adds notes and ends them. Each command has a key, so it may be repeated at the other replica.

    A command that waits in an outbox is repeated until the log has it: the next one may go to the other replica.
    """

    def __init__(self, name: str, ports: Sequence[int]) -> None:
        super().__init__(name, ports)
        self.done: Counter[str] = Counter()  # by kind: how many commands were answered

    def serve(self, http: httpx.Client, number: int) -> None:
        """Hold one session."""
        held = self._command(http, "/v1/sessions", "started", f"{number}", {"user_id": self.name})
        if held is None:
            return
        path = f"/v1/sessions/{held['session_id']}"
        for note in range(NOTES):
            self._command(http, f"{path}/notes", "note", f"{number}-{note}", {"text": f"{self.name} {number}-{note}"})
        self._command(http, f"{path}/end", "ended", f"{number}-end", {})

    def _command(self, http: httpx.Client, path: str, kind: str, key: str, body: object) -> Any:
        headers = {"Idempotency-Key": f"{self.name}-{key}", "Prefer": "wait=5"}
        urls = self._urls
        while not self.trouble:
            answer = self.ask(http, path, urls, json=body, headers=headers)
            if answer.is_error:
                return None
            told = answer.json()
            if told.get("backend") != "fallback":
                self.done[kind] += 1
                return told
            self.kept += 1
            time.sleep(PAUSE_S)
            urls = [*urls[1:], urls[0]]
        return None


class Speaker(Customer):
    """Says one thing after the other, always to the same replica: it alone keeps the order while Kafka is away."""

    said = 0

    def serve(self, http: httpx.Client, number: int) -> None:
        """Say one thing."""
        value = message(self.name, BASE_MS + number * 1_000, number=number)
        headers = {"Content-Type": "application/json"}
        answer = self.ask(http, "/v1/messages", self._urls[:1], content=value, headers=headers)
        if answer.is_success:
            self.said = number
            self.kept += answer.json().get("backend") == "fallback"
