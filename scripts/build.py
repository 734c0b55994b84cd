"""Builds the package as registries do: the sdist of a folder, and from that the wheel."""

import shutil
import subprocess
import sys
from pathlib import Path


def built(tree: Path, folder: Path) -> tuple[Path, Path]:
    """Build into `folder` the sdist of `tree`, and from that the wheel; return both."""
    run = [sys.executable, "-m", "hatchling", "build", "-d", str(folder)]
    subprocess.run([*run, "-t", "sdist"], cwd=tree, check=True, capture_output=True)
    sdist = next(folder.glob("*.tar.gz"))
    unpacked = folder / "unpacked"
    shutil.unpack_archive(sdist, unpacked, filter="data")
    subprocess.run([*run, "-t", "wheel"], cwd=next(unpacked.iterdir()), check=True, capture_output=True)
    return sdist, next(folder.glob("*.whl"))


def archived(revision: str, root: Path, folder: Path) -> Path:
    """Put what git has of `revision` into the new `folder`, and return it."""
    folder.mkdir(parents=True)
    archive = folder.with_suffix(".tar")
    subprocess.run(["git", "archive", f"--output={archive}", revision], cwd=root, check=True)
    shutil.unpack_archive(archive, folder, filter="data")
    return folder
