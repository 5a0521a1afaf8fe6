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
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from api.local.errors import LocalError
from api.local.processes import launch_command

DELAYS_S = (0.0, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
"""Before the first, second … restart in a row; the last one goes on for ever."""

STEADY_S = 10.0
"""A process that lived this long was well: its next death counts as the first."""

CRASH_LOOP = 3
"""From so many deaths in a row on, the message quotes what the process said last."""


@dataclass(frozen=True)
class Line:
    """One line of a Procfile."""

    name: str
    command: tuple[str, ...]


class Output(Protocol):
    """Where the processes' lines go. `write` is called with whole lines without their newline."""

    def write(self, name: str, line: str) -> None: ...


def read_procfile(file: Path) -> list[Line]:
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
        lines.append(Line(name.strip(), (program, *words[1:])))
    return lines


class Supervisor:
    """The processes of one stack. Start and stop it in the main thread's event loop.

    Life: `start` → each process runs, dies, is started again … → `stop` (SIGTERM, grace, SIGKILL). When the supervisor
    itself is killed, Linux sends its children SIGTERM.
    """

    def __init__(
        self,
        lines: list[Line],
        *,
        env: Mapping[str, str],
        cwd: Path,
        output: Output,
        on_change: Callable[[], None] = lambda: None,
    ) -> None:
        self._children = [Child(line, env=env, cwd=cwd, output=output, on_change=on_change) for line in lines]
        self._keepers: list[asyncio.Task[None]] = []

    @property
    def pids(self) -> dict[str, int]:
        """The process id of each process that runs now, by its name in the Procfile."""
        return {child.line.name: pid for child in self._children if (pid := child.pid) is not None}

    @property
    def troubled(self) -> dict[str, str]:
        """Processes that die again and again, by name, with what they said last."""
        return {child.line.name: child.last_words for child in self._children if child.deaths >= CRASH_LOOP}

    async def start(self) -> None:
        """Start all at once; returns when each has a process (not when it is ready)."""
        await asyncio.gather(*(child.spawn() for child in self._children))
        self._keepers = [asyncio.create_task(child.keep()) for child in self._children]

    async def stop(self, *, grace_s: float = 30.0, hurry: asyncio.Event | None = None) -> None:
        """End all: SIGTERM, then SIGKILL for those still there after the grace or when `hurry` is set."""
        for child in self._children:
            child.ask_to_end()
        impatience = asyncio.create_task((hurry or asyncio.Event()).wait())
        ended = asyncio.gather(*self._keepers)
        await asyncio.wait([ended, impatience], timeout=grace_s, return_when=asyncio.FIRST_COMPLETED)
        impatience.cancel()
        for child in self._children:
            child.end_group()
        await ended


class Child:
    """One line of the Procfile, across all the processes that it has been."""

    def __init__(
        self, line: Line, *, env: Mapping[str, str], cwd: Path, output: Output, on_change: Callable[[], None]
    ) -> None:
        self.line = line
        self.deaths = 0
        self._env, self._cwd, self._output, self._on_change = env, cwd, output, on_change
        self._transport: asyncio.SubprocessTransport
        self._ear: PipeReader
        self._started = 0.0
        self._stopping = asyncio.Event()
        self._tail: deque[str] = deque(maxlen=5)

    @property
    def pid(self) -> int | None:
        return self._transport.get_pid() if self._transport.get_returncode() is None else None

    @property
    def last_words(self) -> str:
        return "\n".join(self._tail)

    async def spawn(self) -> None:
        self._transport, self._ear = await asyncio.get_running_loop().subprocess_exec(
            lambda: PipeReader(self._hear),
            *launch_command(self.line.command, death_signal=signal.SIGTERM),
            stdin=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.STDOUT,
            env=self._env,
            cwd=self._cwd,
            start_new_session=True,  # Ctrl-C comes to the supervisor only, which ends all in order
        )
        self._started = time.monotonic()
        self._on_change()

    async def keep(self) -> None:
        """Start the process again whenever it ends, until `ask_to_end`."""
        while True:
            await self._ear.exited.wait()
            self.end_group()  # a prefork child that outlived its parent would keep ports, leases and the pipe
            await self._ear.closed.wait()
            self._transport.close()
            self._on_change()
            if not self._stopping.is_set():
                await self._wait_before_restart()
            if self._stopping.is_set():
                return
            await self.spawn()

    def ask_to_end(self) -> None:
        self._stopping.set()
        with contextlib.suppress(ProcessLookupError):
            self._transport.terminate()

    def end_group(self) -> None:
        """SIGKILL what is left of the process and of those that it started."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._transport.get_pid(), signal.SIGKILL)

    def _hear(self, line: bytes) -> None:
        text = line.decode(errors="replace").rstrip("\r")
        if text.strip():
            self._tail.append(text)
        self._output.write(self.line.name, text)

    async def _wait_before_restart(self) -> None:
        lived = time.monotonic() - self._started
        self.deaths = 1 if lived >= STEADY_S else self.deaths + 1
        delay = DELAYS_S[min(self.deaths, len(DELAYS_S)) - 1]
        for line in self._obituary(delay).splitlines():
            self._output.write("headrace", line)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), delay or 0.001)

    def _obituary(self, delay: float) -> str:
        name, how = self.line.name, describe_exit(self._transport.get_returncode() or 0)
        again = f"in {delay:g} s" if delay else "now"
        if self.deaths < CRASH_LOOP:
            return f"{name} {how}; restarting {again}."
        said = "".join(f"\n    {line}" for line in self._tail) or " none."
        return f"{name} {how}, {self.deaths} times in a row; restarting {again}. Last output:{said}"


class PipeReader(asyncio.SubprocessProtocol):
    """Hears a process: its lines, its exit, and the end of its pipe.

    Not asyncio's `Process`: its `wait` returns only when the pipe is closed, which a grandchild may keep open for ever.
    """

    def __init__(self, hear: Callable[[bytes], None]) -> None:
        self.exited, self.closed = asyncio.Event(), asyncio.Event()
        self._hear = hear
        self._rest = b""

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        *whole, self._rest = (self._rest + data).split(b"\n")
        for line in whole:
            self._hear(line)

    def process_exited(self) -> None:
        self.exited.set()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._rest:
            self._hear(self._rest)
        self.closed.set()


def describe_exit(code: int) -> str:
    if code >= 0:
        return f"exited with status {code}"
    return f"was killed by {signal.Signals(-code).name}"
