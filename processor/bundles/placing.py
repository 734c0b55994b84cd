"""Puts a bundle in its place, and removes it: whole or not at all, also if others write or are killed meanwhile.

On a file system it is written under another name, then renamed. Elsewhere its manifest is written last; a folder
without a manifest is no bundle.
"""

import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from processor.bundles import manifest as manifests
from processor.sessions.forms.shapes import Manifest
from processor.targets.locks import TEMPORARY, locked
from processor.targets.target import Target

MARK: Final = "=."  # No name of a session's folder holds it.
_OLD: Final = ".old"


@contextmanager
def folder_to_write(target: Target, final: str) -> Iterator[Path]:
    """Yield an empty folder in which to write the bundle for `final`. What is left in it afterwards is removed.

    On a file system, others who write the same bundle wait meanwhile.
    """
    if not target.is_local:
        with tempfile.TemporaryDirectory(prefix="a3cp-bundle-") as made:
            yield Path(made)
        return
    place, beside = Path(final), Path(target.path(TEMPORARY))
    with locked(beside, place):
        _sweep(beside, place)
        folder = beside / f"{place.name}{MARK}{secrets.token_hex(4)}"
        folder.mkdir()
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def put_in_place(target: Target, folder: Path, final: str) -> bool:
    """Move the bundle in `folder` to `final`. Return whether it replaced one.

    Raises:
        OSError: the target cannot be written.
    """
    return _rename(folder, Path(final)) if target.is_local else _upload(target, folder, final)


def manifest_there(target: Target, final: str) -> Manifest | None:
    """Return the manifest of the bundle at `final`. Returns None if it is missing, or a file has another size."""
    try:
        manifest = manifests.read(target.files.cat_file(f"{final}/{manifests.NAME}"))
        whole = all(target.files.size(f"{final}/{file.name}") == file.size for file in manifest.files)
    except (OSError, manifests.NotAManifest):
        return None
    return manifest if whole else None


def leftovers(target: Target) -> Iterator[Path]:
    """Yield each folder that a killed run has left beside the bundles. Nobody writes its bundle meanwhile."""
    if not target.is_local:
        return
    for path in sorted(Path(target.path(TEMPORARY)).glob(f"*{MARK}*")):
        with locked(path.parent, Path(path.name.partition(MARK)[0])):
            if path.is_dir():  # Else its run is alive, and has finished it.
                yield path


def remove_bundle(target: Target, path: str) -> bool:
    """Remove the bundle at `path` and what a killed run left of it. Return whether there was a bundle.

    If `path` is a link, the link and what it leads to are removed.
    """
    if target.is_local and Path(target.root).is_dir() and path != target.root:
        beside = Path(target.path(TEMPORARY))
        with locked(beside, Path(path)):
            _sweep(beside, Path(path))
    if not target.files.exists(path):
        return False
    with suppress(FileNotFoundError):
        target.files.rm_file(f"{path}/{manifests.NAME}")  # First: from here on it is no bundle.
    if target.is_local:
        remove_folder(Path(path))
    else:
        target.files.rm(path, recursive=True)
    return True


def remove_folder(path: Path) -> None:
    """Remove a folder on this machine. If it is a link, remove the link and what it leads to."""
    shutil.rmtree(path.resolve())
    if path.is_symlink():
        path.unlink()


def _sweep(beside: Path, place: Path) -> None:
    """Remove what a killed run has left. A bundle that it had moved away to replace it comes back first."""
    mark = f"{place.name}{MARK}"
    for path in [
        path for path in beside.iterdir() if path.name.startswith(mark)
    ]:  # `glob` compiles a pattern each time.
        if path.name.endswith(_OLD) and not place.exists():
            path.rename(place)
        else:
            with suppress(OSError):
                remove_folder(path)


def _rename(folder: Path, place: Path) -> bool:
    place.parent.mkdir(parents=True, exist_ok=True)
    replaced = (place / manifests.NAME).exists()  # Else the session had only begun.
    if place.exists():
        old = folder.with_name(folder.name + _OLD)
        place.rename(old)
        try:
            folder.rename(place)
        except OSError:
            old.rename(place)
            raise
        with suppress(OSError):
            remove_folder(old)  # Where somebody had put a link in its place, also what is behind it.
    else:
        folder.rename(place)
    return replaced


def _upload(target: Target, folder: Path, final: str) -> bool:
    replaced = bool(target.files.exists(f"{final}/{manifests.NAME}"))
    if replaced:
        target.files.rm(final, recursive=True)
    target.files.makedirs(final, exist_ok=True)
    for path in sorted(folder.iterdir(), key=lambda path: (path.name == manifests.NAME, path.name)):
        target.files.put_file(str(path), f"{final}/{path.name}")
    return replaced
