"""A seed drives it all: workers that come, go, die, stall and fail, records late or misplaced, time that passes.

Whatever the order, the audit must find every record processed exactly once, and every run of a seed is the same.
"""

import random

import pytest

from processor.runtime.partitioner import partition_of
from processor.testing import Fault
from tests.broker.fleet import BASE_MS, message
from tests.runtime.stage import NAMES, PARTITIONS, RULES, Member, Stage

SEEDS = 40
STEPS = 400
WORKERS_MAX = 4
USERS = 12


class Simulation:
    """Several workers on one broker; each step one thing happens."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.stage = Stage()
        self.members: list[Member] = []
        self.said: list[tuple[str, bytes]] = []
        self.clocks = dict.fromkeys((f"user-{number}" for number in range(USERS)), 0)
        self.happened: dict[str, int] = {}

    def run(self) -> None:
        """Take all steps, then let one worker finish."""
        actions = {
            self.speak: 40, self.take_steps: 40, self.pass_time: 12, self.join: 3, self.leave: 2, self.die: 3,
            self.stall: 2,
        }  # fmt: skip
        for _ in range(STEPS):
            (action,) = self.chance.choices(list(actions), list(actions.values()))
            action()
            self.happened[action.__name__] = self.happened.get(action.__name__, 0) + 1
        for member in self.members:
            member.log.close()
        self.stage.member().finish()

    def speak(self) -> None:
        """A user says something: in time, late, again, or in the wrong partition; or sends nonsense."""
        chance, number = self.chance, len(self.said)
        user = chance.choice(list(self.clocks))
        self.clocks[user] += chance.choice((1, 1_000, RULES.gap_ms, RULES.gap_ms + 1, 3 * RULES.gap_ms))
        at_ms = self.clocks[user] - chance.choice((0, 0, 0, 0, RULES.gap_ms, 5 * RULES.gap_ms))
        more = {"command": chance.choice(("start", "end", "pause", "resume"))} if chance.random() < 0.1 else {}
        value = message(user, max(0, BASE_MS + at_ms), number=number, **more)
        kind = chance.random()
        if kind < 0.05:
            value = b"{broken"
        elif kind < 0.1 and self.said:
            # A recent one: repeating what opened a forgotten session opens one of the same id (rules R6 and R14).
            user, value = chance.choice(self.said[-10:])
        key = user.encode()
        partition = partition_of(key, PARTITIONS)
        if kind > 0.95:
            partition, key = chance.randrange(PARTITIONS), b""
        self.said.append((user, value))
        self.stage.send(partition, value, key)

    def take_steps(self) -> None:
        """A worker takes some turns."""
        if self.members:
            member = self.chance.choice(self.members)
            for _ in range(self.chance.randrange(1, 6)):
                member.worker.step()

    def pass_time(self) -> None:
        """Time passes; sometimes enough of it for sessions to end by the clock."""
        self.stage.clock.time_ms += self.chance.choice((10, 200, 5_000, RULES.gap_ms, 5 * RULES.gap_ms))

    def join(self) -> None:
        """A worker starts; some of its commits will fail."""
        if len(self.members) < WORKERS_MAX:
            faults = {self.chance.randrange(40): self.chance.choice(list(Fault)) for _ in range(4)}
            self.members.append(self.stage.member(faults, batch_records_max=self.chance.choice((1, 3, 50))))

    def leave(self) -> None:
        """A worker stops cleanly."""
        if self.members:
            self.members.pop(self.chance.randrange(len(self.members))).log.close()

    def die(self) -> None:
        """A worker is killed."""
        if self.members:
            self.stage.broker.remove(self.members.pop(self.chance.randrange(len(self.members))).log)

    def stall(self) -> None:
        """The group gives up a worker, which goes on all the same."""
        if self.members:
            self.stage.broker.remove(self.chance.choice(self.members).log)


@pytest.mark.parametrize("seed", range(SEEDS))
def test_exactly_once_whatever_happens(seed: int) -> None:
    """Every record is tagged, dead-lettered or rerouted once, in order; events and states are those of the rules."""
    simulation = Simulation(seed)
    simulation.run()
    found = simulation.stage.audit(clocked=True)
    assert found.tagged > 50
    assert {"join", "die", "leave", "pass_time"} <= simulation.happened.keys()


def test_a_seed_gives_the_same_run() -> None:
    """So that a failure can be looked at again."""
    first, second = Simulation(7), Simulation(7)
    first.run()
    second.run()
    for name in NAMES:
        assert first.stage.broker.values(name) == second.stage.broker.values(name)
