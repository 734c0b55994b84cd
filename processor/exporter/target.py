"""Where bundles and training data go: a folder, or what else fsspec reaches."""

import fsspec
from fsspec.implementations.local import LocalFileSystem

from processor.core.errors import Fatal


class Target:
    """A folder, or what else fsspec reaches (`s3://…`, `memory://…`)."""

    def __init__(self, root: str) -> None:
        """Use `root`, a path or an fsspec URL.

        Raises:
            Fatal: nothing installed reaches it.
        """
        try:
            self.files, path = fsspec.core.url_to_fs(root)
        except (ImportError, ValueError) as error:
            raise Fatal(f"{root} cannot be reached: {error}", remedy="install its fsspec package") from error
        self.root = str(path).rstrip("/") or "/"
        self.is_local = isinstance(self.files, LocalFileSystem)

    def path(self, below: str) -> str:
        """Return the path of `below` the root."""
        return f"{self.root.rstrip('/')}/{below}"
