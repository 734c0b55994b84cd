"""A history of a deployment in memory: workers that come, go, die, stall and fail, records of all kinds, odd clocks.

The runtime, the rules and the codec are the real ones; the log is in memory. A history is a list of steps, and each
step draws its details from a seed of its own: a history without some of its steps does the same in the others. That
is how the shortest history that fails is found.
"""

import random
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

from processor.runtime.erased import request_of
from processor.runtime.partitioner import partition_of
from processor.testing import Fault, ManualClock, MemoryLog
from tests.broker.audit import Audit
from tests.broker.fleet import BASE_MS, message
from tests.runtime.stage import PARTITIONS, RULES, Member, Stage

WORKERS_MAX: Final = 4
USERS: Final = tuple(f"user-{number}" for number in range(12))
SECOND_MS: Final = 1_000


class Step(NamedTuple):
    """One thing that happens: the name of a method of `Simulation`, and the seed of its details."""

    action: str
    seed: int


History = Sequence[Step]

WEIGHTS: Final = {
    "say": 40, "take_turns": 40, "pass_time": 12, "join": 3, "die": 3, "leave": 2, "stall": 2, "jump": 1, "erase": 1,
}  # fmt: skip


def history_of(seed: int, count: int) -> list[Step]:
    """Return `count` steps that a seed gives."""
    chance = random.Random(seed)
    actions = chance.choices(list(WEIGHTS), list(WEIGHTS.values()), k=count)
    return [Step(action, chance.getrandbits(32)) for action in actions]


class JumpingClock(ManualClock):
    """The broker's clock may jump, to and fro; how time passes for a worker does not."""

    ahead_ms = ahead_max_ms = 0

    def now_ms(self) -> int:
        """Return the broker's time, ms."""
        return self.time_ms + self.ahead_ms


class StallingLog(MemoryLog):
    """A log whose worker stalls before a commit, when it is told to: others go on meanwhile."""

    meanwhile: Callable[[], None] | None = None

    def commit(self) -> None:
        """See `Log.commit`."""
        meanwhile, self.meanwhile = self.meanwhile, None
        if meanwhile is not None:
            meanwhile()
        super().commit()


