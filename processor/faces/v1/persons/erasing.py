"""Erases a person: all of their sessions, wherever this service's processor and exporter have put them."""

import json
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any, Final

from fastapi import APIRouter, Body, Response
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from processor.erasing.erasing import begin, erase, fields_of, would_erase
from processor.erasing.looking import NothingHeld, Places, UnnamedRoot, look
from processor.erasing.proof import Proof
from processor.errors import A3CPError, UsageError
from processor.faces.auth.doors import Asking
from processor.faces.problems import Problem, problem_of
from processor.faces.replica.context import Context, Given
from processor.faces.requests.finding import caught_up
from processor.faces.requests.ids import owner
from processor.faces.requests.paths import UserId
from processor.faces.requests.persons import is_email, refuse_email
from processor.faces.requests.roles import needs
from processor.faces.v1.reading import answer, in_thread
from processor.removal.roots import is_there, targets_of, unnamed_roots
from processor.targets.target import Target

router: Final = APIRouter(tags=["Persons"])

ROOTS_MAX: Final = 100
ROOT_CHARS_MAX: Final = 4_096

Owner = Annotated[UserId, AfterValidator(owner)]
Root = Annotated[str, Field(min_length=1, max_length=ROOT_CHARS_MAX, pattern=r"^[^\x00]+$")]


class Erasing(BaseModel):
    """How a person is erased."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    dry_run: Annotated[bool, Field(description="Only say what would be removed, and what is in the way.")] = False
    to: Annotated[
        list[Root] | None,
        Field(
            max_length=ROOTS_MAX,
            description="The roots that the exporter has written to, bundles and training data; "
            "the service's own root of bundles unless given.",
        ),
    ] = None


@router.post("/users/{user_id}/erase", dependencies=[needs("operator")])
async def erase_user(
    user_id: Owner, who: Asking, context: Given, asked: Annotated[Erasing | None, Body()] = None
) -> Response:
    """Erase a person, with all of their lanes: profile, outbox, state, store, bundles and training data.

    `user_id` may be the e-mail address that the person gave. The answer says what was removed, and what stays in
    Kafka's topics until when. `proof` names nobody. Only with `receipt` and the user id can it be shown whose it is, so
    keep both: the service does not. `complete` is false if something could not be judged, or a root is not there.
    A session that was erased is a 410 afterwards.
    """
    places = context.places
    if places is None:
        raise Problem("store_unavailable", "there is no store to erase anybody from")
    if is_email(user_id) and places.profiles is not None:
        user_id = places.profiles.pseudonym(user_id)
    refuse_email(user_id)
    if not who.sees(user_id):
        raise _nothing()
    asked = asked or Erasing()
    fields = await in_thread(_erased, context, places, user_id, asked)
    if not asked.dry_run:
        await caught_up(context)  # The state topic tells each replica whose state is gone.
    return answer(fields, {})


def _erased(context: Context, places: Places, user_id: str, asked: Erasing) -> dict[str, Any]:
    try:
        looked = look(places, user_id, _targets(context, places, asked.to))
    except NothingHeld:
        raise _nothing() from None
    looked = looked._replace(ways=[_in_words_of_http(way) for way in looked.ways])
    if asked.dry_run:
        return {**fields_of(looked, would_erase(looked)), "proof": None, "receipt": None}
    with TemporaryDirectory(prefix="a3cp-erasure-") as folder:
        begun = begin(looked, Path(folder, "proof.json"), context.now_ms())
        try:
            erased = erase(looked, begun)
        except A3CPError as error:
            problem = problem_of(error)
            problem.more = _proven_by(begun)  # How far it came.
            raise problem from error
        return {**fields_of(looked, erased), **_proven_by(begun)}


def _targets(context: Context, places: Places, roots: Sequence[str] | None) -> list[Target]:
    """Return the roots that are meant. Only those that the store has exported to, and the service's own, can be.

    Raises:
        Problem: invalid_request, since another one is named.
        UsageError, TargetUnavailable: as `targets_of`.
    """
    own = [] if context.bundles_root is None else [context.bundles_root]
    if roots is None:
        return targets_of(filter(is_there, own))
    known = [Target(root) for root in (*own, *unnamed_roots(places.store.ledger.targets(), ()))]
    if unnamed_roots((f"{root} " for root in roots), known):
        raise Problem("invalid_request", "`to` names a root that the store has not exported to")
    return targets_of(roots)


def _proven_by(proof: Proof) -> dict[str, Any]:
    is_kept = proof.file.exists()
    return {
        "proof": json.loads(proof.file.read_text("utf-8")) if is_kept else None,
        "receipt": proof.receipt if is_kept else None,
    }


def _in_words_of_http(way: UsageError) -> UsageError:
    if isinstance(way, UnnamedRoot):
        what = f"the store has exported to {way.root}, and `to` does not name it"
        return UsageError(what, remedy="name it in `to`, beside the others")
    return way


def _nothing() -> Problem:
    return Problem("session_not_found", "nothing is held of this person", remedy="See how the id is spelt.")
