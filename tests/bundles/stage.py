"""Records of some sessions, the bundles that are written of them, and a manifest that seals a changed one."""

from hashlib import sha256
from pathlib import Path

from processor.bundles import manifest as manifests
from processor.bundles.writing import BundleWriter
from processor.sessions.due import hand_on
from processor.sessions.forms.shapes import File
from processor.sessions.ports import SessionFilter
from processor.store.sql import SqlStore
from processor.targets.target import Target
from processor.training.writer import TrainingWriter
from tests.sessions.outputs import CODEC, message, processed

NOW_MS = 1_763_740_800_000
RECORDS = processed([
    message(
        f"user-{n % 7}", n * 900_000, source="ui", transcript=f"word{n}", capture_id=f"c{n // 9}",
        consent_given=n % 2 == 0, is_partial=n % 10 == 0,
    )
    for n in range(70)
])  # fmt: skip


def tree(root: Path) -> dict[str, bytes]:
    files = (path for path in sorted(root.rglob("*")) if path.is_file() and path.name != "manifest.json")
    return {str(path.relative_to(root)): path.read_bytes() for path in files}


def written(store: SqlStore, root: Path) -> BundleWriter:
    target = Target(str(root))
    writer = BundleWriter(store.reader, target, CODEC, now_ms=lambda: NOW_MS)
    hand_on(store.ledger, writer, SessionFilter())
    training = TrainingWriter(store.reader, Target(str(root / "training")), CODEC)
    hand_on(store.ledger, training, SessionFilter())
    return writer


def sealed(folder: Path, *, written_by: str | None = None) -> None:
    """Make the manifest anew, as somebody would who wants to hide a change."""
    old = manifests.read((folder / manifests.NAME).read_bytes())
    files = [
        File(path.name, path.stat().st_size, sha256(path.read_bytes()).hexdigest())
        for path in sorted(folder.iterdir())
        if path.name != manifests.NAME
    ]
    made = manifests.make(old.session_id, files, written_at=old.written_at, written_by=written_by or old.written_by)
    (folder / manifests.NAME).write_bytes(manifests.render(made))


def writer_to(store: SqlStore, root: str) -> BundleWriter:
    return BundleWriter(store.reader, Target(root), CODEC, now_ms=lambda: NOW_MS)
