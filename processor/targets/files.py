"""A file system that may be anywhere: whatever its client raises, without its calls being wrong, is an OSError.

The clients of object stores raise what their makers thought of (botocore's and google's errors are no OSErrors), and so
do the streams that they open. What is raised around their calls, by us, passes as it is.
"""

import errno
import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any, Final

BUFFER_BYTES: Final = 1 << 20  # read or written at a time


class Files:
    """What `files`, a file system of fsspec's, does."""

    def __init__(self, files: Any) -> None:
        self._files = files

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method: Callable[..., Any] = getattr(self._files, name)

        @wraps(method)
        def called(*args: Any, **named: Any) -> Any:
            with as_os_errors():
                return method(*args, **named)

        return called

    def open(self, path: str, mode: str) -> io.BufferedReader | io.BufferedWriter:
        """Open `path` to read (`rb`) or to write (`wb`)."""
        with as_os_errors():
            file = _Stream(self._files.open(path, mode))
        return io.BufferedReader(file, BUFFER_BYTES) if mode == "rb" else io.BufferedWriter(file, BUFFER_BYTES)


@contextmanager
def as_os_errors() -> Iterator[None]:
    """Raise what is raised as an OSError that says what it was."""
    try:
        yield
    except OSError:
        raise
    except Exception as error:
        raise OSError(errno.EIO, said_by(error)) from error


def said_by(error: Exception) -> str:
    """Return in one line what `error` is."""
    return ": ".join([type(error).__name__, *str(error).strip().splitlines()[:1]])


class _Stream(io.RawIOBase):
    """An open file of such a file system."""

    def __init__(self, file: Any) -> None:
        self._file = file

    def readable(self) -> bool:
        return bool(self._file.readable())

    def writable(self) -> bool:
        return bool(self._file.writable())

    def seekable(self) -> bool:
        return bool(self._file.seekable())

    def readinto(self, buffer: Any) -> int:
        with as_os_errors():
            data = self._file.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def write(self, data: Any) -> int:
        with as_os_errors():
            return int(self._file.write(data))

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        with as_os_errors():
            return int(self._file.seek(offset, whence))

    def tell(self) -> int:
        with as_os_errors():
            return int(self._file.tell())

    def close(self) -> None:
        if not self.closed:
            try:
                with as_os_errors():
                    self._file.close()
            finally:
                super().close()
