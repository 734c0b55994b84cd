"""One run: a deployment under load, bad things, calm, the proofs, and a summary."""

import signal
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from tests.broker.audit import Broken
from tests.broker.fleet import await_true
from tests.chaos.chaos import Chaos, Pause
from tests.chaos.deployment import Deployment
from tests.chaos.proofs import wrong

TOLD: Final = 5  # standstills
PAUSE_S: Final = (1.0, 8.0)
EXPORTED_WITHIN_S: Final = 900.0  # It was killed often, so much may be left.


def run(
    seed: int,
    folder: Path,
    stack: ExitStack,
    say: Callable[[str], None],
    *,
    seconds: float,
    nodes: int = 1,
    pause_s: Pause = PAUSE_S,
) -> list[str]:
    """Return what is wrong at the end."""
    runs = Deployment(seed, nodes, folder, stack)
    chaos = Chaos(seed, nodes, pause_s, runs)
    if missing := chaos.impossible():
        say(f"not possible on this machine: {', '.join(sorted(missing))}")
    try:
        with ExitStack() as using:
            using.enter_context(runs.load)
            for customer in runs.customers:
                using.enter_context(customer)
            runs.tagged.await_count(100)
            runs.tagged.measure()
            chaos.run(seconds, say)
        await_true("the outboxes are empty", lambda: not runs.outbox_records())
        found = runs.fleet.audit()
    except Broken as error:
        return [str(error)]
    code, told = runs.fleet.a3cp("audit")
    runs.exporter.end(signal.SIGTERM)
    done = runs.exporter.run(EXPORTED_WITHIN_S)
    troubles = wrong(runs)
    if code or done.returncode:
        troubles.append(f"a3cp audit ended with {code}, a3cp export with {done.returncode}: {told}{done.stderr}")
    runs.tagged.look()
    say(f"happened: {', '.join(f'{name} {count}' for name, count in sorted(chaos.happened.items()))}")
    answered = sum(sum(carer.done.values()) for carer in runs.carers)
    unanswered, kept = (sum(getattr(each, name) for each in runs.customers) for name in ("unanswered", "kept"))
    said = sum(speaker.said for speaker in runs.speakers)
    say(
        f"{found.tagged:,} messages tagged exactly once, {found.dead:,} dead letters, {found.sessions:,} sessions; "
        f"{answered:,} commands and {said:,} messages by the service; {unanswered:,} answers were lost, {kept:,} told "
        "of an outbox"
    )
    for standstill in sorted(runs.tagged.standstills, reverse=True)[:TOLD]:
        say(f"standstill: {chaos.troubles.told(standstill)}")
    runs.calm_down()
    return troubles
