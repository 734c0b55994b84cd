"""What is held of a person, and what is in the way of erasing it now. Nothing is changed here."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol

from processor.codec.isotime import format_time
from processor.core.ids import is_of
from processor.errors import UsageError
from processor.kafka.stopped.erasure import HeldInTopic, gone_by_ms
from processor.outbox.erasing import in_the_way, kept_of
from processor.removal.clearing import clear
from processor.removal.roots import is_there, unnamed_roots
from processor.sessions.forms.jsonforms import removal_fields
from processor.sessions.ports import SESSIONS, TAGGED, Gone, Source, Store
from processor.settings.model import TopicNames
from processor.targets.target import Target

if TYPE_CHECKING:
    from processor.profiles import Profiles  # Of an extra, which few have.

NOT_TOUCHED: Final = (
    "what upstream's modules keep themselves",
    "backups",
    "other stores and other copies of the topics",
)


class ErasureLog(Protocol):
    """The topics, as an erasure reads and changes them. What each raises is told by `kafka.erasure`."""

    @property
    def topics(self) -> TopicNames:
        """Their names."""

    def held(self, topic: str, person: str, others: set[bytes]) -> list[HeldInTopic]:
        """Return what a topic holds of a person; see `held_of`."""

    def done(self, partitions: Iterable[int]) -> Mapping[int, int]:
        """Return the group's next offset in each of these partitions of the raw topic, where it has one."""

    def configs(self) -> Mapping[str, Mapping[str, str]]:
        """Return the topics' settings."""

    def forget(self, states: Mapping[int, frozenset[bytes]]) -> None:
        """Remove keys, by partition, from the state topic; see `kafka.erasure.forget`."""


class Places(NamedTuple):
    """Where something of a person may be, beside the roots of exports."""

    log: ErasureLog
    store: Store
    profiles: "Profiles | None"  # None: no place is set for them
    outbox: Path | None  # None: there is none


class Looked(NamedTuple):
    """What is held of a person."""

    places: Places
    targets: Sequence[Target]  # the roots that are named
    user: str
    has_profile: bool
    kept: int  # records in the outbox
    states: Mapping[int, frozenset[bytes]]  # keys in the state topic, by partition
    state_configs: Mapping[str, str]  # of the state topic
    remains: Sequence[Mapping[str, Any]]  # what stays in the append-only topics, and until when
    not_there: Sequence[str]  # roots that the store has exported the person's sessions to, and that are gone
    ways: Sequence[UsageError]  # what is in the way

    def told(self) -> dict[str, Any]:
        """Return what JSON and the proof say of it."""
        return {
            "profile": self.has_profile,
            "outbox": self.kept,
            "state": {"topic": self.places.log.topics.state, "partitions": list(self.states)},
            "remains": self.remains,
            "not_there": self.not_there,
            "not_touched": self.not_touched,
        }

    @property
    def not_touched(self) -> tuple[str, ...]:
        """What nobody has looked into, since no setting names it or it is others'."""
        named = {
            "a profile store with links and bookmarks, as A3CP_PROFILE_STORE_URL names none": self.places.profiles,
            "an outbox, as A3CP_OUTBOX names none": self.places.outbox,
        }
        return *(words for words, place in named.items() if place is None), *NOT_TOUCHED


class NothingHeld(UsageError):
    """Nothing of the person is in any of the places: the id may be misspelt."""

    def __init__(self, searched: Sequence[str], known: set[str]) -> None:
        """Name the places, and the persons who are known there."""
        super().__init__(f"nothing of the person is in {', '.join(searched)}", remedy="see how the id is spelt")
        self.searched = searched
        self.known = known


class UnnamedRoot(UsageError):
    """The store has exported to a root that nobody names."""

    def __init__(self, root: str) -> None:
        super().__init__(
            f"the store has exported to {root}, which no --to names, so nobody would look there",
            remedy=f"add --to {root}",
        )
        self.root = root


