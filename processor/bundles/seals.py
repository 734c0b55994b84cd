"""Seals: what bundles were there when a day had ended. Each is a file below seals/, and a record in the log.

A leaf stands for a bundle: one for its manifest, and so for every byte of it, and one for its messages, which holds
also when the same session is written again in another form. A file has the leaves' hashes only, so it names nobody.
Each seal names the one before it. So the latest one that the log has proves all of them.
"""

from collections.abc import Iterator, Mapping
from hashlib import sha256
from typing import Final, NamedTuple, Protocol

import msgspec

from processor.bundles.merkle import Tree, leaf_hash
from processor.sessions.forms.shapes import Seal, SealFile
from processor.targets.paths import path_part
from processor.targets.target import NotAFile, Target

FOLDER: Final = "seals"
FORMAT: Final = "a3cp-seal/1"
FILE_BYTES_MAX: Final = 256 << 20  # 3 million leaves
SUFFIX: Final = ".json"


class NotASeal(ValueError):
    """The bytes are no seal, or do not agree with each other."""


class InLog(NamedTuple):
    """What the log has of seals, from a position on."""

    seals: Mapping[str, str]  # the texts of all seals, whoever made them, by their positions
    is_whole: bool  # whether nothing has been removed from that position on


class SealLog(Protocol):
    """The log's part in it."""

    def append(self, seal: Seal) -> str:
        """Write the record of a seal. Return its position.

        Raises:
            A3CPError: the log does not take it.
        """

    def since(self, position: str) -> InLog:
        """Return the seals in the log from `position` on.

        Raises:
            A3CPError: the log cannot be read.
        """


def manifest_leaf(session_id: str, manifest: bytes) -> str:
    """Return the hash of the leaf that stands for all bytes of a bundle; `manifest`: those of its manifest.json."""
    return leaf_hash(f"manifest {sha256(manifest).hexdigest()} {session_id}".encode()).hex()


def messages_leaf(session_id: str, digest: str) -> str:
    """Return the hash of the leaf that stands for a session's messages; `digest`: that of its end (rule R12)."""
    return leaf_hash(f"messages {digest} {session_id}".encode()).hex()


def tree_of(hashes: list[str]) -> Tree:
    """Return the tree over leaves with these hashes."""
    return Tree([bytes.fromhex(one) for one in hashes])


def text_of(seal: Seal) -> bytes:
    """Return a seal as it is signed, and as the log has it."""
    return msgspec.json.encode(seal)


def hash_of(seal: Seal) -> str:
    """Return what the next seal calls it by."""
    return sha256(text_of(seal)).hexdigest()


def write(target: Target, store: str, file: SealFile) -> None:
    """Write a seal's file. `store`: the identity of the store.

    Raises:
        OSError: it cannot be written.
    """
    path = target.path(f"{FOLDER}/{path_part(store)}/{file.seal.day}{SUFFIX}")
    target.put(path, msgspec.json.format(msgspec.json.encode(file), indent=1) + b"\n")


def read(target: Target, path: str) -> SealFile:
    """Return the seal at `path`.

    Raises:
        NotASeal: it is none, or its hashes do not give its root.
        OSError: it cannot be read.
    """
    try:
        data = target.read(path, FILE_BYTES_MAX)
        file = msgspec.json.decode(data, type=SealFile)
    except (NotAFile, msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise NotASeal(f"it is no seal: {error}") from error
    if (len(file.hashes), tree_of(file.hashes).root.hex()) != (file.seal.leaves, file.seal.root):
        raise NotASeal("its root is not that of its hashes: it was changed")
    if path.rpartition("/")[2] != f"{file.seal.day}{SUFFIX}":
        raise NotASeal(f"it is called otherwise than its day, {file.seal.day}")
    return file


def paths(target: Target, store: str | None = None) -> Iterator[str]:
    """Yield the paths of the seals below `target`, those of each store by their days; with `store`, only of that one.

    Raises:
        OSError: a folder cannot be read.
    """
    try:
        all_stores = target.path(FOLDER)
        folders = target.files.ls(all_stores, detail=False) if store is None else [f"{all_stores}/{path_part(store)}"]
        for folder in sorted(map(str, folders)):
            if target.files.isdir(folder):
                found = map(str, target.files.ls(folder, detail=False))
                yield from sorted(path for path in found if path.endswith(SUFFIX))
    except FileNotFoundError:
        return
