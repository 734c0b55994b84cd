"""`a3cp erase`: removes a person, and says what it cannot remove and until when that stays."""

import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from processor.cli.places import is_there, targets_of, unnamed_roots
from processor.cli.proof import NEW_FILE, Proof
from processor.cli.removals import removal_fields, tell
from processor.cli.settings import Bootstrap, Json, Prefix, Roots, Store, chosen
from processor.cli.text import nearest, print_json, quoted
from processor.codec.isotime import format_time
from processor.core.ids import is_of
from processor.errors import UsageError
from processor.kafka.conf import LogConf
from processor.kafka.erasure import Held, forget, gone_by_ms, group_offsets, held_of, is_at_work, processor_at_work
from processor.kafka.topic_admin import check_topics, read_topics
from processor.outbox.erasing import erase_from, in_the_way, kept_of
from processor.removal.clearing import Cleared, clear
from processor.sessions.ports import SESSIONS, TAGGED, Gone, Removed, Source
from processor.sessions.ports import Store as StorePort
from processor.settings.model import Settings, TopicNames
from processor.targets.target import Target
from processor.wiring import log_conf, profiles_of, recognise, store_of

if TYPE_CHECKING:
    from processor.profiles import Profiles

NOT_TOUCHED: Final = (
    "what upstream's modules keep themselves",
    "backups",
    "other stores and other copies of the topics",
)
UNFINISHED: Final = (
    "not all is done: look at what is named above; take it away, or out of the root, then erase again with a new proof"
)


