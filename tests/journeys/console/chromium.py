"""Finds a Chromium, installs one in CI, and builds the console, each once for all processes of tests."""

import fcntl
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

from api.console.build import build
from api.local.errors import LocalError

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
HOW = "Chromium is missing: apt-get install chromium (Debian, as root)"


def find_chromium() -> str | None:
    """Return the path of a Chromium that is installed."""
    return next((path for name in NAMES if (path := shutil.which(name))), None)


def require_chromium() -> str:
    """Return the path of a Chromium. Skips the test where there is none; in CI it is installed, or the test fails."""
    found = find_chromium()
    if found is None and os.environ.get("CI") == "true":
        found = _install()
    if found is None:
        pytest.skip(HOW)
    return found


def require_console() -> None:
    """Build the console. Skips the test where npm can't be reached, but fails in CI."""
    try:
        build(os.environ, print)
    except LocalError as error:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(error.message)


def _install() -> str:
    """Install Chromium as Debian's root, one process at a time."""
    with (Path(tempfile.gettempdir()) / "headrace-chromium.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if found := find_chromium():
            return found
        if os.geteuid() or not shutil.which("apt-get"):
            pytest.fail(HOW)
        for command in (["apt-get", "update", "-qq"], ["apt-get", "install", "-y", "-qq", "chromium"]):
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                pytest.fail(f"{HOW}; it can't be installed here:\n{done.stderr[-1000:]}")
        found = find_chromium()
        assert found is not None
        return found
