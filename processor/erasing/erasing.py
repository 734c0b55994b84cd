"""Removes a person from everywhere, and notes each step in a proof."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from processor.codec.isotime import format_time
from processor.core.ids import is_of
from processor.erasing.looking import Looked
from processor.erasing.proof import Proof
from processor.errors import UsageError
from processor.outbox.erasing import erase_from
from processor.removal.clearing import Cleared, clear
from processor.sessions.forms.jsonforms import removal_fields
from processor.sessions.ports import Gone, Removed, Store
from processor.targets.target import Target


class Erasure(NamedTuple):
    """What was removed of a person, or would be."""

    removed: Removed  # from the store
    cleared: Sequence[Cleared]  # from the roots
    is_complete: bool  # whether all places were named and could be judged
    is_dry_run: bool  # whether nothing was removed yet
    proof: Proof | None  # None also if there was nothing to remove


class InTheWay(UsageError):
    """Something is in the way of erasing a person now."""

    def __init__(self, way: UsageError) -> None:
        super().__init__(way.what, remedy=way.remedy)
        self.way = way


def would_erase(looked: Looked) -> Erasure:
    """Return what `erase` would remove. Raises as `remove`."""
    removed, cleared = remove(looked.places.store, looked.targets, looked.user)
    return Erasure(removed, cleared, _is_complete(looked, cleared), is_dry_run=True, proof=None)


def begin(looked: Looked, file: Path, now_ms: int) -> Proof:
    """Begin the proof in a new `file`, with all that was found, before anything is removed.

    Raises:
        InTheWay: something is in the way.
        UsageError: the proof cannot be written.
    """
    if looked.ways:
        raise InTheWay(looked.ways[0])
    found = _counts(looked.places.store.removal.removable(Gone(user_id=looked.user)))
    return Proof(file, looked.user, {"erased_at": format_time(now_ms), "store": found, "targets": [], **looked.told()})


def erase(looked: Looked, begun: Proof, *, keep_proof: bool = False) -> Erasure:
    """Remove the person: the profile first, then the outbox, the state, the store and the roots.

    If nothing was there to remove, the proof is dropped, unless `keep_proof`.

    Raises:
        InTheWay: the processor does not obey, or another group wrote the states. Without a proof, nothing was changed.
        A3CPError: something does not answer, or a process uses the outbox; the proof says how far it came.
    """
    places, user = looked.places, looked.user
    if looked.has_profile and places.profiles is not None:
        places.profiles.remove(user)
    if looked.kept and places.outbox is not None:
        erase_from(places.outbox, user)
    _forget(looked, begun)
    removed, cleared = remove(places.store, looked.targets, user, begun, is_whole=not looked.not_there)
    is_needed = keep_proof or looked.has_profile or looked.kept or looked.states or _are_any(removed, cleared)
    if not is_needed:
        begun.drop()
    return Erasure(
        removed, cleared, _is_complete(looked, cleared), is_dry_run=False, proof=begun if is_needed else None
    )


def fields_of(looked: Looked, erased: Erasure) -> dict[str, Any]:
    """Return what was done as JSON tells it, without the proof."""
    return {
        "dry_run": erased.is_dry_run,
        "store": removal_fields(erased.removed),
        "targets": [one._asdict() for one in erased.cleared],
        **looked.told(),
        "in_the_way": [str(way) for way in looked.ways],
        "complete": erased.is_complete and not erased.is_dry_run,
    }


def remove(
    store: Store, targets: Sequence[Target], user: str, proof: Proof | None = None, *, is_whole: bool = True
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


def _forget(looked: Looked, begun: Proof) -> None:
    if not looked.states:
        return
    try:
        looked.places.log.forget(looked.states)
    except UsageError as error:
        if not (looked.has_profile or looked.kept):  # Nothing was changed.
            begun.drop()
        raise InTheWay(error) from error


def _is_complete(looked: Looked, cleared: Sequence[Cleared]) -> bool:
    return not looked.not_there and all(one.is_whole for one in cleared)


def _are_any(removed: Removed, cleared: Sequence[Cleared]) -> bool:
    return any(removal_fields(removed).values()) or any(one.found for one in cleared)


def _proven(cleared: Cleared) -> dict[str, Any]:
    """Return what a proof may say of a root. Of unjudged places only the count: a name may betray a person."""
    return {**cleared._asdict(), "others": len(cleared.others)}


def _counts(removed: Removed) -> dict[str, Any]:
    """Return what a proof may say of the store. A session's start is left out: it helps to guess whose it is."""
    return {name: count for name, count in removal_fields(removed).items() if not name.endswith("_start")}
