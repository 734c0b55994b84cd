"""Sends what the page is made of: compressed if the browser takes that, not at all if it has it already."""

import gzip
from hashlib import sha256
from typing import Final, NamedTuple, Self

from fastapi import Request, Response

from processor.faces.headers import header

_AGAIN: Final = "no-cache"  # It is asked for each time, and told that nothing has changed: an upgrade counts at once.


class PageFile(NamedTuple):
    """Something that is the same for everybody until the service is upgraded."""

    content: bytes
    compressed: bytes
    media_type: str
    policy: str  # what may run in it, and load
    etag: str

    @classmethod
    def of(cls, content: bytes, media_type: str, policy: str) -> Self:
        """Return a file with this content."""
        etag = f'W/"{sha256(content).hexdigest()[:16]}"'  # Weak: compressed or not, it is the same.
        return cls(content, gzip.compress(content, mtime=0), media_type, policy, etag)

    def answer(self, request: Request) -> Response:
        """Return the answer to a request for it."""
        headers = {"ETag": self.etag, "Cache-Control": _AGAIN, "Vary": "Accept-Encoding"}
        headers["Content-Security-Policy"] = self.policy
        if self.etag in (header(request.scope, b"if-none-match") or ""):
            return Response(status_code=304, headers=headers)
        if "gzip" not in request.headers.get("accept-encoding", ""):
            return Response(self.content, headers=headers, media_type=self.media_type)
        headers["Content-Encoding"] = "gzip"
        return Response(self.compressed, headers=headers, media_type=self.media_type)
