"""The last release and this one at work together, as while an operator replaces one by the other."""

import os
import subprocess
from pathlib import Path

import pytest

from scripts.build import archived, built
from tests.broker.fleet import Fleet, Load, Watcher, Worker, await_true
from tests.cli.running import PROGRAM
from tests.wheels import installed

ROOT = Path(__file__).parents[2]
# A git revision: the tag of the last release. Before the first one a commit, by its title.
LAST_RELEASE = "HEAD^{/^simulation: its audit knows a session opened again}"


def git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=ROOT, check=True, capture_output=True, text=True).stdout.strip()


def has_history() -> bool:
    try:
        return git("rev-parse", "--is-shallow-repository") == "false"
    except (OSError, subprocess.CalledProcessError):
        return False


@pytest.fixture(scope="module")
def last(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Install the last release in a folder of its own, from the wheel of its commit; return its command."""
    if not has_history():
        pytest.skip("this clone has no history, so the last release cannot be built: git fetch --unshallow")
    folder = tmp_path_factory.mktemp("last-release")
    _, wheel = built(archived(git("rev-parse", "--verify", LAST_RELEASE), ROOT, folder / "tree"), folder)
    return [str(installed(wheel, folder / "site", "all") / "bin" / "a3cp")]


class AtWork:
    """Two workers, each in its slot, of whichever release."""

    def __init__(self, fleet: Fleet, tagged: Watcher, program: list[str]) -> None:
        self._fleet, self._tagged = fleet, tagged
        self._workers = [fleet.start_of(program, slot=slot) for slot in (0, 1)]
        for worker in self._workers:
            self._await_work(worker)

    def replace(self, slot: int, program: list[str], *, killed: bool = False) -> None:
        """Replace a worker by one of `program`; wait until that has partitions, and all of them go on."""
        if killed:
            self._workers[slot].kill()
        else:
            assert self._workers[slot].stop() == 0
        self._workers[slot] = self._fleet.start_of(program, slot=slot)
        self._await_work(self._workers[slot])

    def _await_work(self, worker: Worker) -> None:
        await_true("it has partitions", lambda: worker.said("restored"))
        self._tagged.look()
        before = dict(self._tagged.counts)
        await_true("each partition goes on", lambda: self._tagged.has_grown(before))


@pytest.mark.broker
@pytest.mark.long
def test_one_by_one_and_back(kafka: str, topics: str, tmp_path: Path, last: list[str]) -> None:
    """Two workers become new ones, and old ones again, in one group under load. All is processed once."""
    store = f"sqlite:///{tmp_path / 'a3cp.db'}"
    bundles = str(tmp_path / "bundles")
    with Fleet(kafka, topics, tmp_path, batch_records_max=100, store_url=store) as fleet:

        def of_last(*arguments: str) -> str:
            environ = {**os.environ, **fleet.environ}
            done = subprocess.run(
                [*last, *arguments], env=environ, capture_output=True, text=True, timeout=120, check=False
            )
            assert done.returncode == 0, done.stdout + done.stderr
            return done.stdout

        with Load(kafka, fleet.names.raw, users=60, per_pause=2), Watcher(kafka, fleet.names.tagged) as tagged:
            at_work = AtWork(fleet, tagged, last)
            at_work.replace(1, PROGRAM)
            of_last("export")
            at_work.replace(0, PROGRAM, killed=True)
            assert fleet.a3cp("export")[0] == 0
            at_work.replace(0, last)
            at_work.replace(1, last, killed=True)
        assert fleet.audit().tagged > 1_000
        code, told = fleet.a3cp("audit")
        assert code == 0
        assert told.splitlines()[-1].startswith("sound: ")
        assert fleet.a3cp("export", "--to", bundles)[0] == 0
        assert fleet.a3cp("verify", bundles)[0] == 0
        assert " 0 broken" in of_last("verify", bundles)
