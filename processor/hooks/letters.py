"""What a receiver has not taken, as a dead letter: the same bytes can be sent again."""

from typing import NamedTuple

import msgspec

from processor.codec.headers import Headers
from processor.errors import WebhookFailed
from processor.hooks.due import Delivery
from processor.runtime.deadletters import Stage, why_headers


class Letter(msgspec.Struct, frozen=True, omit_defaults=True):
    """The value of such a dead letter."""

    delivery: str
    template: str
    hook: str
    session_id: str
    payload: msgspec.Raw
    traceparent: str | None = None

    @property
    def lane(self) -> tuple[str, str, str]:
        """The names of template and hook, and the session."""
        return self.template, self.hook, self.session_id


class Buried(NamedTuple):
    """A dead letter, ready to be sent to its topic."""

    value: bytes
    key: bytes
    partition: int
    headers: Headers


def buried(delivery: Delivery, body: bytes, error: WebhookFailed, topic: str) -> Buried:
    """Return the dead letter of a delivery, which a record of `topic` had caused."""
    trigger = delivery.trigger
    value = msgspec.json.encode(Letter(delivery.id, *delivery.lane, msgspec.Raw(body), trigger.traceparent))
    place = topic, trigger.source[1], trigger.offset
    headers = why_headers(place, trigger.append_ms, Stage.HOOK, error, value)
    return Buried(value, trigger.user_id.encode(), trigger.source[1], headers)


def letter_in(value: bytes) -> Letter | None:
    """Return what the value of a dead letter of a hook says; None if it is none."""
    try:
        return msgspec.json.decode(value, type=Letter)
    except msgspec.MsgspecError:
        return None
