"""The outbox under outages, kills, a full disk and damage: what it accepted is sent, once and in each user's order."""

import shutil
import tempfile
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import settings, stateful
from hypothesis import strategies as st

from processor.core.model import RECENT_RECORDS_MAX
from processor.errors import A3CPError, OutboxFull
from tests.outbox.stage import TOO_LARGE, Deployment, Killed

SHARED_MEMORY = Path("/dev/shm")  # Where a commit costs nothing.
USERS = (b"elias01", b"ana", b"yusuf")


class Outages(stateful.RuleBasedStateMachine):
    """Sends, and everything that can go wrong; `teardown` lets it go well again and looks at the log."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(dir=SHARED_MEMORY if SHARED_MEMORY.is_dir() else None))
        self.deployment = Deployment(self.folder, bytes_max=20_000)
        self.sent: list[tuple[bytes, bytes]] = []  # in the order of the calls
        self.told: set[bytes] = set()  # accepted for certain
        self.poison: set[bytes] = set()
        self.lost: set[bytes] = set()  # with a damaged file, which is set aside
        self.count = 0
        self.is_full = False

    @stateful.rule(user=st.sampled_from(USERS), size=st.sampled_from([1, 200, 9_000]), is_poison=st.booleans())
    def send(self, user: bytes, size: int, *, is_poison: bool) -> None:
        """Send a record; it counts as accepted once its sender is told so."""
        self.count += 1
        value = (TOO_LARGE if is_poison and size == 1 else b"") + b"%d " % self.count + b"x" * size
        self.sent.append((user, value))

        def done(error: A3CPError | None) -> None:
            if error is None:
                self.told.add(value)

        if value.startswith(TOO_LARGE):
            self.poison.add(value)
        with suppress(OutboxFull):
            self.deployment.outbox.send(
                value, user, record_id=str(self.count), on_done=done, on_kept=lambda: done(None)
            )

    @stateful.rule(user=st.sampled_from(USERS))
    def send_many(self, user: bytes) -> None:
        """Send more than are on their way from the file at once."""
        for _ in range(30):
            self.send(user, 10, is_poison=False)

    @stateful.rule(is_broken=st.booleans())
    def break_file(self, *, is_broken: bool) -> None:
        """The file cannot be written, or can be again."""
        self.deployment.queue.is_broken = is_broken

    @stateful.rule(seconds=st.sampled_from([0.5, 1, 4]))
    def work(self, seconds: float) -> None:
        """Let time pass."""
        self.deployment.pass_time(seconds)

    @stateful.rule(is_away=st.booleans(), is_unheard=st.booleans())
    def kafka(self, *, is_away: bool, is_unheard: bool) -> None:
        """Kafka goes away, comes back, or its answers do not arrive."""
        self.deployment.kafka.is_away = is_away
        self.deployment.kafka.is_unheard = is_unheard

    @stateful.rule(steps=st.integers(0, 6))
    def kill(self, steps: int) -> None:
        """Kill the process after some steps of a turn, and start it again."""
        self.deployment.queue.steps_left = steps
        with suppress(Killed):
            self.deployment.pass_time(2)
        self.deployment.kill()
        self.deployment.start()
        self.deployment.fill_disk(is_full=self.is_full)

    @stateful.rule(is_full=st.booleans())
    def disk(self, *, is_full: bool) -> None:
        """The disk is full, or has room again."""
        self.is_full = is_full
        self.deployment.fill_disk(is_full=is_full)

    @stateful.rule()
    def damage(self) -> None:
        """The file is damaged while the process is down; it is set aside and named, and its records with it."""
        self.deployment.kill()
        sent = {value for _, value in self.deployment.kafka.log}
        self.lost |= {value for _, value in self.sent} - sent
        self.deployment.path.write_bytes(b"not a database, but long enough to look like one" * 100)
        Path(f"{self.deployment.path}-wal").unlink(missing_ok=True)
        before = len(self.deployment.told.lines)
        self.deployment.start()
        self.is_full = False
        where = self.deployment.told.lines[before].removeprefix("damaged ")
        assert Path(where).read_bytes().startswith(b"not a database")

    def teardown(self) -> None:
        """All goes well again: what was accepted is in the log, once but for repeats that the processor flags."""
        deployment = self.deployment
        deployment.kafka.is_away = deployment.kafka.is_unheard = False
        deployment.queue.is_broken = False
        deployment.fill_disk(is_full=False)
        for _ in range(10):  # Senders go on while it drains.
            deployment.pass_time(0.5)
            for user in USERS:
                self.send(user, 10, is_poison=False)
        deployment.pass_time(60)
        assert deployment.outbox.stock.records == 0
        assert deployment.outbox.waiting() == 0
        for user in USERS:
            assert not deployment.outbox.waits(user)
            accepted = [
                value
                for of, value in self.sent
                if of == user and value in self.told and value not in self.lost | self.poison
            ]
            log = deployment.kafka.values(user)
            kept = set(accepted)
            assert [value for value in log if value in kept] == accepted
            raw = [value for of, value in deployment.kafka.log if of == user]
            for place, value in enumerate(raw):
                if value in raw[:place]:
                    assert value in raw[max(0, place - RECENT_RECORDS_MAX) : place]
        set_aside = {refused.record.value for refused in deployment.queue.refused()}
        assert self.poison & self.told - self.lost <= set_aside
        deployment.outbox.close()
        shutil.rmtree(self.folder)


TestOutages = Outages.TestCase
TestOutages.settings = settings(max_examples=20, stateful_step_count=40)
MANY = settings(max_examples=60, stateful_step_count=40)
TestManyOutages = pytest.mark.long(type("TestManyOutages", (Outages.TestCase,), {"settings": MANY}))
