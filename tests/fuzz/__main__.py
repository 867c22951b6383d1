"""`make fuzz`: the fuzzers for longer and at random, round after round with another seed.

A round draws FACTOR times as much as the part in `make test`; the first one that finds something ends it.
"""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import sys
import time

FACTOR = 3


def main() -> int:
    """Run rounds until the time is up; the exit code of the last."""
    parser = argparse.ArgumentParser("make fuzz", description="Fuzz for some minutes. What else is said is pytest's.")
    parser.add_argument("--minutes", type=float, default=10, help="begin no round after so many (10)")
    parser.add_argument("--seed", type=int, help="the first round's seed, to have a round again (random)")
    chosen, rest = parser.parse_known_args()
    seed: int = random.randrange(10**6) if chosen.seed is None else chosen.seed
    end = time.monotonic() + chosen.minutes * 60
    while True:
        print(f"Seed {seed}", flush=True)
        environment = {**os.environ, "GRADBOOK_FUZZ": str(FACTOR), "GRADBOOK_FUZZ_SEED": str(seed)}
        command = [sys.executable, "-m", "pytest", "-q", "-n", "2", f"--hypothesis-seed={seed}", "tests/fuzz", *rest]
        code = subprocess.run(command, env=environment, check=False).returncode
        if code:
            again = " ".join([f"--seed {seed} --minutes 0", *rest])
            print(f"The same round again: make fuzz ARGS={again!r}. Each thing found gets a test beside its code.")
        if code or time.monotonic() > end:
            return code
        seed += 1


if __name__ == "__main__":
    sys.exit(main())
