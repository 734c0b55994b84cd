"""Ids of persons in requests: what may be one."""

from typing import Annotated

from pydantic import AfterValidator, BeforeValidator

from processor.codec.oddities import fault_of_id
from processor.codec.spine import USER_ID_BYTES_MAX
from processor.core.ids import owner_of
from processor.faces.requests.persons import is_email
from processor.faces.texts import encodable


def log_id(text: str) -> str:
    """Return `text`, unless the log could not take it for a user's id.

    Raises:
        ValueError: it is blank or too long, looks like another one, or is this system's own.
    """
    if not text.strip():
        raise ValueError("it is blank")
    if len(text.encode()) > USER_ID_BYTES_MAX:
        raise ValueError(f"it has more than {USER_ID_BYTES_MAX} bytes")
    if fault := fault_of_id(text):
        raise ValueError(f"it {fault}")
    return text


def user_id(text: str) -> str:
    """Return `text`, unless it cannot be a user's id. Raises as `log_id` does, and for an e-mail address."""
    if is_email(text):
        raise ValueError("it is an e-mail address, which must not be in the log; send a pseudonym")
    return log_id(text)


def owner(text: str) -> str:
    """Return `text`, unless it cannot be a person's id. Raises as `log_id` does, and for a lane."""
    if owner_of(text) != text:
        raise ValueError("it has the form of a lane; send the id of its owner")
    return log_id(text)


def performer(text: str) -> str:
    """Return `text`, unless it cannot say who does something. Raises as `log_id` does; blank it says nothing."""
    return log_id(text) if text.strip() else text


UserId = Annotated[str, BeforeValidator(encodable), AfterValidator(user_id)]
"""The id of a user as messages have it: of a person, or a lane."""

Owner = Annotated[str, BeforeValidator(encodable), AfterValidator(owner)]
"""The id that a person gives; it may be an e-mail address still."""

PerformerId = Annotated[str, BeforeValidator(encodable), AfterValidator(performer)]
"""Who does something; `system` if no person does."""
