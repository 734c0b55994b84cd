"""What hooks are told of, and when: a session's start, each of its ends, and every so many of its messages."""

from collections.abc import Collection, Iterator, Mapping
from typing import Final, Literal, NamedTuple, TypeAlias
from uuid import UUID, uuid5

from processor.codec.codec import Codec
from processor.codec.events import EventView
from processor.sessions.ports import TAGGED, Source
from processor.sessions.projection.feed import OutputRecord
from processor.settings.templates import Hook, Template
from processor.upstream.notices import HOOKS

SOURCE: Final = HOOKS
"""The source of what an answer is written as; nobody is told of that again."""

Moment: TypeAlias = Literal["start", "messages", "end"]
_MOMENTS: Final = ("start", "messages", "end")  # in this order, of those at one message
_IDS: Final = UUID("0c1f6d0e-6f0b-4a3e-9d59-6f5f3c1a7b52")


class Trigger(NamedTuple):
    """A record of which a hook may want to be told."""

    moment: Moment
    session_id: str
    user_id: str
    messages: int  # of the session, up to then
    event: EventView | None  # None of messages
    source: Source
    offset: int
    append_ms: int  # when the record was written
    traceparent: str | None = None  # names the trace that it belongs to

    @property
    def order(self) -> tuple[int, int]:
        """Where it comes among those of its session."""
        return self.messages, _MOMENTS.index(self.moment)


class Delivery(NamedTuple):
    """One thing that one receiver is to be told."""

    template: str
    hook: str
    trigger: Trigger
    since_s: float  # when it was found to be due, by the monotonic clock

    @property
    def id(self) -> str:
        """Its name: the same whenever the same thing is to be told again."""
        trigger = self.trigger
        what = trigger.messages if trigger.event is None else trigger.event.record_id
        return str(uuid5(_IDS, "\0".join((self.template, self.hook, trigger.session_id, trigger.moment, str(what)))))

    @property
    def lane(self) -> tuple[str, str, str]:
        """What is delivered one after the other: all of a session to one receiver."""
        return self.template, self.hook, self.trigger.session_id


def trigger_of(record: OutputRecord, codec: Codec, steps: Collection[int]) -> Trigger | None:
    """Return what hooks may be told of `record`; None if none is told of it. `steps`: after how many messages.

    Raises:
        DecodeError: it is no record of ours.
    """
    if record.value is None:
        return None
    source = record.topic, record.partition
    if record.topic == TAGGED:
        if not steps:
            return None
        tagged = codec.decode_tagged(record.value)
        seq, session_id = tagged.session_seq, tagged.session_id
        if session_id is None or seq is None or tagged.source == SOURCE or all(seq % step for step in steps):
            return None
        return Trigger("messages", session_id, tagged.user_id, seq, None, source, *record[2:4], record.traceparent)
    event = codec.decode_event(record.value)
    if event.session_id is None or event.kind not in ("started", "ended"):
        return None
    moment: Moment = "start" if event.kind == "started" else "end"
    return Trigger(
        moment,
        event.session_id,
        event.user_id,
        event.message_count or 0,
        event,
        source,
        *record[2:4],
        record.traceparent,
    )


def hooked(templates: Mapping[str, Template]) -> dict[tuple[str, str], Hook]:
    """Return the hooks of all templates, by the names of template and hook."""
    return {
        (name, hook_name): hook for name, template in templates.items() for hook_name, hook in template.hooks.items()
    }


def deliveries(
    trigger: Trigger, template: str | None, hooks: Mapping[tuple[str, str], Hook], now_s: float
) -> Iterator[Delivery]:
    """Yield what is to be told of `trigger`, whose session is of `template`."""
    for (name, hook_name), hook in hooks.items():
        if name != template:
            continue
        every = hook.every_messages
        is_wanted = trigger.moment in hook.at
        if trigger.moment == "messages":
            is_wanted = every is not None and trigger.messages % every == 0
        if is_wanted:
            yield Delivery(name, hook_name, trigger, now_s)
