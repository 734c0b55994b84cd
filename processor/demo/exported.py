"""The demo's last step: the day's sessions as a store and as bundles, checked and ready to be looked at."""

import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any, Final, NamedTuple

from processor.bundles.verify import verify
from processor.demo.outcome import Check, Outcome
from processor.errors import Fatal, UsageError
from processor.kafka.fresh import DEMO_PREFIX, demo_topics
from processor.processes.supervisor import this_command
from processor.runtime.identities import Identities
from processor.targets.paths import PAGE, bundle_path

TRAINED_USER: Final = "heron-07"  # Her morning has a bit of everything: the timeline to look at first.
_STORE: Final = "a3cp.db"
_BUNDLES: Final = "bundles"
_OURS: Final = (_STORE, f"{_STORE}-wal", f"{_STORE}-shm", _BUNDLES)
_MARK: Final = ".a3cp-demo"  # Who exports for real may name store and bundles alike: the names prove nothing.
_LIMIT_S: Final = 120.0


class Exported(NamedTuple):
    """What `a3cp export` made of the day."""

    folder: Path
    store: str  # its address
    sessions: Mapping[str, int]  # held, by completeness
    bundles: int
    sound: int  # of them, as `a3cp verify` says
    timeline: Path | None  # of the session to look at first

    @property
    def root(self) -> Path:
        """The bundles' folder."""
        return self.folder / _BUNDLES


def require_ours(folder: Path) -> None:
    """Let nobody lose a folder that the demo did not make: one that is there must be empty or have the demo's mark.

    Raises:
        UsageError: there is something else in `folder`.
    """
    if not folder.exists():
        return
    names = {path.name for path in folder.iterdir()} if folder.is_dir() else {folder.name}
    if names and not (_MARK in names and names <= {_MARK, *_OURS}):
        raise UsageError(
            f"{folder} holds something that is not the demo's",
            remedy="name another folder with --out, or delete this one yourself",
        )


def prefix_for(folder: Path, conf: Mapping[str, Any]) -> str:
    """Return the prefix of the topics of a demo into `folder`.

    It is one named after the folder when topics of the usual name were made by a demo into another one: its store would
    find them made anew.
    """
    held = demo_topics(conf, DEMO_PREFIX)
    ours = _marked(folder)
    if all(ours.get(name) == each for name, each in held.items()):
        return DEMO_PREFIX
    return f"{DEMO_PREFIX}-{sha256(os.fsencode(folder.resolve())).hexdigest()[:8]}"


def mark(folder: Path, topics: Identities) -> None:
    """Note in `folder` which topics the demo has made for it."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / _MARK).write_text(json.dumps(topics))


def _marked(folder: Path) -> Identities:
    """Return what `mark` noted; nothing when there is no note, or an older release's."""
    try:
        noted = json.loads((folder / _MARK).read_text())
    except (OSError, ValueError):
        return {}
    return noted if isinstance(noted, dict) else {}


def export(outcome: Outcome, folder: Path, environ: Mapping[str, str]) -> Exported:
    """Run `a3cp export` into `folder`, emptied first, and verify every bundle.

    Raises:
        UsageError: as `require_ours`.
        Fatal: the export failed.
    """
    make_room(folder)
    store = f"sqlite:///{folder / _STORE}"
    command = [*this_command("export"), "--json", "--store", store, "--to", str(folder / _BUNDLES)]
    done = subprocess.run(  # noqa: S603  # The command is our own.
        command, env=dict(environ), capture_output=True, text=True, timeout=_LIMIT_S, check=False
    )
    if done.returncode:
        words = done.stderr.strip().splitlines() or ["none"]
        raise Fatal(f"the export ended with code {done.returncode}", remedy=f"its last words: {words[-1]}")
    reports = list(verify(str(folder / _BUNDLES)))
    first = next((seen for seen in outcome.sessions if seen.user_id == TRAINED_USER), None)
    page = None if first is None else folder / _BUNDLES / bundle_path(first.session_id, first.start_ms) / PAGE
    return Exported(
        folder,
        store,
        json.loads(done.stdout)["held"]["sessions"],
        len(reports),
        sum(report.is_sound for report in reports),
        page if page is not None and page.is_file() else None,
    )


def make_room(folder: Path) -> None:
    """Make `folder`, or take out what the last demo left in it. Raises as `require_ours`."""
    require_ours(folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / _MARK).touch()
    for name in _OURS:
        path = folder / name
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)


def check(outcome: Outcome, exported: Exported) -> Check:
    """Return whether all sessions are there, those that have ended whole, each as a bundle that verifies."""
    ended = sum(session.end is not None for session in outcome.sessions)
    held = exported.sessions
    kept = (held["complete"], held["partial"]) == (ended, 0) and (
        exported.bundles == exported.sound == len(outcome.sessions)
    )
    return Check(
        "every session is exported, whole if it ended, and its bundle verifies to the bit",
        kept,
        f"{held['complete']} complete, {held['open']} open, {held['partial']} partial; "
        f"{exported.sound} of {exported.bundles} bundles sound",
    )
