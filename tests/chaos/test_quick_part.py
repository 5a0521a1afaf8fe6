"""A small piece of the chaos run, so that the run itself stays right; all of it is `./headrace chaos`."""

import random
from pathlib import Path

from tests.chaos.__main__ import run_cases
from tests.chaos.cases import CASES

PIECES = ("worker killed", "doorbells doubled")


async def test_a_small_chaos_run_finds_nothing(tmp_path: Path):
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")

    assert [] == await run_cases([case for case in CASES if case.name in PIECES], tmp_path, seed=seed, scale=0.1)
