"""The roots of exports: those that somebody names, and those that a store remembers."""

from collections.abc import Iterable
from pathlib import Path

from processor.errors import UsageError
from processor.targets.target import Target


def targets_of(roots: Iterable[str] | None) -> list[Target]:
    """Return the places that somebody names, as with `--to`.

    Raises:
        UsageError: one does not exist. Its name may be misspelt, and then its content would stay.
        TargetUnavailable: nobody can tell.
    """
    targets = [Target(root) for root in roots or []]
    for target in targets:
        with target.told("read", "give the right to, then run it again"):
            is_there = target.files.exists(target.root)
        if not is_there:
            raise UsageError(f"there is no {target.root}", remedy="name a root that a3cp export wrote to")
    return targets


def unnamed_roots(known: Iterable[str], targets: Iterable[Target]) -> list[str]:
    """Return the roots of the targets that a store knows, without those of `targets`.

    The name of a known target is its root and, after a blank, its formats.
    """
    named = {name for target in targets for name in (target.name, str(Path(target.root).resolve()))}
    roots = {name.rpartition(" ")[0] for name in known}
    return sorted(root for root in roots if named.isdisjoint((root, str(Path(root).resolve()))))


def is_there(root: str) -> bool:
    """Return whether the root exists. One that is not on this machine counts as existing: nobody can tell."""
    return "://" in root or Path(root).exists()
