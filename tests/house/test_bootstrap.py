"""The script `headrace`: what it says when something is missing, and that it mends what is half-made.

The installation itself is not run here: it is how these tests came to run.
"""

import fcntl
import importlib.machinery
import importlib.util
import os
import re
import subprocess
import sys
import types
from collections import namedtuple
from pathlib import Path

import pytest

from api.__main__ import COMMANDS
from tests.waiting import wait_until

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    """The script as a module, working on an empty project folder."""
    loader = importlib.machinery.SourceFileLoader("headrace_script", str(ROOT / "headrace"))
    spec = importlib.util.spec_from_loader("headrace_script", loader)
    assert spec
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)  # or a file headracec appears beside it
    loader.exec_module(module)
    for name in ("pyproject.toml", "constraints.txt"):
        (tmp_path / name).write_text("")
    venv = tmp_path / ".venv"
    python, stamp = venv / "bin" / "python", venv / ".headrace-stamp"
    for name, value in {"ROOT": tmp_path, "VENV": venv, "PYTHON": python, "STAMP": stamp}.items():
        monkeypatch.setattr(module, name, value)
    monkeypatch.delenv("HEADRACE_TORCH", raising=False)
    return module


def test_it_lists_the_same_commands_as_the_program_behind_it(script: types.ModuleType) -> None:
    assert set(COMMANDS) == set(script.NAMES)


@pytest.mark.parametrize("arguments", [[], ["--help"]])
def test_its_help_needs_no_environment(arguments: list[str], tmp_path: Path) -> None:
    (tmp_path / "headrace").write_bytes((ROOT / "headrace").read_bytes())
    done = subprocess.run(
        [sys.executable, "headrace", *arguments], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert "up " in done.stdout
    assert ["headrace"] == os.listdir(tmp_path)


def test_an_unknown_command_is_refused_before_anything_is_installed(
    script: types.ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        script.main(["dmeo"])
    assert 2 == ended.value.code
    assert "no command 'dmeo'" in capsys.readouterr().err
    assert not script.VENV.exists()


def test_the_commands_behind_it_know_where_the_caller_stands(
    script: types.ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    started: list[tuple[list[str], str, str]] = []
    monkeypatch.setattr(script, "make_environment", lambda: None)
    monkeypatch.setattr(
        script.os, "execve", lambda _, words, env: started.append((words[3:], env["HEADRACE_STARTED_IN"], os.getcwd()))
    )
    script.main(["backup", "a.tar"])
    assert [(["backup", "a.tar"], str(here), str(tmp_path))] == started


def test_a_full_disk_is_reported_before_anything_is_downloaded(
    script: types.ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = namedtuple("usage", "free")
    monkeypatch.setattr(script.shutil, "disk_usage", lambda _: usage(1_700_000_000))
    with pytest.raises(SystemExit, match=r"1\.7 GB free, and installing needs 2\.5 GB") as ended:
        script.main(["demo"])
    assert "HEADRACE_TORCH=none" in str(ended.value)
    assert not script.VENV.exists()
    monkeypatch.setenv("HEADRACE_TORCH", "none")
    script.require_disk_space()


@pytest.mark.parametrize(
    ("output", "sentence"),
    [
        ("ERROR: Could not install: [Errno 28] No space left on device", "the disk is full"),
        ("error: command 'gcc' failed: No such file or directory", "Install a compiler"),
        ("error: Failed to build `httptools==0.9.0`", "Install a compiler"),
        ("failed to lookup address: Temporary failure in name resolution", "index can't be reached"),
        ("error: Hash mismatch for `aiohttp==3.14.5`", "does not match its hash"),
        ("something else", "see the log"),
    ],
)
def test_a_failed_step_is_explained(output: str, sentence: str, script: types.ModuleType) -> None:
    told = script.explain("packages", f"\n== uv\nNo space left on device\n\n== packages\n{output}\n")
    assert told.startswith("packages failed: ")
    assert sentence in told.splitlines()[0]
    assert output in told


def test_a_python_without_ensurepip_is_told_what_to_install(
    script: types.ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(script.importlib.util, "find_spec", lambda _: None)
    monkeypatch.setattr(script.shutil, "which", lambda _: None)
    with pytest.raises(script.SetupError, match=r"sudo apt install python3\.\d+-venv"):
        script.venv_command()
    monkeypatch.setattr(script.shutil, "which", lambda name: f"/bin/{name}" if name == "virtualenv" else None)
    assert "/bin/virtualenv" == script.venv_command()[0]


def test_a_python_that_is_too_old_is_told_what_to_install(
    script: types.ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(script, "MIN_PYTHON", (99, 0))
    monkeypatch.setattr(script.shutil, "which", lambda _: None)
    with pytest.raises(script.SetupError, match=r"headrace needs 3\.11 or newer"):
        script.use_newer_python()


def test_a_half_made_environment_is_noticed_and_finished(
    script: types.ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    (script.VENV / "bin").mkdir(parents=True)
    script.PYTHON.symlink_to("/nowhere/python")
    monkeypatch.setattr(script, "require_disk_space", lambda: None)
    steps: list[str] = []

    def record(self: object, name: str, *command: object) -> bool:
        steps.append(name)
        if name == "environment":
            script.PYTHON.parent.mkdir(parents=True)
            script.PYTHON.touch()
        return True

    monkeypatch.setattr(script.Progress, "try_run", record)
    script.make_environment()
    assert ["environment", "uv"] == steps[:2]
    assert "packages" == steps[-1]
    assert script.is_up_to_date()
    steps.clear()
    script.make_environment()
    assert [] == steps


def test_an_interrupted_installation_leaves_no_stamp(script: types.ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(script, "require_disk_space", lambda: None)
    monkeypatch.setattr(script, "venv_command", lambda: ["false"])
    with pytest.raises(script.SetupError, match="environment failed"):
        script.make_environment()
    assert not script.is_up_to_date()


def test_changed_dependencies_bring_the_environment_up_to_date(script: types.ModuleType) -> None:
    before = script.stamp()
    (script.ROOT / "constraints.txt").write_text("aiohttp==1\n")
    assert before != script.stamp()


def test_a_second_run_waits_for_the_first(tmp_path: Path) -> None:
    (tmp_path / "headrace").write_bytes((ROOT / "headrace").read_bytes())
    (tmp_path / ".headrace").mkdir()
    said = tmp_path / "said"
    with (tmp_path / ".headrace" / "install.lock").open("w") as lock, said.open("w") as err:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with subprocess.Popen([sys.executable, "headrace", "test"], cwd=tmp_path, stderr=err) as second:
            try:
                wait_until(lambda: "waiting for another" in said.read_text(), "it says that it waits")
                assert second.poll() is None
            finally:
                second.kill()
    assert not (tmp_path / ".venv").exists()


def test_every_package_but_torch_is_pinned_with_hashes_and_no_address_of_this_machine() -> None:
    text = (ROOT / "constraints.txt").read_text()
    blocks = re.split(r"\n(?=[a-z])", text)[1:]
    assert len(blocks) > 100
    assert [] == [block.splitlines()[0] for block in blocks if "--hash=sha256:" not in block]
    assert [] == re.findall(
        r"^(?:torch|triton|nvidia-\S+|cuda-\S+)==.*|https?://\S+|^-.*|.*@ file.*", text, re.MULTILINE
    )
