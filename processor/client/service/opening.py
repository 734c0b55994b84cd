"""Which service a client speaks to: its caller's, else that of A3CP_URL, else one of its own."""

import os
from importlib import import_module
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

from processor.client.service.exchange import Backend, Service
from processor.errors import UsageError
from processor.settings.sources import secret_of

# A service in one's own process is the whole of it: the faces and what serves them are above this package, and so are
# looked up by name, as plug-ins are.
_IN_PROCESS: Final = "processor.processes.service.inprocess"
_REMEDY: Final = "use http://host:port, kafka://host:port or memory://"


class Remote(NamedTuple):
    """A service that somebody else runs."""

    service: Service

    def start(self) -> Service:
        """Return it."""
        return self.service

    def stop(self) -> None:
        """Do nothing: it is not ours."""


def backend_of(url: str | None, token: str | None) -> Backend:
    """Return what provides the service at `url`.

    Raises:
        UsageError: it is no URL of a kind that is known here, the token is none, the extra `serve` is needed and not
            installed, or A3CP_SECRETS_DIR cannot be read.
    """
    url = url or os.environ.get("A3CP_URL") or "kafka://"
    parts = urlsplit(url)
    match parts.scheme:
        case "http" | "https" if parts.hostname:
            return Remote(Service(url.rstrip("/"), _headers(token or secret_of("A3CP_TOKEN", os.environ))))
        case "kafka":
            return _in_process("on_kafka", parts.netloc or None)
        case "memory":
            return _in_process("in_memory")
        case _:
            raise UsageError("the URL of the service is none", remedy=_REMEDY)


def _headers(token: str | None) -> dict[str, str]:
    """Return what is sent with each request.

    Raises:
        UsageError: the token cannot be sent in a header.
    """
    if token and not (token.isascii() and token.isprintable()):
        raise UsageError(
            "the token holds a line end or another character that no token has",
            remedy="give it as a3cp token new printed it, without what stands around it",
        )
    return {"Authorization": f"Bearer {token}"} if token else {}


def _in_process(name: str, *arguments: str | None) -> Backend:
    try:
        make: Any = getattr(import_module(_IN_PROCESS), name)
    except ModuleNotFoundError as error:
        raise UsageError(
            f"a service in one's own process needs the serve extra ({error.name} is missing)",
            remedy="install it: pip install 'a3cp-session-manager[serve]', or name a service by http://host:port",
        ) from None
    backend: Backend = make(*arguments)
    return backend
