"""All routes of the session API."""

from fastapi import APIRouter

from processor.faces.v1 import commanding, creating, exporting, listing, live, messages_in, showing

router = APIRouter()
router.include_router(listing.router)  # Before the others: `count` is no session's id.
for each in (exporting, live, showing, creating, commanding, messages_in):
    router.include_router(each.router)
