"""The application: routes of all faces behind one set of doors."""

from fastapi import FastAPI

from processor.faces.context import Context
from processor.faces.problems import add_handlers


def make_app(context: Context | None) -> FastAPI:
    """Return the application.

    Args:
        context: what routes work with; None while the service starts. Then `app.state.context` is set later.
    """
    app = FastAPI(title="A3CP session manager", docs_url=None, redoc_url=None, openapi_url=None)
    app.state.context = context
    add_handlers(app)
    # Routers are included here.
    return app
