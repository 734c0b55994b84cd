"""A site that seals its bundles: a store, a root, a log of seals in memory, and a clock."""

from dataclasses import dataclass, field
from pathlib import Path

from processor.bundles import seals
from processor.bundles.sealed import Seals
from processor.bundles.sealing import Sealer
from processor.bundles.verify import verify
from processor.bundles.writing import BundleWriter
from processor.errors import BrokerUnavailable
from processor.sessions.due import hand_on
from processor.sessions.forms.shapes import Seal, SealFile
from processor.sessions.ports import SessionFilter
from processor.sessions.projection.feed import OutputRecord
from processor.sessions.report import Report
from processor.store import open_store
from processor.targets.paths import date_part
from processor.targets.target import Target
from tests.sessions.exporting import export
from tests.sessions.outputs import CODEC, message, processed

DAY_MS = 86_400_000
START_MS = 1_764_547_200_000  # 2025-12-01
DAY = "2025-12-01"
VALUES = [
    message(f"user-{user}", (n // 4) * 3 * 3_600_000 + (n % 4) * 600_000 + user, transcript=f"word{n}")
    for n in range(12)
    for user in range(3)
]
RECORDS = processed(VALUES, quiet=False)  # Of each user two sessions that ended, and one that is open.
MORE = processed([*VALUES, message("user-0", 700_000, transcript="late")], quiet=False)[len(RECORDS) :]
"""What lengthens a session that has ended."""


@dataclass
class MemoryLog:
    """A log of seals in memory."""

    records: list[str] = field(default_factory=list)
    start: int = 0  # what is before was removed
    is_away: bool = False

    def append(self, seal: Seal) -> str:
        if self.is_away:
            raise BrokerUnavailable("away")
        self.records.append(seals.text_of(seal).decode())
        return f"a3cp.sessions[0]@{len(self.records) - 1}"

    def since(self, position: str) -> seals.InLog:
        offset = int(position.rpartition("@")[2])
        found = {
            f"a3cp.sessions[0]@{at}": text for at, text in enumerate(self.records) if at >= max(offset, self.start)
        }
        return seals.InLog(found, offset >= self.start)


class Site:
    """A store, its bundles, the log, and a clock."""

    def __init__(self, folder: Path) -> None:
        self.store = open_store(f"sqlite:///{folder / 'store.db'}")
        self.root = folder / "root"
        self.target = Target(str(self.root))
        self.log = MemoryLog()
        self.now_ms = START_MS + DAY_MS

    def read(self, records: list[OutputRecord]) -> None:
        """Read what is new in the topics, and write the bundles that are due."""
        export(self.store, records)
        self.write()

    def write(self) -> None:
        writer = BundleWriter(self.store.reader, self.target, CODEC, now_ms=lambda: self.now_ms - 1)
        hand_on(self.store.ledger, writer, SessionFilter())

    def sealer(self, **more: object) -> Sealer:
        return Sealer(self.store, self.target, self.log, now_ms=lambda: self.now_ms, **more)  # type: ignore[arg-type]

    def seal(self, **more: object) -> SealFile:
        """Seal yesterday."""
        return self.sealer(**more).seal(date_part(self.now_ms - DAY_MS))

    def seals(self) -> Seals:
        return Seals(self.target, self.log)

    def files(self) -> list[Path]:
        return sorted((self.root / "seals").rglob("*.json"))

    def reports(self) -> list[Report]:
        return list(verify(str(self.root), sealed=self.seals()))

    def bundle(self) -> Path:
        """One whose session has ended."""
        return next(Path(report.path) for report in verify(str(self.root)) if report.status == "complete")
