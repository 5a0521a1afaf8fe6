"""Starts the processes of a test's headrace by forking one that has imported them already: imports are most of what a start
costs, and the tests start some two hundred.

    pytest ──► fork server of `api` (or `workers`) ──fork──► the process, as `python -m api serve` would begin it
       ▲  ▲       request + log + pipe │    │                    │
       │  └────────── process id ──────┘    │                    │
       └───────────── exit status, through the process's pipe ◄──┘

A forked process has its own environment, arguments, log and default signals, and loads what its package loads: API processes
never have the modules of workers. The start from nothing, as the Procfile does it, is what `./headrace up`'s tests, the
chaos command and the benchmarks run. Everything forked dies with the fork server, and that with pytest.
"""

import contextlib
import ctypes
import gc
import importlib
import json
import os
import runpy
import select
import selectors
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

ROOT = Path(__file__).resolve().parent.parent

PRELOADED = {
    "api": ("api.cli.serve", "api.server"),
    "workers": (
        *("workers.celery.app", "workers.celery.consumer", "workers.celery.pool", "workers.celery.tasks"),
        *("workers.context", "workers.scheduler", "tools.registry", "uvloop"),
    ),
}
"""The package that `python -m` starts, and what its processes import before they are ready."""

STATUS = struct.Struct("<i")
PR_SET_PDEATHSIG = 1
MAX_REQUEST = 64 * 1024


class ForkedProcess:
    """What `subprocess.Popen` is to a process that this one started itself."""

    def __init__(self, pid: int, status_pipe: int, command: str) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._status_pipe, self._command = status_pipe, command
        self._lock = threading.Lock()

    def poll(self) -> int | None:
        return self._status_within(0)

    def wait(self, timeout: float | None = None) -> int:
        give_up = None if timeout is None else time.monotonic() + timeout
        while (status := self._status_within(0.1)) is None:
            if give_up is not None and timeout is not None and time.monotonic() > give_up:
                raise subprocess.TimeoutExpired(self._command, timeout)
        return status

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def _status_within(self, seconds: float) -> int | None:
        with self._lock:
            if self.returncode is None and select.select([self._status_pipe], [], [], seconds)[0]:
                received = os.read(self._status_pipe, STATUS.size)
                os.close(self._status_pipe)
                # Without a status the fork server is gone, and has taken the process along.
                self.returncode = STATUS.unpack(received)[0] if received else -signal.SIGKILL
            return self.returncode


class ForkServer:
    """Forks processes of one package. `close` ends it and them."""

    def __init__(self, package: str) -> None:
        self._package = package
        self._lock = threading.Lock()
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._server = subprocess.Popen(
                [sys.executable, "-m", "tests.fork_server", package],
                **{"cwd": ROOT, "env": base_environment(), "stdin": theirs.fileno(), "stdout": subprocess.DEVNULL},
            )

    def fork(self, arguments: Sequence[str], environment: Mapping[str, str], log: IO[bytes]) -> ForkedProcess:
        """Start `python -m PACKAGE ARGUMENTS` with this environment; it writes to `log`."""
        request = json.dumps({"arguments": arguments, "environment": dict(environment)}).encode()
        ours, theirs = os.pipe()
        with self._lock:
            socket.send_fds(self._control, [request], [log.fileno(), theirs])
            os.close(theirs)
            answer = self._control.recv(STATUS.size)
        assert answer, f"the fork server of {self._package} has ended"
        return ForkedProcess(STATUS.unpack(answer)[0], ours, f"python -m {self._package} {' '.join(arguments)}")

    def close(self) -> None:
        self._control.close()
        self._server.wait()


class ForkServers:
    """A fork server for each package, begun at its first use. Use as `with`."""

    def __init__(self) -> None:
        self._servers: dict[str, ForkServer] = {}

    def __enter__(self) -> "ForkServers":
        return self

    def __exit__(self, *exc: object) -> None:
        for server in self._servers.values():
            server.close()

    def start(self, command: Sequence[str], environment: Mapping[str, str], log: IO[bytes]) -> ForkedProcess:
        """Start `python -m COMMAND`."""
        package, *arguments = command
        if package not in self._servers:
            self._servers[package] = ForkServer(package)
        return self._servers[package].fork(arguments, environment, log)


def base_environment() -> dict[str, str]:
    """What every process of a test's headrace finds in its environment."""
    return {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/"), "PYTHONPATH": str(ROOT)}


def main(package: str) -> None:
    """Import, then fork at each request until pytest is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for pytest, which ends this process by closing the socket
    control = socket.socket(fileno=os.dup(0))
    for name in PRELOADED[package]:
        importlib.import_module(name)
    assert 1 == threading.active_count(), threading.enumerate()  # a fork would leave the others behind
    gc.collect()
    gc.freeze()  # so that children share these pages instead of copying them
    arguments = _serve_until_forked(control)
    if arguments is not None:
        sys.argv[:] = [package, *arguments]
        runpy.run_module(package, run_name="__main__", alter_sys=True)


def _serve_until_forked(control: socket.socket) -> list[str] | None:
    """Serve; return the arguments in each child, and None when pytest is gone."""
    pipes: dict[int, int] = {}
    woken, wake = socket.socketpair()
    wake.setblocking(False)
    signal.signal(signal.SIGCHLD, lambda *_: None)  # with a handler, the number is written to `wake`
    signal.set_wakeup_fd(wake.fileno())
    with selectors.DefaultSelector() as selector:
        selector.register(control, selectors.EVENT_READ)
        selector.register(woken, selectors.EVENT_READ)
        while True:
            ready = [key.fileobj for key, _ in selector.select()]
            if woken in ready:
                woken.recv(4096)
                _report_the_ended(pipes)
            if control not in ready:
                continue
            packed, files, _, _ = socket.recv_fds(control, MAX_REQUEST, 2)
            if not packed:
                return None
            request: dict[str, Any] = json.loads(packed)
            server, (log, pipe) = os.getpid(), files
            pid = os.fork()
            if not pid:
                break  # closes the selector
            os.close(log)
            pipes[pid] = pipe
            control.sendall(STATUS.pack(pid))
    signal.set_wakeup_fd(-1)
    for ours in (control, woken, wake):
        ours.close()
    _become(request, log, server)
    return request["arguments"]


def _report_the_ended(pipes: dict[int, int]) -> None:
    while pipes:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if not pid:
            return
        pipe = pipes.pop(pid)
        with contextlib.suppress(BrokenPipeError):
            os.write(pipe, STATUS.pack(os.waitstatus_to_exitcode(status)))
        os.close(pipe)


def _become(request: Mapping[str, Any], log: int, server: int) -> None:
    """Make this fork what an `exec` would have made it."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != server:
        os._exit(1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.dup2(log, 1)
    os.dup2(log, 2)
    with open(os.devnull) as nothing:
        os.dup2(nothing.fileno(), 0)
    os.closerange(3, 4096)
    os.environ.update(request["environment"])


if __name__ == "__main__":
    main(sys.argv[1])
