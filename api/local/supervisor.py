"""Runs every line of the Procfile, restarts what dies, and stops all of them together.

For `./headrace up` and `demo`, which run everything on one machine. In production systemd, Docker or Kubernetes do
this, one process each.
"""

import asyncio
import contextlib
import os
import shlex
import signal
import sys
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from api.local.errors import LocalError
from api.local.processes import is_stopped, launch_command
from api.local.restarts import WRONG_SETTINGS, Restarts, refusal_message

SERVANTS_GRACE_S = 5.0
"""How long those get that serve jobs, after the last job: nobody uses them any more."""


@dataclass(frozen=True)
class ProcfileEntry:
    """One line of a Procfile. Running jobs need what `serves_jobs`, so it is stopped after the others."""

    name: str
    command: tuple[str, ...]
    serves_jobs: bool = False


class Output(Protocol):
    """Where the processes' lines go. `write` is called with whole lines without their newline."""

    def write(self, name: str, line: str) -> None: ...


def read_procfile(file: Path) -> list[ProcfileEntry]:
    """The lines of a Procfile, in order; `python` means the one that runs this. Raises LocalError, naming the line."""
    lines = []
    for number, text in enumerate(file.read_text().splitlines(), start=1):
        if not text.strip() or text.lstrip().startswith("#"):
            continue
        name, colon, command = text.partition(":")
        words = shlex.split(command)
        if not colon or not words or not name.strip().replace("-", "_").isidentifier():
            raise LocalError(f"{file}, line {number}: expected 'name: command', found {text!r}.")
        program = sys.executable if words[0] == "python" else words[0]
        lines.append(ProcfileEntry(name.strip(), (program, *words[1:])))
    return lines


class Supervisor:
    """The processes of one stack. Start and stop it in the main thread's event loop.

    Life: `start` → each process runs, dies, is started again … → `stop` (SIGTERM, grace, SIGKILL). When the supervisor
    itself is killed, Linux sends its children SIGTERM.
    """

    def __init__(
        self,
        lines: list[ProcfileEntry],
        *,
        env: Mapping[str, str],
        cwd: Path,
        output: Output,
        on_change: Callable[[], None] = lambda: None,
    ) -> None:
        self._children = [Child(line, env=env, cwd=cwd, output=output, on_change=on_change) for line in lines]
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def pids(self) -> dict[str, int]:
        """The process id of each process that runs now, by its name in the Procfile."""
        return {child.line.name: pid for child in self._children if (pid := child.pid) is not None}

    @property
    def crash_looping(self) -> dict[str, str]:
        """Processes that exit again and again, by name, with their last output."""
        return {child.line.name: child.last_output for child in self._children if child.restarts.is_crash_loop}

    @property
    def refusing(self) -> dict[str, str]:
        """Processes that ended because of their settings and aren't restarted, by name, with their last output."""
        return {child.line.name: child.last_output for child in self._children if child.refused_settings}

    async def start(self) -> None:
        """Start all at once; returns when each has a process (not when it is ready)."""
        await asyncio.gather(*(child.spawn() for child in self._children))
        self._tasks = [asyncio.create_task(child.keep_running()) for child in self._children]

    def replace(self, pid: int, silent_s: float) -> None:
        """Kill a process of ours that lives and has said nothing for so long; it is started again."""
        for child in self._children:
            if child.pid == pid:
                child.replace(silent_s)

    async def stop(self, *, grace_s: float = 30.0, stop_now: asyncio.Event | None = None) -> None:
        """End all: SIGTERM, then SIGKILL for those still there after the grace or when `stop_now` is set. The API and the
        workers come first, together: what runs is finished in the grace. Then what they needed for it."""
        stop_now_wait = asyncio.create_task((stop_now or asyncio.Event()).wait())
        running = list(zip(self._children, self._tasks, strict=True))
        for last, limit_s in ((False, grace_s), (True, min(grace_s, SERVANTS_GRACE_S))):
            group = [(child, task) for child, task in running if child.line.serves_jobs is last]
            for child, _ in group:
                child.terminate()
            ended = asyncio.gather(*(task for _, task in group))
            await asyncio.wait([ended, stop_now_wait], timeout=limit_s, return_when=asyncio.FIRST_COMPLETED)
            for child, _ in group:
                child.kill_group()
            await ended
        stop_now_wait.cancel()


