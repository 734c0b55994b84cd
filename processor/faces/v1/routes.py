"""All routes of the session API."""

from typing import Final

from processor.faces.v1 import bookmarking, sharing
from processor.faces.v1.commands import commanding, creating, interviews, messages_in
from processor.faces.v1.persons import erasing, person_file, profiles
from processor.faces.v1.queries import (
    exporting,
    listing,
    live,
    messages_out,
    operating,
    proving,
    showing,
    templates,
    what_if,
)

_PARTS: Final = (
    listing,
    showing,
    messages_out,
    proving,
    commanding,
    messages_in,
    live,
    exporting,
    person_file,
    sharing,
    bookmarking,
    creating,
    what_if,
    erasing,
    interviews,
    templates,
    profiles,
    operating,
)
"""The first goes before the others: `count` is no session's id."""

ROUTERS: Final = tuple(part.router for part in _PARTS)
"""Each to be included by itself: within another router, a request would be compared with each route several times."""
