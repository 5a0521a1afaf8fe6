"""The short run takes its part by its seed, and every test is taken by some run."""

from pathlib import Path

import pytest

from api.cli.checks import size_of
from tests.selection import CASES, SLOW_FILES, TURNS, choose, is_left_out

ROOT = Path(__file__).parents[2]
FEW = [f"tests/a/test_a.py::test_few[{n}]" for n in range(CASES)]
MANY = [f"tests/a/test_a.py::test_many[{n}]" for n in range(50)]


def test_a_test_with_many_cases_is_run_with_some_of_them_and_any_other_with_all() -> None:
    chosen = choose([*FEW, *MANY], 1)
    assert {*FEW} < chosen
    assert CASES == len(chosen & {*MANY})


def test_every_run_takes_some_slow_files_and_all_are_taken_in_turn() -> None:
    runs = [{path for path in SLOW_FILES if not is_left_out(path, seed)} for seed in range(TURNS)]
    assert all(len(SLOW_FILES) // TURNS <= len(run) <= len(SLOW_FILES) // TURNS + 1 for run in runs)
    assert {*SLOW_FILES} == set.union(*runs)
    assert not is_left_out("tests/house/test_selection.py", 3)
    assert {*MANY} == set.union(*(choose(MANY, seed) for seed in range(40)))


def test_processes_of_one_run_choose_the_same() -> None:
    names = [*FEW, *MANY]
    assert choose(names, 7) == choose(names[::-1], 7)


def test_the_slow_files_exist() -> None:
    assert [] == [path for path in SLOW_FILES if not (ROOT / path).is_file()]


@pytest.mark.parametrize(
    ("arguments", "size"),
    [
        ([], "short"),
        (["-x", "-n", "2"], "short"),
        (["--all"], "all"),
        (["--full"], "full"),
        (["--full", "tests/api"], "full"),
        (["tests/api"], "all"),
        (["tests/house/test_selection.py::test_the_slow_files_exist"], "all"),
        (["-k", "cancel"], "all"),
        (["--lf"], "all"),
    ],
)
def test_what_is_named_is_run_whole(arguments: list[str], size: str) -> None:
    assert size == size_of(arguments)
