"""One file on its way to disk: hashed and counted while it is written, a piece at a time, never whole in memory."""

import asyncio
import hashlib
from pathlib import Path
from typing import BinaryIO

from schema.errors import Unavailable
from workers.storage.staging import STORAGE_UNAVAILABLE

PIECE = 256 * 1024
"""Smaller pieces are gathered up to this: going to a thread for each would cost more than the writing."""


class FileSink:
    """Takes the bytes of a file. What goes beyond `max_bytes` is thrown away, with all that came before: `overflowed`."""

    def __init__(self, path: Path, max_bytes: int) -> None:
        self.path, self.size, self.overflowed = path, 0, False
        self._max_bytes = max_bytes
        self._digest = hashlib.sha256()
        self._waiting: list[bytes] = []
        self._gathered = 0
        self._file: BinaryIO | None = None

    @property
    def sha256(self) -> bytes:
        """The hash of what was written; of all of it after `close`."""
        return self._digest.digest()

    async def write(self, data: bytes) -> None:
        """Raises Unavailable when the disk is full."""
        if self.overflowed:
            return
        self.size += len(data)
        if self.size > self._max_bytes:
            self.overflowed = True
            await asyncio.to_thread(self._throw_away)
            return
        self._waiting.append(data)
        self._gathered += len(data)
        if self._gathered >= PIECE:
            await self._flush()

    async def close(self) -> None:
        """Write what is left. Raises Unavailable."""
        if not self.overflowed:
            await self._flush()
            await asyncio.to_thread(self._close)

    async def _flush(self) -> None:
        pieces, self._waiting, self._gathered = self._waiting, [], 0
        try:
            await asyncio.to_thread(self._write, pieces)
        except OSError as error:
            raise Unavailable(STORAGE_UNAVAILABLE) from error

    def _write(self, pieces: list[bytes]) -> None:
        if self._file is None:
            self._file = self.path.open("xb", buffering=0)
        for piece in pieces:
            self._digest.update(piece)
            left = memoryview(piece)
            while left:
                left = left[self._file.write(left) :]

    def _close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def _throw_away(self) -> None:
        self._close()
        self._waiting = []
        self.path.unlink(missing_ok=True)

    def abandon(self) -> None:
        """Close the file without finishing it; it is deleted with its folder."""
        self._close()
