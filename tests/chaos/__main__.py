"""A deployment under load to which bad things happen: `make chaos SEED=1 SECONDS=600 NODES=3`. It ends with the proofs.

`a3cp audit` compares all topics. Each command that was answered must have happened once, each speaker's messages must
be in order, the outboxes empty and all bundles sound. What happens depends on the seed only; how far the work is by
then does not.
"""

import argparse
import random
import shutil
import signal
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

from tests.chaos.trial import run


def main() -> int:
    """Run; return 1 if a promise was broken, and keep what the processes wrote then."""
    asked = argparse.ArgumentParser(prog="chaos", description=__doc__)
    asked.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    asked.add_argument("--seconds", type=float, default=600)
    asked.add_argument("--nodes", type=int, default=1, choices=(1, 3))
    given = asked.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))  # What runs is stopped with it.
    folder = Path(tempfile.mkdtemp(prefix="a3cp-chaos-"))
    say(f"seed {given.seed}, logs in {folder}")
    with ExitStack() as stack:
        troubles = run(given.seed, folder, stack, say, seconds=given.seconds, nodes=given.nodes)
    for trouble in troubles:
        say(f"WRONG  {trouble}")
    if not troubles:
        shutil.rmtree(folder)
    return bool(troubles)


def say(line: str) -> None:
    """Print a line at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
