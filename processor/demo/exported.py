"""The demo's last step: the day's sessions as a store and as bundles, checked and ready to be looked at."""

import json
import os
import shutil
import subprocess
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import closing
from hashlib import sha256
from pathlib import Path
from typing import Any, Final, NamedTuple

from processor.bundles.verify import verify
from processor.errors import Fatal, UsageError
from processor.kafka.topics.fresh import DEMO_PREFIX, demo_topics
from processor.processes.parts import this_command
from processor.runtime.identities import Identities
from processor.sessions.model import SessionRow, Status
from processor.sessions.ports import SessionFilter
from processor.store import open_store
from processor.targets.paths import PAGE, bundle_path

TRAINED_USER: Final = "heron-07"  # Her morning has a bit of everything: the timeline to look at first.
DEMO_DIR: Final = Path("a3cp-demo")
"""Where the day goes if no other folder is named."""

_STORE: Final = "a3cp.db"
_BUNDLES: Final = "bundles"
_PROFILES: Final = "profiles.db"
_OURS: Final = (
    *(f"{name}{end}" for name in (_STORE, _PROFILES) for end in ("", "-wal", "-shm")),
    _BUNDLES,
    "a3cp-site.key",  # What a service and `a3cp up` make beside the store.
    "a3cp-up.log",
)
_MARK: Final = ".a3cp-demo"  # Who exports for real may name store and bundles alike: the names prove nothing.
_LIMIT_S: Final = 120.0
_SESSIONS_MAX: Final = 100_000


class Exported(NamedTuple):
    """What `a3cp export` made of the day."""

    folder: Path
    store: str  # its address
    sessions: Sequence[SessionRow]  # that it holds, by user and start
    bundles: int
    sound: int  # of them, as `a3cp verify` says
    timeline: Path | None  # of the session to look at first

    @property
    def held(self) -> Counter[Status]:
        """How many of the sessions are complete, open, partial."""
        return Counter(session.status for session in self.sessions)

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


def prefix_for(folder: Path, conf: Mapping[str, Any], usual: str = DEMO_PREFIX) -> str:
    """Return the prefix of the topics of a demo into `folder`: the usual one, if these topics may be made anew.

    Where a demo into another folder has made them, the prefix is named after `folder`: the other demo's store would
    find its topics made anew.
    """
    held = demo_topics(conf, usual)
    ours = _marked(folder)
    if all(ours.get(name) == each for name, each in held.items()):
        return usual
    return f"{usual}-{sha256(os.fsencode(folder.resolve())).hexdigest()[:8]}"


def mark(folder: Path, topics: Identities) -> None:
    """Note in `folder` which topics the demo has made for it."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / _MARK).write_text(json.dumps(topics))


def marked_prefix(folder: Path) -> str | None:
    """Return the prefix of the topics of the demo that ran into `folder`; None if none did."""
    return next((name.rpartition(".")[0] for name in sorted(_marked(folder))), None)


def _marked(folder: Path) -> Identities:
    """Return what `mark` noted; nothing when there is no note, or an older release's."""
    try:
        noted = json.loads((folder / _MARK).read_text())
    except (OSError, ValueError):
        return {}
    return noted if isinstance(noted, dict) else {}


def export(folder: Path, environ: Mapping[str, str]) -> Exported:
    """Run `a3cp export` into `folder`, emptied first, and verify every bundle.

    Raises:
        UsageError: as `require_ours`.
        Fatal: the export failed.
    """
    make_room(folder)
    address = f"sqlite:///{folder / _STORE}"
    command = [*this_command("export"), "--json", "--store", address, "--to", str(folder / _BUNDLES)]
    done = subprocess.run(  # noqa: S603  # The command is our own.
        command, env=dict(environ), capture_output=True, text=True, timeout=_LIMIT_S, check=False
    )
    if done.returncode:
        words = done.stderr.strip().splitlines() or ["none"]
        raise Fatal(f"the export ended with code {done.returncode}", remedy=f"its last words: {words[-1]}")
    with closing(open_store(address)) as store:
        rows = store.reader.sessions(SessionFilter(), limit=_SESSIONS_MAX)
    sessions = sorted(rows, key=lambda row: (row.user_id, row.start_ms))
    reports = list(verify(str(folder / _BUNDLES)))
    first = next((row for row in sessions if row.user_id == TRAINED_USER), None)
    page = None if first is None else folder / _BUNDLES / bundle_path(first.session_id, first.start_ms) / PAGE
    return Exported(
        folder,
        address,
        sessions,
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
