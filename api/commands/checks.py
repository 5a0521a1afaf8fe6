"""`test`, `check`, `bench`, `chaos`: the project's own tools, with further arguments passed on as they are."""

# ruff: noqa: S603, S606 (the commands are ours, never a user's text)

import argparse
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent

# Two processes of tests at a time, each with stores of its own; the tests of a file stay together.
PYTEST = ["pytest", "-q", "-n", "2", "--dist", "loadfile"]

CHECKS = {
    "lint": [str(BIN / "ruff"), "check", "."],
    "format": [str(BIN / "ruff"), "format", "--check", "."],
    "types": [str(BIN / "pyright")],
    "import rules": [str(BIN / "lint-imports")],
    "tests": [sys.executable, "-m", *PYTEST],
}
MODULES = {"test": PYTEST, "bench": ["tests.bench"], "chaos": ["tests.chaos"]}


def run(arguments: argparse.Namespace) -> int:
    os.chdir(ROOT)
    if arguments.command == "check":
        return check()
    sys.stdout.flush()
    os.execv(sys.executable, [sys.executable, "-m", *MODULES[arguments.command], *arguments.rest])


def check() -> int:
    """Run every check even when one fails, then name those that did."""
    failed = []
    for name, command in CHECKS.items():
        print(f"── {name}: {' '.join([Path(command[0]).name, *command[1:]])}", flush=True)
        if subprocess.run(command, check=False).returncode:
            failed.append(name)
    print(f"headrace: {'wrong: ' + ', '.join(failed) if failed else 'every check passed'}.", flush=True)
    return 1 if failed else 0
