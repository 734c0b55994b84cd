"""What a person gave of themselves never comes into a topic: an e-mail address becomes a pseudonym, or is refused."""

import re
from collections.abc import Mapping
from typing import Any, Final

import anyio.to_thread

from processor.faces.problems import Problem
from processor.faces.replica.context import Context

_is_email: Final = re.compile(r"\s*[^@\s]+@[^@\s]+\s*").fullmatch
_REMEDY: Final = "Send an id that names nobody, or give the service a profile store (A3CP_PROFILE_STORE_URL)."


def is_email(user_id: str) -> bool:
    """Return whether an id is an e-mail address."""
    return _is_email(user_id) is not None


def refuse_email(user_id: str) -> None:
    """Refuse an e-mail address where no pseudonym can take its place.

    Raises:
        Problem: it is one.
    """
    if is_email(user_id):
        raise Problem("invalid_request", "user_id is an e-mail address, which must not be in the log", remedy=_REMEDY)


async def user_of(context: Context, given: str, info: Mapping[str, Any] | None = None) -> str:
    """Return the user id for the log: an e-mail address or whoever has `info` is a pseudonym, any other id is itself.

    Raises:
        Problem: it would need a profile store, and there is none.
        StoreUnavailable: the profile store does not answer.
    """
    if not (info or is_email(given)):
        return given
    profiles = context.profiles
    if profiles is None:
        refuse_email(given)
        raise Problem("invalid_request", "user_info is about a person, and must not be in the log", remedy=_REMEDY)
    return await anyio.to_thread.run_sync(profiles.pseudonym_of, given, info)


async def keep_resume(context: Context, user_id: str, resume: Mapping[str, Any]) -> None:
    """Keep a person's resume where alone it may be.

    Raises:
        Problem: there is no profile store.
        StoreUnavailable: the profile store does not answer.
    """
    if context.profiles is None:
        raise Problem("invalid_request", "resume_data is about a person, and must not be in the log", remedy=_REMEDY)
    await anyio.to_thread.run_sync(context.profiles.keep_resume, user_id, resume)


async def resume_of(context: Context, user_id: str, digest: str) -> Mapping[str, Any] | None:
    """Return the person's resume that has this SHA-256; None if there is none any more.

    Raises:
        StoreUnavailable: the profile store does not answer.
    """
    if context.profiles is None:
        return None
    return await anyio.to_thread.run_sync(context.profiles.resume, user_id, digest)
