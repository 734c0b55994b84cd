"""Checks the seals of a root, and proves with them that its bundles are as they were when the seals were made.

The files of a store's seals are a chain: each names the one before it. So it is enough to compare the latest with the
log: whoever changes an earlier one has to change all that follow, and the log has the latest as it was.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby

import msgspec

from processor.bundles import seals
from processor.bundles.merkle import Tree
from processor.bundles.signatures import Checker
from processor.errors import UsageError
from processor.sessions.forms.shapes import Seal, SealFile
from processor.sessions.report import Sealed
from processor.targets.target import Target


@dataclass(slots=True)
class SealReport:
    """What was found about one seal."""

    path: str
    seal: Seal | None = None
    log: str = ""  # what the log says of it
    problems: list[str] = field(default_factory=list)


class Seals:
    """The seals below a root."""

    def __init__(self, target: Target, log: seals.SealLog | None, keys: Checker | None = None) -> None:
        """Read and check them.

        Args:
            target: the root.
            log: the log that has their records; None: it is not asked, and the reports say so.
            keys: each seal has to be signed by one of them; None: signatures are not checked.

        Raises:
            UsageError: there is none.
            TargetUnavailable: they cannot be read.
            A3CPError: the log cannot be read.
        """
        self.reports: list[SealReport] = []
        self.latest: Seal | None = None  # of those that are sound
        self._log = log
        self._keys = keys
        self._trees: list[tuple[SealFile, Tree]] = []
        self._leaves: dict[str, tuple[int, int]] = {}  # by hash, the first seal that has it, and where in it
        with target.told("read", "give the right to, then verify again"):
            paths = list(seals.paths(target))
            if not paths:
                raise UsageError(f"{target.root} has no seals", remedy="make one with a3cp seal, or leave out --seal")
            for _, group in groupby(paths, lambda path: path.rpartition("/")[0]):
                self._take(target, list(group))

    @property
    def broken(self) -> int:
        """How many seals have something wrong with them."""
        return sum(bool(report.problems) for report in self.reports)

    def proof(self, session_id: str, manifest: bytes, digest: str) -> Sealed | None:
        """Return the proof that a seal has a bundle; None if none has.

        Args:
            session_id: of the bundle.
            manifest: the bytes of its manifest.json.
            digest: chained over its messages.
        """
        for leaf, is_all in (
            (seals.manifest_leaf(session_id, manifest), True),
            (seals.messages_leaf(session_id, digest), False),
        ):
            if leaf in self._leaves:
                at, number = self._leaves[leaf]
                file, tree = self._trees[at]
                path = [one.hex() for one in tree.path(number)]
                return Sealed(file.seal.day, is_all, file.seal.root, leaf, number, file.seal.leaves, path)
        return None

    def _take(self, target: Target, paths: Sequence[str]) -> None:
        """Take the chain of one store."""
        files: list[SealFile] = []
        reports: list[SealReport] = []
        for path in paths:
            report = SealReport(path)
            reports.append(report)
            try:
                file = seals.read(target, path)
            except seals.NotASeal as error:
                report.problems.append(str(error))
                continue
            report.seal = file.seal
            report.problems += self._faults(file, files[-1] if files else None)
            files.append(file)
        self.reports += reports
        if files:
            self._compare(files, reports[-1])
        if not any(report.problems for report in reports):
            self._trust(files)

    def _faults(self, file: SealFile, before: SealFile | None) -> Iterator[str]:
        if file.seal.previous != (None if before is None else seals.hash_of(before.seal)):
            yield "it names another seal before it: that was changed, or is missing"
        if self._keys is not None:
            if file.signature is None:
                yield "it is not signed"
            elif fault := self._keys.fault(file.signature, seals.text_of(file.seal)):
                yield f"its signature: {fault}"

    def _compare(self, files: Sequence[SealFile], report: SealReport) -> None:
        """Compare the latest seal with the log, and look there for later ones."""
        latest = files[-1]
        if latest.position is None:
            report.problems.append("it has no record in the log yet; a3cp seal sends it")
            return
        if self._log is None:
            report.log = "not compared with the log: no Kafka is named"
            return
        told = self._log.since(latest.position)
        is_whole = told.is_whole
        text = seals.text_of(latest.seal).decode()
        if is_whole and text not in told.seals.values():  # In a log that was mirrored it has another place.
            told = self._log.since(f"{latest.position.rpartition('@')[0]}@0")
        where = next((position for position, seal in told.seals.items() if seal == text), None)
        if where is not None:
            report.log = f"as in the log at {where}"
        elif is_whole:
            report.problems.append(f"the log does not have it, though it goes back to {latest.position}")
        else:
            report.problems.append(
                f"the log no longer has its record, {latest.position}: nothing but files tells of it"
            )
        known = {seals.text_of(file.seal).decode() for file in files}
        for position, other in told.seals.items():
            if other not in known and _chain_of(other) == latest.seal.chain:
                report.problems.append(f"the log has a seal of its chain at {position} that is not here, or otherwise")

    def _trust(self, files: Sequence[SealFile]) -> None:
        for file in files:
            for number, leaf in enumerate(file.hashes):
                self._leaves.setdefault(leaf, (len(self._trees), number))
            self._trees.append((file, seals.tree_of(file.hashes)))
        if self.latest is None or files[-1].seal.made_at > self.latest.made_at:
            self.latest = files[-1].seal


def _chain_of(text: str) -> str | None:
    try:
        return msgspec.json.decode(text, type=Seal).chain
    except (msgspec.DecodeError, ValueError):
        return None
