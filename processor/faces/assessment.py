"""The session component of an impact assessment (`/session/…`), as this service offers it.

It is the component that applications mount (`processor.client.assessment`). Here it asks this application itself, with
the caller's token, so that doors and rules are those of `/v1`.
"""

from collections.abc import AsyncIterator
from typing import Final

from fastapi import Request

from processor.client.assessment import SESSIONS_PATH, SessionService, router_of
from processor.client.service.asyncsessions import AsyncSessions
from processor.client.service.exchange import Service, Suspending
from processor.client.service.opening import Remote
from processor.faces.replica.context import Given


async def _service(request: Request, context: Given) -> AsyncIterator[SessionService]:
    token = request.headers.get("Authorization")
    here = Service("http://localhost", {"Authorization": token} if token else {}, app=request.app)
    # The caller asks again, if it wants to.
    async with AsyncSessions(exchange=Suspending(Remote(here)), repeats=False) as sessions:
        path = context.bundles_root or SESSIONS_PATH
        yield SessionService(sessions, sessions_path=path)


router: Final = router_of(_service)
