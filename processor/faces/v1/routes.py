"""All routes of the session API."""

from fastapi import APIRouter

from processor.faces.v1 import showing

router = APIRouter()
router.include_router(showing.router)
