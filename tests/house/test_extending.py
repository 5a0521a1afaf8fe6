"""`docs/extending.md` can be followed: its blocks fit this repository, and what they add works.

The sources are copied, the blocks are applied to the copy as a reader would, and another Python runs there: the tests of the
registries, and `extended.py`, which uses each addition. None of it needs a store.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.house.code_blocks import CodeBlock, read_blocks

ROOT = Path(__file__).resolve().parents[2]
DOCUMENT = ROOT / "docs" / "extending.md"
COPIED = ("api", "workers", "graphs", "tools", "schema", "tests", "docs")
CHECKS = ("tests/house/extended.py", "tests/house/test_registries.py", "tests/tools/test_registry.py")


@pytest.fixture(scope="module")
def extended(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the repository with everything that the document adds."""
    root = tmp_path_factory.mktemp("extended")
    for folder in COPIED:
        shutil.copytree(ROOT / folder, root / folder, ignore=shutil.ignore_patterns("data", "versions"))
    for name in ("schema/migrations/versions", "tests/retrieval/data"):
        shutil.copytree(ROOT / name, root / name, dirs_exist_ok=True)
    for file in (".env.example", "pyproject.toml", "headrace"):
        shutil.copy2(ROOT / file, root / file)
    for block in read_blocks(DOCUMENT.read_text()):
        block.apply(root)
    return root


def test_every_addition_works_and_is_registered(extended: Path) -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:randomly", "-n", "0", *CHECKS]
    env = os.environ | {"PYTHONPATH": str(extended), "PYTHONSAFEPATH": "1"}
    done = subprocess.run(command, cwd=extended, env=env, capture_output=True, text=True, check=False, timeout=300)
    assert 0 == done.returncode, done.stdout + done.stderr


def test_additions_are_formatted_and_pass_the_linter(extended: Path) -> None:
    changed = [block.path for block in read_blocks(DOCUMENT.read_text()) if block.path.endswith(".py")]
    for command in (["check"], ["format", "--check"]):
        done = subprocess.run(
            [sys.executable, "-m", "ruff", *command, *sorted(set(changed))],
            cwd=extended,
            capture_output=True,
            text=True,
            check=False,
        )
        assert 0 == done.returncode, done.stdout


def test_additions_keep_the_import_rules(extended: Path) -> None:
    command = [Path(sys.executable).with_name("lint-imports"), "--no-cache"]
    env = os.environ | {"PYTHONPATH": str(extended)}
    done = subprocess.run(command, cwd=extended, env=env, capture_output=True, text=True, check=False)
    assert 0 == done.returncode, done.stdout[done.stdout.rfind("Broken contracts") :]


def test_a_block_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("one\ntwo\ntwo\n")
    CodeBlock("a.py", " one\n+more\n", new=False).apply(tmp_path)
    assert "one\nmore\ntwo\ntwo\n" == (tmp_path / "a.py").read_text()
    for text in (" three\n+four\n", " two\n+three\n"):
        with pytest.raises(AssertionError, match=r"a\.py has these lines [02] times"):
            CodeBlock("a.py", text, new=False).apply(tmp_path)


def test_a_block_without_a_file_name_is_refused() -> None:
    with pytest.raises(AssertionError, match="names no file"):
        list(read_blocks("```python\nx = 1\n```\n"))
