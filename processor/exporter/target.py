"""Where bundles and training data go: a folder, or what else fsspec reaches."""

import fsspec
from fsspec.implementations.local import LocalFileSystem

from processor.core.errors import Fatal, UsageError


class Target:
    """A folder, or what else fsspec reaches (`s3://…`, `memory://…`)."""

    def __init__(self, root: str) -> None:
        """Use `root`, a path or an fsspec URL.

        Raises:
            UsageError: it is empty: it would be the folder that one happens to be in.
            Fatal: nothing installed reaches it.
        """
        protocol, _, below = root.rpartition("://")
        if not below.strip() or root.strip() == "file:":
            raise UsageError(f"{root!r} names no folder", remedy="give a path, . for this folder, or an fsspec URL")
        try:
            self.files, path = fsspec.core.url_to_fs(root)
        except (ImportError, ValueError) as error:
            raise Fatal(f"{root} cannot be reached: {error}", remedy="install its fsspec package") from error
        self.root = str(path).rstrip("/") or "/"
        self.is_local = isinstance(self.files, LocalFileSystem)
        # What it is remembered by: the same path on two servers is two places.
        host = below.partition("/")[0].rpartition("@")[2]
        self.name = self.root if self.is_local else f"{protocol}://{host} {self.root}"

    def path(self, below: str) -> str:
        """Return the path of `below` the root."""
        return f"{self.root.rstrip('/')}/{below}"
