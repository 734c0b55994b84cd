"""Which renderer wrote a bundle. One whose sources differ in a single byte may render otherwise."""

from functools import cache
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Final

_PACKAGE: Final = Path(__file__).parents[1]
_SOURCES: Final = (
    "bundles/**/*.*",
    "codec/*.py",
    "runtime/media.py",
    "runtime/partial.py",
    "runtime/withholding.py",
    "sessions/**/*.py",
    "upstream/**/*.*",
)
_CHARS: Final = 12
_LIBRARY: Final = "msgspec"  # writes the numbers


@cache
def renderer() -> str:
    """Return a hash of the code that makes rows from records, and files from rows."""
    told = sha256(version(_LIBRARY).encode())
    for pattern in _SOURCES:
        paths = sorted(_PACKAGE.glob(pattern))
        assert paths, pattern
        for path in paths:
            if path.suffix != ".pyc":
                told.update(path.name.encode() + b"\0" + path.read_bytes())
    return told.hexdigest()[:_CHARS]


@cache
def written_by(renderer_word: str | None) -> str:
    """Return the writer as a manifest names it. With None, rows of more than one renderer may be in the bundle."""
    release = f"a3cp-session-manager {version('a3cp-session-manager')}"
    return release if renderer_word is None else f"{release}, renderer {renderer_word}"
