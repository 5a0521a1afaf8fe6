"""A small piece of the chaos run, so that the run itself stays right; all of it is `./headrace chaos`."""

import random
import shutil
from pathlib import Path

import pytest

from tests.chaos.__main__ import run_cases
from tests.chaos.cases import CASES
from tests.chaos.mutants import MUTANTS, apply
from tests.chaos.oracle import one_line_each
from tests.chaos.upgrade import NO_HISTORY, check_out, chosen_commits

ROOT = Path(__file__).parent.parent.parent
PIECES = ("worker killed", "doorbells doubled", "claims forgotten")


async def test_a_small_chaos_run_finds_nothing(tmp_path: Path):
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")

    assert [] == await run_cases([case for case in CASES if case.name in PIECES], tmp_path, seed=seed, scale=0.1)


def test_each_mutant_still_finds_its_place(tmp_path: Path):
    for mutant in MUTANTS:
        (tmp_path / mutant.path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / mutant.path, tmp_path / mutant.path)
        apply(mutant, tmp_path)
        assert (ROOT / mutant.path).read_text() != (tmp_path / mutant.path).read_text()


def test_an_earlier_commit_is_checked_out_beside_this_one(tmp_path: Path):
    if not chosen_commits():
        pytest.skip(NO_HISTORY)
    code = check_out("HEAD", tmp_path / "code")
    assert (code / "schema/migrations/versions/0001_the_foundation.py").is_file()
    with pytest.raises(ValueError, match="has no commit v999"):
        check_out("v999", tmp_path / "none")


def test_findings_are_a_line_each():
    wrong = [(n, "it failed:\n  a traceback") for n in range(5)] + [(7, "two answers")]
    assert ["5 jobs: it failed: a traceback (0, 1, 2, …)", "1 jobs: two answers (7)"] == one_line_each(wrong)
