"""Where bundles and training data go: a folder, or what else fsspec reaches."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import fsspec
from fsspec.implementations.local import LocalFileSystem

from processor.core.errors import Fatal, UsageError
from processor.exporter.errors import TargetUnavailable
from processor.exporter.files import Files, said_by


class Target:
    """A folder, or what else fsspec reaches (`s3://…`, `memory://…`)."""

    def __init__(self, root: str) -> None:
        """Use `root`, a path or an fsspec URL.

        Raises:
            UsageError: it is empty: it would be the folder that one happens to be in; or nothing installed reaches it.
            Fatal: what reaches it cannot begin.
        """
        protocol, _, below = root.rpartition("://")
        if not below.strip() or root.strip() == "file:":
            raise UsageError(f"{root!r} names no folder", remedy="give a path, . for this folder, or an fsspec URL")
        try:
            files, path = fsspec.core.url_to_fs(root)
        except (ImportError, ValueError) as error:
            what = f"{root} cannot be reached: {str(error)[:1].lower()}{str(error)[1:]}"
            raise UsageError(what, remedy="name a folder, or a URL whose fsspec package is installed") from error
        except Exception as error:
            why = said_by(error)
            raise Fatal(f"{root} cannot be reached ({why})", remedy="see what its fsspec package needs") from error
        self.url = root  # as it was given
        self.root = str(path).rstrip("/") or "/"
        self.is_local = isinstance(files, LocalFileSystem)
        self.files: Any = files if self.is_local else Files(files)  # A folder's errors are OSErrors as they are.
        # What it is remembered by: the same path on two servers is two places.
        host = below.partition("/")[0].rpartition("@")[2]
        self.name = self.root if self.is_local else f"{protocol}://{host} {self.root}"

    def path(self, below: str) -> str:
        """Return the path of `below` the root."""
        return f"{self.root.rstrip('/')}/{below}"

    @contextmanager
    def told(self, what: str, remedy: str) -> Iterator[None]:
        """Tell what keeps the target from being read or written as `TargetUnavailable`, such as "cannot be `what`"."""
        try:
            yield
        except OSError as error:
            why = error.strerror or type(error).__name__
            raise TargetUnavailable(f"{self.root} cannot be {what} ({why})", remedy=remedy) from error
