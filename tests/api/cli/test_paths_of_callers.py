"""Paths that are given to commands are seen from where the caller stands, as with every other tool."""

import argparse
import importlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from api.__main__ import COMMANDS, PASSTHROUGH_COMMANDS
from api.cli.arguments import path_here
from api.local.stack_settings import ROOT
from tests.waiting import PATIENCE_S

NOWHERE = {"HEADRACE_URL": "http://127.0.0.1:1", "HEADRACE_API_KEY": "hr_x", "HEADRACE_ADMIN_KEY": "hr_x"}
NAMES_A_FILE = [
    ["restore", "there"],
    ["import", "there", "--tenant", "demo"],
    ["ingest", "there"],
    ["chat", "hello", "--attach", "there"],
    ["certificates", "check", "--certificate", "there", "--key", "there"],
    ["up", "--model", "local:there"],
    ["doctor", "--backups", "there"],
]


@pytest.mark.parametrize("arguments", NAMES_A_FILE, ids=lambda arguments: arguments[0])
def test_a_relative_path_is_the_callers_and_not_the_projects(arguments: list[str], tmp_path: Path) -> None:
    here = tmp_path / "here"
    here.mkdir()
    own = {name: value for name, value in os.environ.items() if not name.startswith(("HEADRACE_", "OPENAI_"))}
    told = NOWHERE | {"HEADRACE_HOME": str(tmp_path / "home"), "HEADRACE_STARTED_IN": str(here)}
    done = subprocess.run(
        [sys.executable, "-m", "api", *arguments],
        env=own | told,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert 0 != done.returncode
    assert str(here / "there") in done.stdout + done.stderr


def test_an_absolute_path_stays_as_it_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HEADRACE_STARTED_IN", str(tmp_path))
    assert (Path("/etc/hosts"), tmp_path / "a") == (path_here("/etc/hosts"), path_here("a"))
    monkeypatch.delenv("HEADRACE_STARTED_IN")
    assert Path.cwd() / "a" == path_here("a")


def test_no_command_takes_a_path_that_is_seen_from_elsewhere() -> None:
    seen: dict[str, list[object]] = {}
    for name, (file, _) in COMMANDS.items():
        if name not in PASSTHROUGH_COMMANDS:
            parser = argparse.ArgumentParser()
            importlib.import_module(f"api.cli.{file}").add_arguments(parser)
            seen[name] = [action.type for action in actions(parser)]
    assert [] == [name for name, types in seen.items() if Path in types]
    assert path_here in seen["backup"]


def actions(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    """Return all arguments of a command and of those below it."""
    for action in parser._actions:
        yield action
        if isinstance(action, argparse._SubParsersAction):
            for below in action.choices.values():
                yield from actions(below)
