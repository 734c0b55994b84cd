"""The application: routes of all faces behind one gate."""

from importlib.metadata import version

from fastapi import FastAPI
from starlette.routing import WebSocketRoute

from processor.faces import a3cp, assessment, operations
from processor.faces.describing import Application
from processor.faces.gateway.gateway import Gateway
from processor.faces.middleware.gate import Gate
from processor.faces.middleware.namedonce import NAMED_ONCE
from processor.faces.middleware.recording import Recording
from processor.faces.middleware.shell import Shell
from processor.faces.middleware.tracing import Tracing
from processor.faces.page import files, redirect, session, shared, signing, told
from processor.faces.problems import add_handlers
from processor.faces.quick import Quick
from processor.faces.replica.context import Context
from processor.faces.requests.paths import EncodedPaths
from processor.faces.v1 import routes as v1
from processor.faces.v1.bodies import CALLED_JSON


def make_app(context: Context | None, shell: Shell | None = None) -> FastAPI:
    """Return the application.

    Args:
        context: what routes work with; None while the service starts. Then `app.state.context` is set later.
        shell: what stands before and around every route; None for that of a service on loopback without tokens.
    """
    shell = shell or Shell()
    app = Application(
        title="A3CP session manager",
        version=version("a3cp-session-manager"),
        telemetry={"tracing": False, "metrics": False, "logs": False},  # The service has its own.
        docs_url=None,  # FastAPI's page loads its script from elsewhere.
        redoc_url=None,
    )
    app.state.context = context
    app.state.shell = shell
    add_handlers(app)
    app.add_middleware(Quick)
    app.add_middleware(EncodedPaths)
    app.add_middleware(Gate, doors=shell.doors, limits=shell.limits, cookies=shell.cookies)
    app.add_middleware(Recording, log=shell.log.bind(component="serve"), metrics=shell.metrics)
    app.add_middleware(Tracing, spans=shell.spans)  # The outermost one.
    app.include_router(operations.router)
    app.include_router(files.router)
    app.include_router(signing.router)
    app.include_router(redirect.router)
    app.include_router(session.router)
    app.include_router(told.router)
    for prefix in ("/session_manager", "/api/session_manager"):  # The page calls the one, A3CP's workers the other.
        app.include_router(a3cp.router, prefix=prefix)
    for router in v1.ROUTERS:
        app.include_router(router, prefix="/v1", dependencies=[CALLED_JSON, NAMED_ONCE])
    app.include_router(assessment.router)
    app.include_router(shared.router)
    app.router.routes.append(WebSocketRoute("/ws", Gateway(app, shell)))
    return app
