"""Many histories by chance: `make simulate SEED=1 STEPS=1000000`. The first broken one is told, shortened."""

import argparse
import os
import sys
from multiprocessing import Pool

from tests.simulation.shrinking import shortest
from tests.simulation.simulation import History, Simulation, as_text, history_of

STEPS_EACH = 500


def is_broken(history: History) -> bool:
    """Whether a history breaks a promise, or an error gets out."""
    try:
        Simulation().run(history)
    except Exception:
        return True
    return False


def tagged_in(seed: int) -> tuple[int, int | None]:
    """Return a seed and how many messages its history tagged; None if it breaks a promise."""
    try:
        return seed, Simulation().run(history_of(seed, STEPS_EACH)).tagged
    except Exception:
        return seed, None


def main() -> int:
    """Run the histories; return 1 if one is broken."""
    asked = argparse.ArgumentParser(prog="simulate", description=__doc__)
    asked.add_argument("--seed", type=int, default=1, help="of the first history; each further one has the next")
    asked.add_argument("--steps", type=int, default=1_000_000, help="of all histories together")
    given = asked.parse_args()
    count = -(-given.steps // STEPS_EACH)
    tagged = 0
    with Pool(os.cpu_count()) as pool:
        for seed, found in pool.imap(tagged_in, range(given.seed, given.seed + count), chunksize=10):
            if found is None:
                pool.terminate()
                history = shortest(history_of(seed, STEPS_EACH), is_broken)
                sys.stdout.write(f"{as_text(history)}\nbroken: make simulate SEED={seed} STEPS={STEPS_EACH}\n")
                return 1
            tagged += found
    sys.stdout.write(
        f"{count} histories, {count * STEPS_EACH:,} steps, {tagged:,} messages tagged exactly once; seeds {given.seed} "
        f"to {given.seed + count - 1}\n"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