def erase(
    user: Annotated[
        str, typer.Argument(metavar="USER", help="The person's user id; with a profile store the e-mail address too.")
    ],
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
    """Remove a person from everywhere, with all of their lanes, and leave a proof.

    Their sessions go from the store, the bundles, the training data and the processor's state.
    """
    targets = targets_of(to)
    settings = chosen(bootstrap, prefix, store)
    profiles, user = _profiles(settings, user)
    topics, kafka = settings.topics(), settings.kafka_conf()
    conf = log_conf(settings, 0, check_topics(kafka, settings.topic_prefix, raw=settings.raw_topic))
    now_ms = time.time_ns() // 1_000_000
    file = _new_file(proof or Path(f"a3cp-erasure-{_stamp(now_ms)}.json"), dry_run=dry_run)
    with closing(store_of(settings, must_exist=True)) as opened:
        offsets = recognise(opened, settings)
        configs = {name: topic.configs for name, topic in read_topics(kafka, topics).items()}
        others: set[bytes] = set()
        held, ways = _look(conf, topics, user, offsets, others)
        has_profile = profiles.profile(user) is not None
        outbox = Path(settings.outbox or "")
        kept = kept_of(outbox, user) if settings.outbox else 0
        if not held and not has_profile and not kept:
            _check_spelling(user, opened, targets, [*topics, opened.name], others)
        ways += [_not_named(root) for root in unnamed_roots(opened.ledger.targets(), targets) if is_there(root)]
        ways += in_the_way(outbox, kept)
        gone = [
            root for root in unnamed_roots(opened.ledger.targets(Gone(user_id=user)), targets) if not is_there(root)
        ]
        states = {one.partition: one.keys for one in held if one.topic == topics.state and one.keys}
        told: dict[str, Any] = {
            "profile": has_profile,
            "outbox": kept,
            "state": {"topic": topics.state, "partitions": list(states)},
            "remains": _remains(held, configs, topics.state),
            "not_there": gone,
            "not_touched": NOT_TOUCHED,
        }
        if ways and not dry_run:
            raise ways[0]
        begun = None
        if dry_run:
            removed, cleared = remove(opened, targets, user)
        else:
            found = _counts(opened.removal.removable(Gone(user_id=user)))
            begun = Proof(file, user, {"erased_at": format_time(now_ms), "store": found, "targets": [], **told})
            with told_where(begun):
                _erase_beside_the_log(profiles, outbox, user, has_profile=has_profile, is_kept=bool(kept))
                _forget(conf, states, begun, is_first=not (has_profile or kept))
                removed, cleared = remove(opened, targets, user, begun, is_whole=not gone)
            if not (proof or has_profile or kept or states) and _is_nothing(removed, cleared):
                begun.drop()
                begun = None
    is_complete = not gone and all(one.is_whole for one in cleared)
    if as_json:
        print_json(
            {
                "dry_run": dry_run,
                "store": removal_fields(removed),
                "targets": [one._asdict() for one in cleared],
                **told,
                "in_the_way": [str(way) for way in ways],
                "complete": is_complete and not dry_run,
                **_proven_by(begun),
            }
        )
    else:
        tell(opened.name, removed, cleared, dry_run=dry_run)
        _tell_profile(has_profile=has_profile, kept=kept, dry_run=dry_run)
        _tell_topics(told, configs[topics.state], dry_run=dry_run)
        _tell_proof(begun, ways, is_complete=is_complete)
    if not (is_complete or dry_run):
        print(UNFINISHED, file=sys.stderr)
        raise typer.Exit(1)


def _erase_beside_the_log(
    profiles: "Profiles | _NoProfiles", outbox: Path, user: str, *, has_profile: bool, is_kept: bool
) -> None:
    """Remove what is known of a person outside of the log and all that is made of it."""
    if has_profile:
        profiles.remove(user)
    if is_kept:
        erase_from(outbox, user)


def _is_nothing(removed: Removed, cleared: Sequence[Cleared]) -> bool:
    return not any(removal_fields(removed).values()) and not any(one.found for one in cleared)


def _proven_by(proof: Proof | None) -> dict[str, Any]:
    return {"proof": proof and str(proof.file), "receipt": proof and proof.receipt}


def _new_file(file: Path, *, dry_run: bool) -> Path:
    if not dry_run and (file.exists() or not file.absolute().parent.is_dir()):
        raise UsageError(f"no proof can be written to {file}", remedy=NEW_FILE)
    return file


def _tell_proof(proof: Proof | None, ways: Sequence[UsageError], *, is_complete: bool) -> None:
    for way in ways:
        print(f"in the way: {way}")
    if proof is not None:
        print(f"proof    {proof.file}{'' if is_complete else ', which does not say that all is done'}")
        print(f"receipt  {proof.receipt}")
        print("the proof names nobody; only with the receipt and the user id can it be shown whose it is")


def _profiles(settings: Settings, user: str) -> "tuple[Profiles | _NoProfiles, str]":
    """Return who knows the persons behind pseudonyms, and the user id of whom `user` names, perhaps by e-mail."""
    if not user.strip():
        raise UsageError("no user is named", remedy="give the person's user id")
    profiles = profiles_of(settings)
    if profiles is None:
        return _NoProfiles(), user
    return profiles, profiles.pseudonym(user) if "@" in user else user


class _NoProfiles:
    """The profiles where no place is set for them."""

    def profile(self, _pseudonym: str) -> None:
        """Know nobody."""

    def remove(self, _pseudonym: str) -> None:
        """Have nothing to remove."""


def _tell_profile(*, has_profile: bool, kept: int, dry_run: bool) -> None:
    if has_profile:
        print(f"profile  {'would be ' if dry_run else ''}removed: what was kept of the person behind the pseudonym")
    if kept:
        print(f"outbox   {'would be ' if dry_run else ''}removed: {kept:,} records")


def _check_spelling(
    user: str, store: StorePort, targets: Sequence[Target], searched: Sequence[str], others: set[bytes]
) -> None:
    """Check that store or targets hold something of a person who is not in the topics.

    Raises:
        UsageError: they hold nothing.
        StoreUnavailable, TargetUnavailable: nobody can tell.
    """
    if any(removal_fields(store.removal.removable(Gone(user_id=user))).values()):
        return
    known = {key.decode(errors="replace") for key in others} | set(store.reader.users())

    def is_gone(user_id: str, _: str) -> bool:
        known.add(user_id)
        return is_of(user_id, user)

    found = sum(clear(target, is_gone, dry_run=True).found for target in targets)
    if found:
        return
    like = nearest(user, known)
    hint = f"; most like it: {quoted(like)}" if like else ""
    places = ", ".join([*searched, *(target.name for target in targets)])
    raise UsageError(f"nothing of {quoted([user])} is in {places}", remedy=f"see how the id is spelt{hint}")


def _not_named(root: str) -> UsageError:
    return UsageError(
        f"the store has exported to {root}, which no --to names, so nobody would look there",
        remedy=f"add --to {root}",
    )


@contextmanager
def told_where(proof: Proof) -> Iterator[None]:
    """Say where the proof is if the erasure is interrupted."""
    try:
        yield
    except BaseException:
        if proof.file.exists():
            print(f"the proof {proof.file} says how far it came; its receipt: {proof.receipt}", file=sys.stderr)
            print("run it again with --proof and another file, which then says that all was done", file=sys.stderr)
        raise


def _forget(conf: LogConf, states: Mapping[int, frozenset[bytes]], proof: Proof, *, is_first: bool) -> None:
    if not states:
        return
    try:
        forget(conf, states)
    except UsageError:
        if is_first:  # Nothing was changed.
            proof.drop()
        raise


def remove(
    store: StorePort, targets: Sequence[Target], user: str, proof: Proof | None = None, *, is_whole: bool = True
) -> tuple[Removed, list[Cleared]]:
    """Remove `user` from the store and the targets, and note it in `proof`. Without a proof, only say what would go.

    The proof says `complete` if everything could be judged, and `is_whole`: all places were named.

    Raises:
        StoreUnavailable, TargetUnavailable: the proof says what was removed until then.
    """
    gone = Gone(user_id=user)
    removed = store.removal.remove(gone) if proof else store.removal.removable(gone)
    if proof:
        proof.note(store=_counts(removed))
    known = [(session_id, start_ms) for session_id, start_ms, _ in removed.sessions]
    cleared: list[Cleared] = []
    for target in targets:
        cleared.append(clear(target, lambda user_id, _: is_of(user_id, user), known=known, dry_run=proof is None))
        if proof:
            proof.note(targets=[_proven(one) for one in cleared])
    if proof:
        store.removal.scrub()  # The last, since others who read the store make it fail.
        proof.note(complete=is_whole and all(one.is_whole for one in cleared))
    return removed, cleared


def _proven(cleared: Cleared) -> dict[str, Any]:
    """Return what a proof may say of a root. Of unjudged places only the count: a name may betray a person."""
    return {**cleared._asdict(), "others": len(cleared.others)}


def _counts(removed: Removed) -> dict[str, Any]:
    """Return what a proof may say of the store. A session's start is left out: it helps to guess whose it is."""
    return {name: count for name, count in removal_fields(removed).items() if not name.endswith("_start")}


def _look(
    conf: LogConf, topics: TopicNames, user: str, offsets: Mapping[Source, int], others: set[bytes]
) -> tuple[list[Held], list[UsageError]]:
    """Return what the topics hold of the person, and what is in the way of erasing them now.

    Records that the processor has not read, or the exporter not written, would come after the erasure. The raw topic is
    read first: what is committed there is in the other topics. `others` takes the keys of other people.
    """
    raw = held_of(conf.common, topics.raw, user, others)
    done = group_offsets(conf, [one.partition for one in raw]) if raw else {}
    tagged, sessions, state, dead = (
        held_of(conf.common, name, user, others) for name in (topics.tagged, topics.sessions, topics.state, topics.dlq)
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
    if any(one.keys for one in state) and is_at_work(conf):
        ways.append(processor_at_work(conf.group_id))
    return [*raw, *tagged, *sessions, *dead, *state], ways


def _place(held: Held) -> str:
    return f"{held.topic}[{held.partition}]@{held.last_offset}"


def _remains(held: Sequence[Held], configs: Mapping[str, Mapping[str, str]], state: str) -> list[dict[str, Any]]:
    """Return what stays in the append-only topics, and until when."""
    told = []
    for one in held:
        if one.topic != state:
            until_ms = gone_by_ms(one, configs[one.topic])
            fields = {name: value for name, value in one._asdict().items() if name not in ("last_ms", "keys")}
            told.append({**fields, "until": None if until_ms is None else format_time(until_ms)})
    return told


def _tell_topics(told: Mapping[str, Any], configs: Mapping[str, str], *, dry_run: bool) -> None:
    for root in told["not_there"]:
        print(f"not there: {root}, where sessions of the person were exported to; if it was moved, name its place")
    state, partitions, remains = told["state"]["topic"], told["state"]["partitions"], told["remains"]
    if partitions:
        hours = (int(configs["max.compaction.lag.ms"]) + int(configs["segment.ms"])) / 3_600_000
        days = int(configs["delete.retention.ms"]) / 86_400_000
        print(f"{'would be removed' if dry_run else 'removed'} from {state}: the state, by a tombstone in {partitions}")
        print(
            f"  what was there before goes by compaction, about {hours:.1f} h after the processor writes there again,"
        )
        print(f"  the tombstone and the mark beside it, whose keys hold the user id, about {days:.0f} days later")
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
    return format_time(now_ms)[:19].replace("-", "").replace(":", "") + "Z"
