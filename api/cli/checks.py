"""`test`, `check`, `bench`, `chaos`, `clients`: the project's own tools. All but `check` pass their arguments on."""

# ruff: noqa: S603, S606 (the commands are ours, never a user's text)

import argparse
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent

# One process of tests more than cores, since each waits for a third of its time; each has stores of its own, and the tests of a
# file stay together. More than a few of them would need much memory.
PROCESSES = min((os.cpu_count() or 2) + 1, 6)
TAKES, ALL_TAKE = "about eight minutes", "about a quarter of an hour"
SIZE_SETTING = "HEADRACE_TESTS"
SIZES = {"--all": "all", "--full": "full"}
NAMING = ("-k", "-m", "--lf", "--last-failed", "--ff", "--failed-first")
"""Options of pytest's that name tests."""

PYTEST = ["pytest", "-q", "-n", str(PROCESSES), "--dist", "loadfile"]

CHECKS = {
    "lint": [str(BIN / "ruff"), "check", "."],
    "format": [str(BIN / "ruff"), "format", "--check", "."],
    "types": [str(BIN / "pyright")],
    "imports": [str(BIN / "lint-imports")],
    "tests": [sys.executable, "-m", *PYTEST],
}
MODULES = {"bench": ["tests.bench"], "chaos": ["tests.chaos"], "clients": ["tests.clients"]}

TEST_HELP = f"""\
usage: ./headrace test [PATH ...] [pytest options]

Runs the tests, or those in the files and folders you name. A run without names takes {TAKES} on two idle cores: of a
test with many cases it takes some, and of the slowest files some, which its random seed chooses (tests/selection.py). With
--all it takes everything, in {ALL_TAKE}. Tests need no services and no network: each of their processes
(here {PROCESSES}) starts a Postgres and a Valkey of its own in a temporary folder and removes them at the end. Failures are
reported as they happen, and in full at the end; a run without names also tells which files were slowest.

  ./headrace test                                      every kind of test
  ./headrace test --all                                every test
  ./headrace test tests/api                            one folder
  ./headrace test tests/api/chat/test_chat.py          one file
  ./headrace test tests/api/jobs/test_jobs.py::test_A  one test, in a single process
  ./headrace test -k cancel                            tests whose names contain "cancel"
  ./headrace test -x                                   stop at the first failure
  ./headrace test --lf                                 only what failed last time
  ./headrace test -n 2                                 two processes; -n 0 for none, so that a debugger works
  ./headrace test -p no:randomly                       in file order (the order is random by default)
  ./headrace test --randomly-seed=7                    what the run with that seed took, in its order
  ./headrace test --full                               every test, some with many more cases, and those that load torch

Every other argument is passed to pytest; .venv/bin/python -m pytest --help lists them. Exit status 0 means that every
test passed.
"""

CHECK_HELP = f"""\
usage: ./headrace check [CHECK ...]

Runs every check, or only those you name. Allow a minute or two more than the tests take.

  lint       ruff check: style and common mistakes
  format     ruff format --check; "ruff format ." fixes what it finds
  types      pyright over {", ".join(("api", "workers", "graphs", "tools", "schema"))}
  imports    import-linter: which folder may import which (see pyproject.toml)
  tests      the test suite; see ./headrace test --help

All of them run even if one fails, and the last line says which did. Exit status 0 means that all passed.
"""


def run(arguments: argparse.Namespace) -> int:
    os.chdir(ROOT)
    command, rest = arguments.command, arguments.rest
    if command in ("test", "check") and any(word in ("-h", "--help") for word in rest):
        print(TEST_HELP if command == "test" else CHECK_HELP, end="")
        return 0
    if command == "check":
        return check(rest)
    if command == "test":
        os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # each process would compile all tests and sources at every run
        if SIZE_SETTING not in os.environ or SIZES.keys() & {*rest}:
            os.environ[SIZE_SETTING] = size_of(rest)
        rest = [word for word in rest if word not in SIZES]
        print(introduction(rest), flush=True)
    sys.stdout.flush()
    module = pytest_command(rest) if command == "test" else [*MODULES[command], *rest]
    os.execv(sys.executable, [sys.executable, "-m", *module])


def size_of(rest: Sequence[str]) -> str:
    """Return how much of the tests a run takes: `short` (`tests/selection.py`), `all`, or `full`, which has more cases in some.
    What somebody names is taken whole."""
    if size := next((SIZES[word] for word in rest if word in SIZES), None):
        return size
    return "all" if any(word in NAMING or (ROOT / word.partition("::")[0]).exists() for word in rest) else "short"


def introduction(rest: Sequence[str]) -> str:
    """The lines printed before pytest starts."""
    if rest or os.environ[SIZE_SETTING] != "short":
        return "headrace: running tests; failures are reported as they happen."
    return (
        f"headrace: running the tests in {PROCESSES} processes. On two idle cores this takes {TAKES}.\n"
        "Of tests with many cases, and of the slowest files, it takes a part by its seed; --all takes everything.\n"
        "Failures are reported as they happen. To run only some of the tests: ./headrace test --help"
    )


def pytest_command(rest: Sequence[str]) -> list[str]:
    """A single test runs in this process: starting two would take longer than the test."""
    single = any("::" in word for word in rest)
    return ["pytest", "-q", *rest] if single else [*PYTEST, *rest]


def check(names: Sequence[str]) -> int:
    """Run every check even when one fails, then name those that did."""
    if unknown := [name for name in names if name not in CHECKS]:
        print(f"headrace: there is no check {unknown[0]!r}. Choose from {', '.join(CHECKS)}.", file=sys.stderr)
        return 2
    failed = []
    for name in names or CHECKS:
        command = CHECKS[name]
        os.environ.setdefault(SIZE_SETTING, "short")
        print(f"── {name}: {' '.join([Path(command[0]).name, *command[1:]])}", flush=True)
        if subprocess.run(command, check=False).returncode:
            failed.append(name)
    print(f"headrace: {'failed: ' + ', '.join(failed) if failed else 'every check passed'}.", flush=True)
    return 1 if failed else 0
