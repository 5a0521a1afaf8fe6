"""Starts child processes that do not outlive this one, and reads process state from /proc."""

# ruff: noqa: S603 (the commands are ours, never a user's text)

import contextlib
import functools
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import IO, Literal

LAUNCH = Path(__file__).with_name("launch.py")
Mode = Literal["same", "userns", "nobody"]


def launch_command(command: Sequence[str], *, death_signal: signal.Signals, mode: Mode = "same") -> list[str]:
    """The command line that runs `command` tied to the life of this process (see `launch.py`)."""
    launcher = [sys.executable, "-I", "-S", str(LAUNCH), str(os.getpid()), str(int(death_signal)), mode]
    return [*launcher, *command]


def start_child(
    command: Sequence[str],
    *,
    death_signal: signal.Signals,
    mode: Mode,
    log: IO[bytes],
    keep_fds: Iterable[int] = (),
) -> subprocess.Popen[bytes]:
    """Start a program in a session of its own, so that Ctrl-C reaches it only through us.

    It gets `death_signal` when we die, even by SIGKILL. Must be called from the main thread: Linux sends that signal
    when the *thread* that started the child ends.
    """
    if threading.current_thread() is not threading.main_thread():
        raise RuntimeError("children are started from the main thread: they would die with any other one")
    return subprocess.Popen(
        launch_command(command, death_signal=death_signal, mode=mode),
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=subprocess.STDOUT,
        cwd="/",
        start_new_session=True,
        pass_fds=tuple(keep_fds),
    )


@functools.cache
def user_mode() -> Mode:
    """How to start programs that refuse to run as root: as we are, in a user namespace, or as uid 65534."""
    if os.geteuid() != 0:
        return "same"
    probe = subprocess.run(
        launch_command([], death_signal=signal.SIGTERM, mode="userns"), capture_output=True, check=False
    )
    return "userns" if probe.returncode == 0 else "nobody"


def is_alive(pid: int) -> bool:
    """Whether a process with that id exists and is not a zombie."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    try:
        return _stat_fields(pid)[0] != "Z"
    except (OSError, IndexError):
        return not sys.platform.startswith("linux")


def is_stopped(pid: int) -> bool:
    """Whether a signal or a debugger has stopped a process; False where that can't be seen."""
    try:
        return _stat_fields(pid)[0] in "Tt"
    except (OSError, IndexError):
        return False


def kill_tree(pid: int) -> None:
    """SIGKILL a process and all its descendants; those that are gone already are no error."""
    for each in [pid, *descendants(pid)]:
        with contextlib.suppress(ProcessLookupError):
            os.kill(each, signal.SIGKILL)


def descendants(pid: int) -> list[int]:
    """Ids of all processes below `pid`, parents first; empty where there is no /proc."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError, IndexError, ValueError):
            children.setdefault(int(_stat_fields(int(entry.name))[1]), []).append(int(entry.name))
    found, todo = [], [pid]
    while todo:
        below = children.get(todo.pop(), [])
        found += below
        todo += below
    return found


def _stat_fields(pid: int) -> list[str]:
    """State, parent and what follows in /proc/PID/stat; the name before them may hold spaces and brackets."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
