"""The hashes of all recordings, in one file beside them."""

from hashlib import sha256
from pathlib import Path

HERE = Path(__file__).parent
SUMS = HERE / "SHA256SUMS"


def recordings() -> list[Path]:
    """Return the folders, one a version."""
    return sorted(path for path in HERE.iterdir() if path.name[0].isdigit())


def sums() -> str:
    """Return the hash of each file of each recording, as `sha256sum` writes them."""
    files = sorted(path for folder in recordings() for path in folder.rglob("*") if path.is_file())
    return "".join(f"{sha256(path.read_bytes()).hexdigest()}  {path.relative_to(HERE)}\n" for path in files)


def write_sums() -> None:
    """Write them."""
    SUMS.write_text(sums(), "utf-8")
