"""Which tests a whole run takes, so that it stays short: of a test with many cases and of the files that take longest, a part
that the run's seed chooses. What a person names is run whole, and `./headrace test --all` runs everything."""

import os
import random
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import pytest

CASES = 10
"""How many cases of one test a run takes. Such cases are of one kind, and over a few runs all of them are taken."""

TURNS = 6
"""In how many runs each of the slow files is taken once, on average."""

SLOW_FILES = tuple((Path(__file__).parent / "slow_files.txt").read_text().split())
"""The files that took more than four seconds of CPU time, the slowest first, without those of what must never break: killed
workers and API processes, other tenants' things, the API's document. Each has quicker tests of the same noun beside it."""


def is_short() -> bool:
    """Whether this run is the short one (`api/cli/checks.py`)."""
    return os.environ.get("HEADRACE_TESTS") == "short"


def seed_of(config: pytest.Config) -> int:
    """The seed of the run, the same in all of its processes."""
    given = getattr(config, "workerinput", {}).get("randomly_seed", config.getoption("randomly_seed", 0))
    return given if isinstance(given, int) else 0


def is_left_out(path: str, seed: int) -> bool:
    """Whether a run with this seed leaves out the file, and so doesn't even read it."""
    return path in SLOW_FILES and SLOW_FILES.index(path) % TURNS != seed % TURNS


def choose(names: Sequence[str], seed: int) -> set[str]:
    """Return which of the tests with these names (`tests/x/test_y.py::test_z[case]`) a run with this seed takes."""
    chance = random.Random(seed)
    families: dict[str, list[str]] = defaultdict(list)
    for name in sorted(names):
        families[name.partition("[")[0]].append(name)
    return {
        name for cases in families.values() for name in (chance.sample(cases, CASES) if len(cases) > CASES else cases)
    }
