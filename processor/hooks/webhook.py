"""Tells one receiver, again and again for a bounded time until it answers."""

import json
import random
import time
from collections.abc import Callable
from email.utils import parsedate_to_datetime
from typing import Final

import httpx

from processor.codec.traces import TRACEPARENT
from processor.errors import UsageError, WebhookFailed
from processor.hooks.signing import key_of, signature
from processor.http import ANSWER_BYTES_MAX, Answer, ask
from processor.runtime.backoff import backoff_s
from processor.settings.addresses import is_web_address
from processor.upstream.words.counting import counted

TIMEOUT_S: Final = 10.0
PATIENCE_S: Final = 300.0
_BACKOFF_FIRST_S: Final = 0.5
_BACKOFF_MAX_S: Final = 60.0
_WORTH_A_RETRY: Final = (408, 425, 429)  # And what the receiver says of itself: 500 and above.


class Webhook:
    """One receiver; may be used by several threads."""

    def __init__(
        self,
        url: str,
        secret: str,
        *,
        timeout_s: float = TIMEOUT_S,
        patience_s: float = PATIENCE_S,
        wait: Callable[[float], object] = time.sleep,
    ) -> None:
        """Name the receiver.

        Args:
            url: where it is, `http` or `https`.
            secret: what it checks signatures with; `whsec_…` or any text.
            timeout_s: how long one answer may take.
            patience_s: how long it is tried again, from the first time on.
            wait: waits before the next time. What it raises ends the call.

        Raises:
            UsageError: the URL is none, or the secret is none.
        """
        if not is_web_address(url):  # It is not quoted, since it may hold a token.
            raise UsageError("the URL of a webhook is none", remedy="use http://host:port/path or https://host/path")
        self._url = url
        self._key = key_of(secret)
        self._timeout_s = timeout_s
        self._patience_s = patience_s
        self._wait = wait

    def send(self, payload: object, webhook_id: str) -> object:
        """Send `payload` as JSON, and return what the receiver answers: any JSON, or None if the answer is no JSON.

        `webhook_id` stays the same over all tries, so that the receiver can tell a repetition.

        Raises:
            WebhookFailed: the receiver refuses it, or has not taken it in time.
        """
        return self.send_bytes(json.dumps(payload, ensure_ascii=False, separators=(",", ":")).encode(), webhook_id)

    def send_bytes(
        self, body: bytes, webhook_id: str, *, since_s: float | None = None, traceparent: str | None = None
    ) -> object:
        """Do the same with JSON that is written already.

        Args:
            body, webhook_id: as of `send`.
            since_s: when the time for it began; None: now.
            traceparent: names the trace of what is told.
        """
        give_up_s = (time.monotonic() if since_s is None else since_s) + self._patience_s
        failures = 0
        while True:
            answer, why = self._try(body, webhook_id, traceparent)
            if answer is not None and answer.status // 100 == 2:
                return _json(answer)
            if answer is not None and answer.status < 500 and answer.status not in _WORTH_A_RETRY:
                raise WebhookFailed(f"the receiver refuses it: {why}", remedy="see what the receiver's own log says")
            failures += 1
            longest_s = backoff_s(failures, first_s=_BACKOFF_FIRST_S, max_s=_BACKOFF_MAX_S)
            pause_s = max(_asked_s(answer), longest_s * random.uniform(0.5, 1.0))  # noqa: S311  # No secret.
            if time.monotonic() + pause_s > give_up_s:
                raise WebhookFailed(
                    f"the receiver has not taken it after {counted(failures, 'try', 'tries')} in "
                    f"{self._patience_s:g} s: {why}",
                    remedy="see that the receiver runs and is reached from here",
                )
            self._wait(pause_s)

    def _try(self, body: bytes, webhook_id: str, traceparent: str | None) -> tuple[Answer | None, str]:
        """Return the answer if there is one, and what is wrong with it."""
        now_s = int(time.time())
        headers = {
            "Content-Type": "application/json",
            "webhook-id": webhook_id,
            "webhook-timestamp": str(now_s),
            "webhook-signature": signature(self._key, webhook_id, now_s, body),
            **({} if traceparent is None else {TRACEPARENT: traceparent}),
        }
        try:
            answer = ask(httpx.Request("POST", self._url, headers=headers, content=body), None, self._timeout_s)
        except TimeoutError as error:
            return None, str(error)
        except httpx.HTTPError as error:  # Its words may quote the address, and that may hold a token.
            return None, f"no answer ({type(error).__name__})"
        return answer, f"its answer has the status {answer.status}"


def _json(answer: Answer) -> object:
    if answer.content is None:
        raise WebhookFailed(
            f"the receiver's answer has more than {ANSWER_BYTES_MAX:,} bytes", remedy="let it answer less"
        )
    if not answer.headers.get("Content-Type", "").startswith("application/json") or not answer.content:
        return None
    try:
        return json.loads(answer.content)
    except (ValueError, RecursionError):
        raise WebhookFailed(
            "the receiver's answer says that it is JSON, and is none", remedy="mend the receiver"
        ) from None


def _asked_s(answer: Answer | None) -> float:
    """Return how long the receiver asks to wait; 0 if it does not ask."""
    asked = "" if answer is None else answer.headers.get("Retry-After", "")
    if asked.isascii() and asked.isdigit():
        return float(asked)
    try:
        return max(0.0, parsedate_to_datetime(asked).timestamp() - time.time())
    except ValueError:
        return 0.0
