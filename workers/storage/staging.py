"""Temporary folders for files that are still being received. Each process has a folder, and each request a subfolder that is
deleted when the request ends.

A process locks its folder for as long as it lives. The next process deletes folders that nobody has locked, so a killed
process leaves nothing behind. Staging lies inside the storage's folder, so storing a file on disk is a rename.
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
from workers.storage.private_files import FILE_MODE, FOLDER_MODE, make_private_folder

STORAGE_UNAVAILABLE = "The document storage is unavailable. Nothing was changed; try again shortly."


class Staging:
    """The staging folder of one process, below `folder`. Nothing is created on disk before it is needed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._own_folder = folder / secrets.token_hex(8)
        self._lock: int | None = None
        self._open_lock = asyncio.Lock()

    @asynccontextmanager
    async def temporary_folder(self) -> AsyncIterator[Path]:
        """An empty folder that is deleted with its content on exit. Raises Unavailable."""
        try:
            async with self._open_lock:
                await asyncio.to_thread(self._open)
            request_folder = self._own_folder / secrets.token_hex(8)
            await asyncio.to_thread(request_folder.mkdir, FOLDER_MODE)
        except OSError as error:
            raise Unavailable(STORAGE_UNAVAILABLE) from error
        try:
            yield request_folder
        finally:
            # Shielded, so that it also runs when the request is cancelled.
            await asyncio.shield(asyncio.to_thread(shutil.rmtree, request_folder, ignore_errors=True))

    async def close(self) -> None:
        """Delete the folder and release its lock."""
        if self._lock is not None:
            await asyncio.to_thread(_delete, self._own_folder)
            os.close(self._lock)
            self._lock = None

    async def sweep(self) -> None:
        """Delete the folders of dead processes."""
        await asyncio.to_thread(self._sweep)

    def _open(self) -> None:
        if self._lock is not None:
            return
        make_private_folder(self._folder)
        self._lock = _acquire(_lock_path(self._own_folder))
        self._own_folder.mkdir(FOLDER_MODE)
        self._sweep()

    def _sweep(self) -> None:
        for lock in self._folder.glob("*.lock"):
            if lock != _lock_path(self._own_folder) and (descriptor := _try_acquire(lock)) is not None:
                _delete(lock.with_suffix(""))
                os.close(descriptor)


def _lock_path(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.lock")


def _acquire(lock: Path) -> int:
    """Create and lock the file; return its descriptor. Repeats if a sweep deleted the file between the two steps."""
    while True:
        descriptor = os.open(lock, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, FILE_MODE)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        with suppress(FileNotFoundError):
            if os.stat(lock).st_ino == os.fstat(descriptor).st_ino:
                return descriptor
        os.close(descriptor)


def _try_acquire(lock: Path) -> int | None:
    """Lock the file of a dead process and return its descriptor; None if the process lives or another sweep has it."""
    try:
        descriptor = os.open(lock, os.O_RDWR | os.O_CLOEXEC)
    except OSError:  # gone meanwhile, or the storage is read-only
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return None
    return descriptor


def _delete(folder: Path) -> None:
    """Delete a process's folder and then its lock, so that no folder is left without one."""
    shutil.rmtree(folder, ignore_errors=True)
    if not folder.exists():
        with suppress(OSError):  # the storage has become read-only; a later sweep deletes it
            _lock_path(folder).unlink(missing_ok=True)
