"""Runs a child process for one call; it and everything it started are gone when the call ends.

It inherits nothing: no environment, no open files, and it has a session of its own. Its output is limited as it arrives. Limits
inside the child are not set here (`sandbox.py`).
"""

import asyncio
import os
import signal
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class SubprocessResult:
    """How a child ended. `status` is its exit status, or the negated signal number that killed it."""

    status: int
    stdout: bytes
    stderr: bytes
    timed_out: bool = False
    too_large: bool = False


async def run_subprocess(argv: Sequence[str], stdin: bytes, *, timeout_s: float, max_bytes: int) -> SubprocessResult:
    """Run the program with `stdin` and return how it ended, with at most `max_bytes` of each output stream. Its working folder
    is empty and is deleted afterwards."""
    with tempfile.TemporaryDirectory(prefix="headrace-tool-", ignore_cleanup_errors=True) as scratch:
        os.chmod(scratch, 0o700)
        child = await asyncio.create_subprocess_exec(
            *argv,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            cwd=Path(scratch),
            env={"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "HOME": scratch, "TMPDIR": scratch},
            start_new_session=True,
        )
        try:
            return await _communicate(child, stdin, timeout_s, max_bytes)
        finally:
            await asyncio.shield(_kill_session(child))


class _OutputTooLarge(Exception):
    """The child wrote more than allowed."""


async def _kill_session(child: asyncio.subprocess.Process) -> None:
    """Kill the child's session. Drain the pipes: asyncio considers the process finished only once they are empty."""
    assert child.stdout is not None
    assert child.stderr is not None
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, signal.SIGKILL)
    for stream in (child.stdout, child.stderr):
        while await stream.read(65_536):
            pass
    await child.wait()


async def _communicate(
    child: asyncio.subprocess.Process, stdin: bytes, timeout_s: float, max_bytes: int
) -> SubprocessResult:
    assert child.stdout is not None
    assert child.stderr is not None
    out, err = bytearray(), bytearray()
    try:
        async with asyncio.timeout(timeout_s), asyncio.TaskGroup() as group:
            group.create_task(_read(child.stdout, out, max_bytes))
            group.create_task(_read(child.stderr, err, max_bytes))
            group.create_task(_write(child, stdin))
            status = await child.wait()
        return SubprocessResult(status, bytes(out), bytes(err))
    except TimeoutError:
        return SubprocessResult(-signal.SIGKILL, bytes(out), bytes(err), timed_out=True)
    except ExceptionGroup as failed:
        if failed.split(_OutputTooLarge)[1] is not None:
            raise
        return SubprocessResult(-signal.SIGKILL, bytes(out), bytes(err), too_large=True)


async def _read(stream: asyncio.StreamReader, buffer: bytearray, max_bytes: int) -> None:
    """Read to the end. Raises _OutputTooLarge beyond `max_bytes`."""
    while data := await stream.read(65_536):
        buffer += data[: max_bytes - len(buffer)]
        if len(buffer) >= max_bytes:
            raise _OutputTooLarge


async def _write(child: asyncio.subprocess.Process, data: bytes) -> None:
    assert child.stdin is not None
    with suppress(BrokenPipeError, ConnectionResetError):
        child.stdin.write(data)
        await child.stdin.drain()
        child.stdin.close()
