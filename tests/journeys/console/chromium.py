"""Finds a Chromium, installs one in CI, and builds the console, each once for all processes of tests."""

import fcntl
import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

import pytest
from playwright.async_api import Browser, Playwright

from api.console.build import build
from api.local.errors import LocalError

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
HOW = "Chromium is missing: apt-get install chromium (Debian, as root)"
INSTALL = (["apt-get", "update", "-qq"], ["apt-get", "install", "-y", "-qq", "chromium"])
TRIES = 3
PAUSE_S = 5.0
FLAGS = ["--no-sandbox", "--disable-dev-shm-usage"]
"""Root has no sandbox in a container, and little shared memory."""


def find_chromium() -> str | None:
    """Return the path of a Chromium that is installed."""
    return next((path for name in NAMES if (path := shutil.which(name))), None)


def require_chromium() -> str:
    """Return the path of a Chromium. Skips the test where there is none; in CI it is installed first."""
    found = find_chromium()
    if found is None and os.environ.get("CI") == "true":
        found = _install()
    if found is None:
        pytest.skip(HOW)
    return found


async def launch(playwright: Playwright, path: str) -> Browser:
    """Start a browser without a screen."""
    return await playwright.chromium.launch(executable_path=path, args=FLAGS)


def require_console() -> None:
    """Build the console. Skips the test where npm can't be reached, but fails in CI."""
    try:
        build(os.environ, print)
    except LocalError as error:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(error.message)


def _install() -> str:
    """Install Chromium as Debian's root, one process at a time. Skips the test where that can't be done: a mirror that is away
    is no fault of what is tested."""
    with (Path(tempfile.gettempdir()) / "headrace-chromium.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if found := find_chromium():
            return found
        if os.geteuid() or not shutil.which("apt-get"):
            pytest.skip(HOW)
        gave_up = Path(lock.name).with_suffix(f".{os.environ.get('PYTEST_XDIST_TESTRUNUID', os.getpid())}")
        said = gave_up.read_text() if gave_up.exists() else try_to_install()
        if found := find_chromium():
            return found
        gave_up.write_text(said)
        pytest.skip(f"{HOW}. It can't be installed here, in {TRIES} tries: {said}")


def try_to_install() -> str:
    """Run the steps of an installation, all of them again if one fails; returns what the last one complained of."""
    said = ""
    for attempt in range(TRIES):
        time.sleep(PAUSE_S * attempt)
        for command in INSTALL:
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            said = done.stderr.strip()[-1000:]
            if done.returncode:
                break
        else:
            return ""
    return said
