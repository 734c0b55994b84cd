"""The manifest lists the files of a bundle, each with size and SHA-256. It has a SHA-256 of its own, too.

Its bytes depend on its content alone, so any changed byte in it shows.
"""

from collections.abc import Iterable
from hashlib import sha256
from typing import Final

import msgspec

from processor.sessions.forms.shapes import FORMAT, File, Manifest

NAME: Final = "manifest.json"
_NO_HASH: Final = "0" * 64


class NotAManifest(ValueError):
    """The bytes are not what `render` writes."""


def make(session_id: str, files: Iterable[File], *, written_at: str, written_by: str) -> Manifest:
    """Return the manifest of `files`."""
    listed = sorted(files, key=lambda file: file.name)
    manifest = Manifest(FORMAT, session_id, written_at, written_by, listed, _NO_HASH)
    manifest.sha256 = sha256(render(manifest)).hexdigest()
    return manifest


def render(manifest: Manifest) -> bytes:
    """Return `manifest` as the file has it."""
    return msgspec.json.format(msgspec.json.encode(manifest), indent=2) + b"\n"


def read(data: bytes) -> Manifest:
    """Return the manifest in `data`.

    Raises:
        NotAManifest: it is no manifest, or a byte of it was changed.
    """
    try:
        manifest = msgspec.json.decode(data, type=Manifest)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise NotAManifest(f"it is no manifest: {error}") from error
    again = make(manifest.session_id, manifest.files, written_at=manifest.written_at, written_by=manifest.written_by)
    if manifest.sha256 != again.sha256:
        raise NotAManifest("its own SHA-256 does not match its content")
    if render(again) != data:
        raise NotAManifest("its bytes are not those that were written")
    return manifest


def same_content(one: Manifest, other: Manifest) -> bool:
    """Return whether both list the same files. When and by what they were written does not count."""
    return (one.format, one.session_id, one.files) == (other.format, other.session_id, other.files)
