"""The rules of the house, as programs: where things are, how they are named, what they may not do."""

import ast
import functools
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = ("api", "workers", "graphs", "tools", "schema")
DRAWERS = {"core", "lib", "utils", "common", "helpers", "services", "managers", "misc", "util"}
PLACES = {
    *(
        *FOLDERS,
        "tests",
        "docs",
        "compose.yaml",
        "pyproject.toml",
        "Procfile",
        "constraints.txt",
        "headrace",
        "Makefile",
    ),
    *("README.md", "ARCHITECTURE.md", "CHANGELOG.md", "CONTRIBUTING.md", "DECISIONS.md", "LICENSE", "Dockerfile"),
}


def sources(*folders: str) -> Iterator[Path]:
    for folder in folders or FOLDERS:
        yield from (ROOT / folder).rglob("*.py")


def ids(path: Path) -> str:
    return str(path.relative_to(ROOT))


@functools.cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


@pytest.mark.parametrize("folder", FOLDERS)
def test_our_folders_are_ours(folder: str) -> None:
    """Their names are generic; a dependency that ships a top-level `tools` must not take the place of ours."""
    module = __import__(folder)
    assert ROOT / folder / "__init__.py" == Path(module.__file__ or "")


def test_the_root_holds_what_was_agreed() -> None:
    here = {path.name for path in ROOT.iterdir() if not path.name.startswith(".")}
    assert set() == here - PLACES - {"bench.json", "__pycache__"}
    assert set() == PLACES - here


@pytest.mark.parametrize(
    "path", [path for path in sources() if path.name == "__init__.py" and "migrations" not in path.parts], ids=ids
)
def test_a_package_names_files_that_exist_and_a_list_of_them_names_all(path: Path) -> None:
    text = ast.get_docstring(tree_of(path)) or ""
    files = set(re.findall(r"(?<![\w/.])([a-z_0-9/]+\.py)\b", text))
    assert [] == [name for name in files if not ((path.parent / name).exists() or (ROOT / name).exists())]
    if re.search(r"^ *[a-z_]+\.py\b.*   *\w", text, re.MULTILINE):
        folders = {f"{one.parent.name}/" for one in path.parent.glob("*/__init__.py")}
        named = files | {folder for folder in folders if folder in text}
        assert set() == ({one.name for one in path.parent.glob("*.py")} | folders) - named - {"__init__.py"}


def test_there_are_no_drawers() -> None:
    names = {path.stem for path in sources()} | {path.parent.name for path in sources()}
    assert set() == names & DRAWERS


def test_no_module_is_named_like_the_standard_librarys() -> None:
    at_top = {path.stem for folder in FOLDERS for path in (ROOT / folder).glob("*.py")} | set(FOLDERS)
    assert set() == at_top & (sys.stdlib_module_names - {"__main__", "errors"})


def test_every_module_says_what_it_is_for() -> None:
    trees = {ids(path): tree_of(path) for path in sources()}
    assert [] == [name for name, tree in trees.items() if tree.body and not ast.get_docstring(tree)]


def test_no_file_is_too_long_to_read() -> None:
    files = [path for path in sources(*FOLDERS, "tests") if "versions" not in path.parts]
    lines = {path: len(path.read_text().splitlines()) for path in files}
    assert {} == {
        ids(path): number for path, number in lines.items() if number > (420 if "tests" in path.parts else 350)
    }


def test_no_error_is_swallowed() -> None:
    assert [] == [
        f"{ids(path)}:{node.lineno} swallows everything"
        for path in sources()
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.ExceptHandler) and is_broad(node) and is_silent(node)
    ]


def is_broad(node: ast.ExceptHandler) -> bool:
    return node.type is None or (isinstance(node.type, ast.Name) and node.type.id in ("Exception", "BaseException"))


def is_silent(node: ast.ExceptHandler) -> bool:
    return all(isinstance(line, ast.Pass) for line in node.body)


def test_redis_names_are_made_in_one_place() -> None:
    literal = re.compile(r"""["']headrace:(\{|\w)""")
    elsewhere = [ids(path) for path in sources() if path.name != "redis_names.py" and literal.search(path.read_text())]
    assert [] == elsewhere


def test_the_environment_is_read_in_the_entry_points_only() -> None:
    entries = {"api/__main__.py", "api/server.py", "workers/__main__.py", "api/local/launch.py"}
    readers = {ids(path) for path in sources() if re.search(r"os\.environ|getenv\(", path.read_text())}
    assert set() == {name for name in readers - entries if not name.startswith("api/cli/")}


def test_states_are_written_by_queries_only() -> None:
    writer = re.compile(r"UPDATE\s+jobs|INSERT\s+INTO\s+jobs|DELETE\s+FROM\s+jobs", re.IGNORECASE)
    writers = [ids(path) for path in sources() if writer.search(path.read_text())]
    assert [] == [name for name in writers if not name.startswith("schema/queries/")]


def test_tests_never_sleep_blindly() -> None:
    """A sleep is allowed inside a loop that waits for something, and where the sleep is what is tested (marked)."""
    found = []
    for path in (ROOT / "tests").rglob("test_*.py"):
        for number, line in enumerate(path.read_text().splitlines(), 1):
            if re.match(r"\s{4}(await asyncio|time)\.sleep\(", line) and "noqa" not in line and "#" not in line:
                found.append(f"{ids(path)}:{number}")
    assert [] == found
