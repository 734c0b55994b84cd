"""All routes of the session API."""

from fastapi import APIRouter

from processor.faces.v1 import exporting, listing, showing

router = APIRouter()
router.include_router(listing.router)  # Before the others: `count` is no session's id.
router.include_router(exporting.router)
router.include_router(showing.router)
