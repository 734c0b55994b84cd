"""Where bundles and training data go: a folder, or what else fsspec reaches."""

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from copy import copy
from typing import Any, BinaryIO, Final, Self

import fsspec
from fsspec.implementations.local import LocalFileSystem

from processor.errors import Fatal, TargetUnavailable, UsageError
from processor.settings.addresses import masked
from processor.targets.files import Files, said_by

MAKE_ROOM: Final = "make room or give the right to, then export again"  # when a target cannot be written


class NotAFile(OSError):
    """What stands at a path is no file that a bundle or a data set may have."""


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
        self.name = self.root if self.is_local else masked(f"{protocol}://{host} {self.root}")

    def at(self, path: str) -> Self:
        """Return the same place with `path`, as `path` below gives them, as its root."""
        other = copy(self)
        other.root = path
        return other

    def path(self, below: str) -> str:
        """Return the path of `below` the root."""
        return f"{self.root.rstrip('/')}/{below}"

    def open(self, path: str) -> BinaryIO:
        """Open the file at `path` to read.

        Raises:
            NotAFile: it is a link, a pipe or the like, which may lead anywhere or never end.
            OSError: it cannot be read.
        """
        if not self.is_local:
            opened: BinaryIO = self.files.open(path, "rb")
            return opened
        if not stat.S_ISREG(os.lstat(path).st_mode):
            raise NotAFile(errno.EINVAL, "it is a link, a pipe or the like", path)
        # Should it have become a pipe meanwhile, opening it waits for no writer.
        return os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW), "rb")

    def read(self, path: str, bytes_max: int) -> bytes:
        """Return what the file at `path` holds.

        Raises:
            NotAFile, OSError: as of `open`; `NotAFile` too when it holds more than `bytes_max`.
        """
        with self.open(path) as file:
            content = file.read(bytes_max + 1)
        if len(content) > bytes_max:
            raise NotAFile(errno.EFBIG, f"it has more than {bytes_max:,} bytes", path)
        return content

    def put(self, path: str, content: bytes) -> None:
        """Write the file at `path`, and the folder above; in one step where something can be renamed.

        Raises:
            OSError: it cannot be written.
        """
        beside = f"{path}.tmp" if self.is_local else path
        self.files.makedirs(path.rpartition("/")[0], exist_ok=True)
        self.files.pipe_file(beside, content)
        if beside != path:
            self.files.mv(beside, path)

    @contextmanager
    def told(self, what: str, remedy: str) -> Iterator[None]:
        """Tell what keeps the target from being read or written as `TargetUnavailable`, such as "cannot be `what`"."""
        try:
            yield
        except OSError as error:
            why = error.strerror or type(error).__name__
            raise TargetUnavailable(f"{self.root} cannot be {what} ({why})", remedy=remedy) from error
