"""Files that are not whole yet: each process has a folder of its own, each request a room in it that goes with the request.

A process holds a lock on its folder for as long as it lives, however it dies. Who comes next removes the folders that nobody
holds, so a kill leaves nothing behind for ever. The folder lies in the storage's own, so a file is put by being renamed.
"""

import asyncio
import fcntl
import os
import secrets
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from schema.errors import Unavailable

FULL = "The document storage cannot be written to. Nothing was accepted; try again shortly."


class Staging:
    """The files under way of one process, below `folder`. Nothing is made on disk before it is needed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._mine = folder / secrets.token_hex(8)
        self._lock: int | None = None
        self._opening = asyncio.Lock()

    @asynccontextmanager
    async def room(self) -> AsyncIterator[Path]:
        """An empty folder that is removed with all that is in it at the end. Raises Unavailable."""
        try:
            async with self._opening:
                await asyncio.to_thread(self._open)
            room = self._mine / secrets.token_hex(8)
            await asyncio.to_thread(room.mkdir)
        except OSError as error:
            raise Unavailable(FULL) from error
        try:
            yield room
        finally:
            # Also for a request that is cancelled: a thread goes on when its waiter has left.
            await asyncio.shield(asyncio.to_thread(shutil.rmtree, room, ignore_errors=True))

    async def close(self) -> None:
        """Remove what is left, and let go of the lock."""
        if self._lock is not None:
            await asyncio.to_thread(_remove, self._mine)
            os.close(self._lock)
            self._lock = None

    async def sweep(self) -> None:
        """Remove what processes left that live no more."""
        await asyncio.to_thread(self._sweep)

    def _open(self) -> None:
        if self._lock is not None:
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        self._lock = _hold(_lock_of(self._mine))
        self._mine.mkdir()
        self._sweep()

    def _sweep(self) -> None:
        for lock in self._folder.glob("*.lock"):
            if lock != _lock_of(self._mine) and (held := _try(lock)) is not None:
                _remove(lock.with_suffix(""))
                os.close(held)


def _lock_of(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.lock")


def _hold(lock: Path) -> int:
    """Return a lock that is ours. Between its making and its locking, somebody who sweeps may have removed it."""
    while True:
        held = os.open(lock, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        fcntl.flock(held, fcntl.LOCK_EX)
        with suppress(FileNotFoundError):
            if os.stat(lock).st_ino == os.fstat(held).st_ino:
                return held
        os.close(held)


def _try(lock: Path) -> int | None:
    """Return the lock of a process that is gone; None while it lives, or when another sweeps it away."""
    try:
        held = os.open(lock, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(held)
        return None
    return held


def _remove(folder: Path) -> None:
    """Remove a process's folder and, last, its lock: who finds the lock finds all that it stands for."""
    shutil.rmtree(folder, ignore_errors=True)
    if not folder.exists():
        _lock_of(folder).unlink(missing_ok=True)
