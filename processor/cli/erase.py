"""`a3cp erase`: removes a person, and says what it cannot remove and until when that stays."""

import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from processor.cli.proof import NEW_FILE, Proof
from processor.cli.retention import Roots, fields_of, targets_of, tell
from processor.cli.settings import Bootstrap, Json, Prefix, Store, chosen
from processor.cli.terminal import print_json
from processor.core.errors import UsageError

if TYPE_CHECKING:
    from processor.config import TopicNames
    from processor.exporter.ports import Removed, Source
    from processor.exporter.ports import Store as StorePort
    from processor.exporter.removal import Cleared
    from processor.exporter.target import Target
    from processor.kafka.erasure import Held
    from processor.kafka.log import LogConf

NOT_TOUCHED: Final = (
    "what upstream's modules keep themselves",
    "backups",
    "other stores and other copies of the topics",
)


def erase(
    user: Annotated[str, typer.Argument(metavar="USER", help="The person's user id.")],
    *,
    to: Roots = None,
    proof: Annotated[
        Path | None,
        typer.Option("--proof", metavar="FILE", help="Where the proof goes; default: a3cp-erasure-TIME.json, here."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be removed.")] = False,
    store: Store = None,
    bootstrap: Bootstrap = None,
    prefix: Prefix = None,
    as_json: Json = False,
) -> None:
    """Remove a person from the store, the bundles, the training data and the processor's state; leave a proof."""
    from processor.codec.isotime import format_time
    from processor.exporter.ports import Gone
    from processor.kafka.topic_admin import check_topics, read_topics
    from processor.wiring import log_conf, store_of

    key = user.encode(errors="replace")
    if not key.strip():
        raise UsageError("no user is named", remedy="give the person's user id")
    targets = targets_of(to)
    settings = chosen(bootstrap, prefix, store)
    topics, kafka = settings.topics(), settings.kafka_conf()
    conf = log_conf(settings, 0, check_topics(kafka, settings.topic_prefix, raw=settings.raw_topic))
    now_ms = time.time_ns() // 1_000_000
    file = proof or Path(f"a3cp-erasure-{_stamp(now_ms)}.json")
    if not dry_run and (file.exists() or not file.absolute().parent.is_dir()):
        raise UsageError(f"no proof can be written to {file}", remedy=NEW_FILE)
    with closing(store_of(settings, must_exist=True)) as opened:
        offsets = opened.offsets()
        if offsets:
            opened.follow(f"{topics.tagged} and {topics.sessions}")  # Else what is not exported could not be told.
        configs = {name: topic.configs for name, topic in read_topics(kafka, topics).items()}
        held, ways = _look(conf, topics, key, offsets)
        states = [one.partition for one in held if one.topic == topics.state and one.has_value]
        told: dict[str, Any] = {
            "state": {"topic": topics.state, "partitions": states},
            "remains": _remains(held, configs, topics.state),
            "not_touched": NOT_TOUCHED,
        }
        begun = None
        if dry_run:
            removed, cleared = remove(opened, targets, user)
        elif ways:
            raise ways[0]
        else:
            found = _counts(opened.removable(Gone(user_id=user)))
            begun = Proof(file, user, {"erased_at": format_time(now_ms), "store": found, "targets": [], **told})
            with told_where(begun):
                if states:
                    _forget(conf, key, states, begun)
                removed, cleared = remove(opened, targets, user, begun)
    if begun and not (proof or states or any(fields_of(removed).values()) or any(one.found for one in cleared)):
        begun.drop()
        begun = None
    outcome = {"store": fields_of(removed), "targets": [one._asdict() for one in cleared], **told}
    if as_json:
        proven = {"proof": str(file), "receipt": begun.receipt} if begun else {"proof": None, "receipt": None}
        print_json({"dry_run": dry_run, **outcome, "in_the_way": [str(way) for way in ways], **proven})
        return
    tell(opened.name, removed, cleared, dry_run=dry_run)
    _tell_topics(topics.state, states, told["remains"], configs[topics.state], dry_run=dry_run)
    for way in ways:
        print(f"in the way: {way}")
    if begun:
        print(f"proof    {file}")
        print(f"receipt  {begun.receipt}")
        print("the proof names nobody; only with the receipt and the user id can it be shown whose it is")


@contextmanager
def told_where(proof: Proof) -> Iterator[None]:
    """Say where the proof is when what it is to prove was interrupted."""
    try:
        yield
    except BaseException:
        if proof.file.exists():
            print(f"the proof {proof.file} says how far it came; its receipt: {proof.receipt}", file=sys.stderr)
            print("run it again with --proof and another file, which then says that all was done", file=sys.stderr)
        raise


def _forget(conf: "LogConf", key: bytes, partitions: Sequence[int], proof: Proof) -> None:
    from processor.kafka.erasure import forget

    try:
        forget(conf, key, partitions)
    except UsageError:  # Nothing was changed.
        proof.drop()
        raise


def remove(
    store: "StorePort", targets: "Sequence[Target]", user: str, proof: Proof | None = None
) -> "tuple[Removed, list[Cleared]]":
    """Remove `user` from the store and the targets, and note it in `proof`; without one only return what would be.

    Raises:
        StoreUnavailable, TargetUnavailable: the proof says what was removed until then.
    """
    from processor.exporter.ports import Gone
    from processor.exporter.removal import clear

    gone = Gone(user_id=user)
    removed = store.remove(gone) if proof else store.removable(gone)
    if proof:
        proof.note(store=_counts(removed))
    known = [(session_id, start_ms) for session_id, start_ms, _ in removed.sessions]
    cleared: list[Cleared] = []
    for target in targets:
        cleared.append(clear(target, lambda user_id, _: user_id == user, known=known, dry_run=proof is None))
        if proof:
            proof.note(targets=[one._asdict() for one in cleared])
    if proof:
        store.scrub()  # The last, since others who read the store make it fail.
        proof.note(complete=True)
    return removed, cleared


def _counts(removed: "Removed") -> dict[str, Any]:
    """Return what a proof may say of the store: no session's start, which would help to guess whose it is."""
    return {name: count for name, count in fields_of(removed).items() if not name.endswith("_start")}


def _look(
    conf: "LogConf", topics: "TopicNames", key: bytes, offsets: "Mapping[Source, int]"
) -> "tuple[list[Held], list[UsageError]]":
    """Return what the topics hold of the person, and what is in the way of erasing them now.

    What the processor has not read, or the exporter not written, would come after the erasure. The raw topic is read
    first: what is committed there is in the other topics.
    """
    from processor.exporter.ports import SESSIONS, TAGGED
    from processor.kafka.erasure import committed, held_of, is_at_work, processor_at_work

    raw = held_of(conf.common, topics.raw, key)
    done = committed(conf, [one.partition for one in raw]) if raw else {}
    tagged, sessions, state, dead = (
        held_of(conf.common, name, key) for name in (topics.tagged, topics.sessions, topics.state, topics.dlq)
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
    if any(one.has_value for one in state) and is_at_work(conf):
        ways.append(processor_at_work(conf.group_id))
    return [*raw, *tagged, *sessions, *dead, *state], ways


def _place(held: "Held") -> str:
    return f"{held.topic}[{held.partition}]@{held.last_offset}"


def _remains(held: "Sequence[Held]", configs: Mapping[str, Mapping[str, str]], state: str) -> list[dict[str, Any]]:
    """Return what stays in the append-only topics, and until when."""
    from processor.codec.isotime import format_time
    from processor.kafka.erasure import gone_by_ms

    told = []
    for one in held:
        if one.topic != state:
            until_ms = gone_by_ms(one, configs[one.topic])
            fields = {name: value for name, value in one._asdict().items() if name not in ("last_ms", "has_value")}
            told.append({**fields, "until": None if until_ms is None else format_time(until_ms)})
    return told


def _tell_topics(
    state: str,
    partitions: Sequence[int],
    remains: Sequence[Mapping[str, Any]],
    configs: Mapping[str, str],
    *,
    dry_run: bool,
) -> None:
    if partitions:
        hours = (int(configs["max.compaction.lag.ms"]) + int(configs["segment.ms"])) / 3_600_000
        days = int(configs["delete.retention.ms"]) / 86_400_000
        print(f"{'would be removed' if dry_run else 'removed'} from {state}: the state, by a tombstone in {partitions}")
        print(
            f"  what was there before goes by compaction, about {hours:.1f} h after the processor writes there again,"
        )
        print(f"  the tombstone, whose key is the user id, about {days:.0f} days later")
    if remains:
        print("this remains: Kafka takes records out of these topics by their age only")
        for one in remains:
            place = f"{one['topic']}[{one['partition']}]"
            until = f"until {one['until'][:16].replace('T', ' ')}Z" if one["until"] else "for ever: retention.ms is -1"
            print(
                f"  {place}: {one['records']:,} records, offsets {one['first_offset']} to {one['last_offset']}, {until}"
            )
        print("until then, a store that is filled from them anew holds the person again: erase there once more")
    else:
        print("nothing with the user id as key is in the append-only topics")
    print(f"not touched: {', '.join(NOT_TOUCHED)}")


def _stamp(now_ms: int) -> str:
    from processor.codec.isotime import format_time

    return format_time(now_ms)[:19].replace("-", "").replace(":", "") + "Z"
