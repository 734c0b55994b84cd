"""The files of a bundle as they are written."""

from hashlib import sha256
from pathlib import Path
from typing import Final, Self

from processor.sessions.forms.shapes import File

BUFFER_BYTES: Final = 1 << 17  # written and hashed at a time


class Sink:
    """A file that knows its size and hash. It writes and hashes in large pieces."""

    def __init__(self, folder: Path, name: str) -> None:
        self.name = name
        self._file = (folder / name).open("wb", buffering=0)
        self._hash = sha256()
        self._size = self._waiting = 0
        self._parts: list[bytes] = []

    def write(self, text: bytes) -> None:
        """Add `text`."""
        self._parts.append(text)
        self._waiting += len(text)
        if self._waiting >= BUFFER_BYTES:
            self._flush()

    def close(self) -> File:
        """Write what waits; return the file's name, size and hash."""
        self._flush()
        self._file.close()
        return File(self.name, self._size, self._hash.hexdigest())

    def _flush(self) -> None:
        data = memoryview(b"".join(self._parts))
        self._hash.update(data)
        self._size += len(data)
        while data:
            data = data[self._file.write(data) :]
        self._waiting = 0
        self._parts.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
