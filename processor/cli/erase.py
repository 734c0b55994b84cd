"""`a3cp erase`: removes a person, and says what it cannot remove and until when that stays."""

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from processor.cli.arguments.settings import Bootstrap, Json, Prefix, Roots, Store, chosen
from processor.cli.printing.removals import tell
from processor.cli.printing.text import nearest, print_json, quoted
from processor.codec.isotime import format_time, wall_ms
from processor.core.model import DAY_MS, HOUR_MS
from processor.erasing import erasing
from processor.erasing.looking import Looked, NothingHeld, Places, look
from processor.erasing.on_kafka import ErasureLogOnKafka
from processor.erasing.proof import NEW_FILE, Proof
from processor.errors import UsageError
from processor.kafka.topics.admin import check_topics
from processor.removal.roots import targets_of
from processor.settings.model import Settings
from processor.targets.target import Target
from processor.upstream.words.counting import counted
from processor.wiring import log_conf, profiles_of, recognise, store_of, with_profiles_beside

if TYPE_CHECKING:
    from processor.profiles import Profiles

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
    conf = log_conf(settings, 0, check_topics(settings.kafka_conf(), settings.topic_prefix, raw=settings.raw_topic))
    now_ms = wall_ms()
    file = _new_file(proof or Path(f"a3cp-erasure-{_stamp(now_ms)}.json"), dry_run=dry_run)
    with closing(store_of(settings, must_exist=True)) as opened:
        recognise(opened, settings)
        outbox = Path(settings.outbox) if settings.outbox else None
        looked = _look(Places(ErasureLogOnKafka(conf, settings.topics()), opened, profiles, outbox), user, targets)
        if dry_run:
            erased = erasing.would_erase(looked)
        else:
            begun = erasing.begin(looked, file, now_ms)
            with told_where(begun):
                erased = erasing.erase(looked, begun, keep_proof=proof is not None)
    if as_json:
        print_json({**erasing.fields_of(looked, erased), **_proven_by(erased.proof)})
    else:
        tell(opened.name, erased.removed, erased.cleared, dry_run=dry_run)
        _tell_profile(has_profile=looked.has_profile, kept=looked.kept, dry_run=dry_run)
        _tell_topics(looked.told(), looked.state_configs, dry_run=dry_run)
        print(f"not touched: {'; '.join(looked.not_touched)}")
        _tell_proof(erased.proof, looked.ways, is_complete=erased.is_complete)
    if not (erased.is_complete or dry_run):
        print(UNFINISHED, file=sys.stderr)
        raise typer.Exit(1)


def _look(places: Places, user: str, targets: Sequence[Target]) -> Looked:
    """Look for a person. Raises as `look`; who is not found is told which id is most like theirs."""
    try:
        return look(places, user, targets)
    except NothingHeld as error:
        like = nearest(user, error.known)
        hint = f"; most like it: {quoted(like)}" if like else ""
        what = f"nothing of {quoted([user])} is in {', '.join(error.searched)}"
        raise UsageError(what, remedy=f"{error.remedy}{hint}") from error


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


def _profiles(settings: Settings, user: str) -> "tuple[Profiles | None, str]":
    """Return who knows the persons behind pseudonyms, and the user id of whom `user` names, perhaps by e-mail."""
    if not user.strip():
        raise UsageError("no user is named", remedy="give the person's user id")
    profiles = profiles_of(with_profiles_beside(settings))
    return profiles, user if profiles is None or "@" not in user else profiles.pseudonym(user)


def _tell_profile(*, has_profile: bool, kept: int, dry_run: bool) -> None:
    if has_profile:
        print(f"profile  {'would be ' if dry_run else ''}removed: what was kept of the person behind the pseudonym")
    if kept:
        print(f"outbox   {'would be ' if dry_run else ''}removed: {counted(kept, 'record')}")


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


def _tell_topics(told: Mapping[str, Any], configs: Mapping[str, str], *, dry_run: bool) -> None:
    for root in told["not_there"]:
        print(f"not there: {root}, where sessions of the person were exported to; if it was moved, name its place")
    state, partitions, remains = told["state"]["topic"], told["state"]["partitions"], told["remains"]
    if partitions:
        hours = (int(configs["max.compaction.lag.ms"]) + int(configs["segment.ms"])) / HOUR_MS
        days = int(configs["delete.retention.ms"]) / DAY_MS
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
                f"  {place}: {counted(one['records'], 'record')}, offsets {one['first_offset']} "
                f"to {one['last_offset']}, {until}"
            )
        print("until then, a store that is filled from them anew holds the person again: erase there once more")
    else:
        print("nothing with the user id as key is in the append-only topics")


def _stamp(now_ms: int) -> str:
    return format_time(now_ms)[:19].replace("-", "").replace(":", "") + "Z"