class Child:
    """One line of the Procfile, across restarts."""

    def __init__(
        self, line: ProcfileEntry, *, env: Mapping[str, str], cwd: Path, output: Output, on_change: Callable[[], None]
    ) -> None:
        self.line = line
        self.restarts = Restarts(line.name)
        self._env, self._cwd, self._output, self._on_change = env, cwd, output, on_change
        self._transport: asyncio.SubprocessTransport
        self._pipe: PipeReader
        self._stopping = asyncio.Event()
        self._tail: deque[str] = deque(maxlen=5)

    @property
    def pid(self) -> int | None:
        return self._transport.get_pid() if self._transport.get_returncode() is None else None

    @property
    def refused_settings(self) -> bool:
        """Whether the process has ended because its settings are wrong."""
        return self._transport.get_returncode() == WRONG_SETTINGS

    @property
    def last_output(self) -> str:
        return "\n".join(self._tail)

    async def spawn(self) -> None:
        self._transport, self._pipe = await asyncio.get_running_loop().subprocess_exec(
            lambda: PipeReader(self._on_line),
            *launch_command(self.line.command, death_signal=signal.SIGTERM),
            stdin=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.STDOUT,
            env=self._env,
            cwd=self._cwd,
            start_new_session=True,  # Ctrl-C comes to the supervisor only, which ends all in order
        )
        self.restarts.note_start()
        self._on_change()

    async def keep_running(self) -> None:
        """Start the process again whenever it ends, until `terminate` is called."""
        while True:
            await self._pipe.exited.wait()
            self.kill_group()  # a prefork child that outlived its parent would keep ports, leases and the pipe
            await self._pipe.closed.wait()
            self._transport.close()
            self._on_change()
            if self.refused_settings and not self._stopping.is_set():
                self._say(refusal_message(self.line.name, self._tail))
                await self._stopping.wait()
            elif not self._stopping.is_set():
                await self._wait_before_restart()
            if self._stopping.is_set():
                return
            await self.spawn()

    def terminate(self) -> None:
        self._stopping.set()
        with contextlib.suppress(ProcessLookupError):
            self._transport.terminate()

    def replace(self, silent_s: float) -> None:
        """Kill the process, and say why; the next one is started as after any other end."""
        how = "is stopped (SIGSTOP)" if is_stopped(pid := self._transport.get_pid()) else "lives but hangs"
        self._say(f"{self.line.name} (process {pid}) {how}, and has said nothing for {silent_s:.0f} s: killing it.")
        self.kill_group()

    def kill_group(self) -> None:
        """SIGKILL what is left of the process and of those that it started."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._transport.get_pid(), signal.SIGKILL)

    def _on_line(self, line: bytes) -> None:
        text = line.decode(errors="replace").rstrip("\r")
        if text.strip():
            self._tail.append(text)
        self._output.write(self.line.name, text)

    def _say(self, message: str) -> None:
        for line in message.splitlines():
            self._output.write("headrace", line)

    async def _wait_before_restart(self) -> None:
        delay = self.restarts.note_exit()
        self._say(self.restarts.message(self._transport.get_returncode() or 0, delay, self._tail))
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), delay or 0.001)


class PipeReader(asyncio.SubprocessProtocol):
    """Reports what a process does: its lines, its exit, and the end of its pipe.

    Not asyncio's `Process`: its `wait` returns only when the pipe is closed, which a grandchild may keep open for ever.
    """

    def __init__(self, on_line: Callable[[bytes], None]) -> None:
        self.exited, self.closed = asyncio.Event(), asyncio.Event()
        self._on_line = on_line
        self._partial_line = b""

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        *whole, self._partial_line = (self._partial_line + data).split(b"\n")
        for line in whole:
            self._on_line(line)

    def process_exited(self) -> None:
        self.exited.set()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._partial_line:
            self._on_line(self._partial_line)
        self.closed.set()