def look(places: Places, user: str, targets: Sequence[Target]) -> Looked:
    """Look for a person everywhere.

    Raises:
        NothingHeld: nothing is there.
        UsageError: the outbox cannot be read, or a topic does not exist.
        BrokerUnavailable, StoreUnavailable, TargetUnavailable: nobody can tell.
    """
    log, store, profiles, outbox = places
    ledger, state = store.ledger, log.topics.state
    configs = log.configs()
    others: set[bytes] = set()
    held, ways = _in_topics(log, user, store.reader.offsets(), others)
    has_profile = profiles is not None and profiles.holds(user)
    kept = 0 if outbox is None else kept_of(outbox, user)
    if not held and not has_profile and not kept:
        _check_is_held(places, user, targets, others)
    ways += [UnnamedRoot(root) for root in unnamed_roots(ledger.targets(), targets) if is_there(root)]
    if outbox is not None:
        ways += in_the_way(outbox, kept)
    return Looked(
        places=places,
        targets=targets,
        user=user,
        has_profile=has_profile,
        kept=kept,
        states={one.partition: one.keys for one in held if one.topic == state and one.keys},
        state_configs=configs[state],
        remains=_remains(held, configs, state),
        not_there=[root for root in unnamed_roots(ledger.targets(Gone(user_id=user)), targets) if not is_there(root)],
        ways=ways,
    )


def _in_topics(
    log: ErasureLog, user: str, offsets: Mapping[Source, int], others: set[bytes]
) -> tuple[list[HeldInTopic], list[UsageError]]:
    """Return what the topics hold of the person, and what is in the way of erasing them now.

    Records that the processor has not read, or the exporter not written, would come after the erasure. The raw topic is
    read first: what is committed there is in the other topics. `others` takes the keys of other people.
    """
    topics = log.topics
    raw = log.held(topics.raw, user, others)
    done = log.done([one.partition for one in raw]) if raw else {}
    tagged, sessions, state, dead = (
        log.held(name, user, others) for name in (topics.tagged, topics.sessions, topics.state, topics.dlq)
    )
    ways = []
    if late := [one for one in raw if one.last_offset >= done.get(one.partition, 0)]:
        ways.append(
            UsageError(
                f"records of the person wait to be processed, up to {_place(late[0])}",
                remedy="see that nobody sends more of them, and let a3cp process finish first",
            )
        )
    late = [one for one in tagged if one.last_offset >= offsets.get((TAGGED, one.partition), 0)]
    late += [one for one in sessions if one.last_offset >= offsets.get((SESSIONS, one.partition), 0)]
    if late:
        ways.append(
            UsageError(
                f"records of the person are not in the store yet, up to {_place(late[0])}, and would come after",
                remedy="run a3cp export first",
            )
        )
    return [*raw, *tagged, *sessions, *dead, *state], ways


def _check_is_held(places: Places, user: str, targets: Sequence[Target], others: set[bytes]) -> None:
    """Check that store or targets hold something of a person who is not in the topics.

    Raises:
        NothingHeld: they hold nothing.
        StoreUnavailable, TargetUnavailable: nobody can tell.
    """
    store = places.store
    if any(removal_fields(store.removal.removable(Gone(user_id=user))).values()):
        return
    known = {key.decode(errors="replace") for key in others} | set(store.reader.users())

    def is_gone(user_id: str, _: str) -> bool:
        known.add(user_id)
        return is_of(user_id, user)

    if not sum(clear(target, is_gone, dry_run=True).found for target in targets):
        raise NothingHeld([*places.log.topics, store.name, *(target.name for target in targets)], known)


def _place(held: HeldInTopic) -> str:
    return f"{held.topic}[{held.partition}]@{held.last_offset}"


def _remains(held: Sequence[HeldInTopic], configs: Mapping[str, Mapping[str, str]], state: str) -> list[dict[str, Any]]:
    """Return what stays in the append-only topics, and until when."""
    told = []
    for one in held:
        if one.topic != state:
            until_ms = gone_by_ms(one, configs[one.topic])
            fields = {name: value for name, value in one._asdict().items() if name not in ("last_ms", "keys")}
            told.append({**fields, "until": None if until_ms is None else format_time(until_ms)})
    return told