class Simulation:
    """A broker and its workers, to which the steps of a history happen. Each step tells what it did."""

    def __init__(self) -> None:
        self.clock = JumpingClock(BASE_MS)
        self.stage = Stage(clock=self.clock, log_type=StallingLog)
        self._members: list[Member] = []
        self._said: list[tuple[str, bytes]] = []
        self._times_ms = dict.fromkeys(USERS, 0)
        self._chance = random.Random()
        self._stalled: set[MemoryLog] = set()  # those in the middle of a commit
        self._went_back = self._has_erased = False

    def run(self, history: History, tell: Callable[[str], None] = lambda _: None) -> Audit:
        """Let all steps happen, then let one worker finish, and audit the topics.

        Raises:
            Broken: a promise was broken; says which, and where.
        """
        for number, step in enumerate(history, 1):
            self._chance = random.Random(step.seed)
            tell(f"{number:>6}  {getattr(self, step.action)()}")
        for member in self._members:
            member.log.close()
        self.stage.member().finish()
        return self.stage.audit(clocked=True)

    def say(self) -> str:
        """A user says something: in time, late, ahead, again, or in the wrong partition; or sends nonsense."""
        chance, number = self._chance, len(self._said)
        user = chance.choice(USERS)
        self._times_ms[user] += chance.choice((1, SECOND_MS, RULES.gap_ms, RULES.gap_ms + 1, 3 * RULES.gap_ms))
        away_ms = chance.choice((0, 0, 0, 0, -RULES.gap_ms, -5 * RULES.gap_ms, 100 * RULES.gap_ms))
        at_ms = max(0, self._times_ms[user] + away_ms)
        value = message(user, BASE_MS + at_ms, number=number, **self._more())
        kind = chance.random()
        if kind < 0.05:
            value = b"{broken"
        elif kind < 0.1 and self._said:
            # A recent one: repeating what opened a forgotten session opens one of the same id (rules R6 and R14).
            user, value = chance.choice(self._said[-10:])
        key = user.encode()
        partition = partition_of(key, PARTITIONS)
        if kind > 0.95:
            partition, key = chance.randrange(PARTITIONS), b""
        self._said.append((user, value))
        self.stage.send(partition, value, key)
        return f"{key.decode() or 'nobody'} sends {value.decode()} to partition {partition}"

    def erase(self) -> str:
        """A person is to be forgotten.

        Not on a clock that goes back: an audit tells by the times of the log what was open when somebody was erased.
        """
        if self._went_back:
            return "nobody is erased"
        self._has_erased = True
        user = self._chance.choice(USERS)
        asked = request_of(user, record_id=f"erase-{self._chance.getrandbits(32)}", now_ms=self.clock.now_ms())
        self.stage.send(partition_of(user.encode(), PARTITIONS), asked, user.encode())
        return f"{user} is to be erased"

    def take_turns(self) -> str:
        """A worker takes some turns."""
        if not self._members:
            return "no worker to take turns"
        number, turns = self._any_member(), self._chance.randrange(1, 6)
        for _ in range(turns):
            self._members[number].worker.step()
        return f"worker {number} takes {turns} turns"

    def pass_time(self) -> str:
        """Time passes; sometimes enough of it for sessions to end by the clock."""
        ms = self._chance.choice((10, 200, 5 * SECOND_MS, RULES.gap_ms, 5 * RULES.gap_ms))
        self.clock.time_ms += ms
        return f"{ms} ms pass"

    def jump(self) -> str:
        """The broker's clock jumps, and goes back by the quiet period at most.

        Further back, somebody whom the clock had forgotten would speak at a time at which the rules still know them.
        """
        clock = self.clock
        to_ms = clock.ahead_max_ms + self._chance.choice((-RULES.quiet_ms, 0, SECOND_MS, 5 * RULES.gap_ms))
        if to_ms < clock.ahead_ms and self._has_erased:
            return "the broker's clock does not jump"
        self._went_back |= to_ms < clock.ahead_ms
        clock.ahead_ms, clock.ahead_max_ms = to_ms, max(to_ms, clock.ahead_max_ms)
        return f"the broker's clock is {self.clock.ahead_ms} ms ahead from now on"

    def join(self) -> str:
        """A worker starts; some of its commits will fail."""
        if len(self._members) == WORKERS_MAX:
            return "no further worker starts"
        chance = self._chance
        faults = {chance.randrange(40): chance.choice(list(Fault)) for _ in range(4)}
        self._members.append(self.stage.member(faults, batch_records_max=chance.choice((1, 3, 50))))
        told = ", ".join(f"{number} {fault.name}" for number, fault in sorted(faults.items()))
        return f"worker {len(self._members) - 1} starts; of its commits will fail: {told}"

    def leave(self) -> str:
        """A worker stops cleanly."""
        if not self._members:
            return "no worker to stop"
        number = self._any_member()
        self._members.pop(number).log.close()
        return f"worker {number} stops; the later ones move up"

    def die(self) -> str:
        """A worker is killed."""
        if not self._members:
            return "no worker to kill"
        number = self._any_member()
        self.stage.broker.remove(self._members.pop(number).log)
        return f"worker {number} is killed; the later ones move up"

    def stall(self) -> str:
        """A worker will stall before its next commit, the group gives it up, and others go on with its partitions."""
        if not self._members:
            return "no worker to stall"
        number, turns = self._any_member(), self._chance.randrange(1, 9)
        log = self._members[number].log
        assert isinstance(log, StallingLog)
        log.meanwhile = lambda: self._go_on_without(log, turns)
        return f"worker {number} will stall before its next commit, while the others take {turns} turns"

    def _go_on_without(self, log: StallingLog, turns: int) -> None:
        self.stage.broker.remove(log)
        self._stalled.add(log)
        for member in self._members * turns:
            if member.log not in self._stalled:
                member.worker.step()
        self._stalled.remove(log)

    def _any_member(self) -> int:
        return self._chance.randrange(len(self._members))

    def _more(self) -> dict[str, Any]:
        draw = self._chance.random()
        if draw < 0.1:
            return {"command": self._chance.choice(("start", "end", "pause", "resume", "note", "touch"))}
        if draw < 0.13:
            return {"source": "user_profile_store", "session_policy": {"gap_ms": self._chance.choice((1_000, 90_000))}}
        return {}


def as_text(history: History) -> str:
    """Return what happens in a history, a line a step, and how it ends."""
    lines: list[str] = []
    try:
        Simulation().run(history, lines.append)
    except Exception as error:
        lines.append(f"        {type(error).__name__}: {error}")
    return "\n".join(lines)
