"""Writes one file to disk, hashing and counting it chunk by chunk; it is never in memory as a whole."""

import asyncio
import hashlib
from pathlib import Path
from typing import BinaryIO

from schema.errors import Unavailable
from workers.storage.private_files import private_opener
from workers.storage.staging import STORAGE_UNAVAILABLE

CHUNK_BYTES = 256 * 1024
"""Smaller chunks are buffered up to this size: a thread call for each would cost more than the writing."""


class FileSink:
    """Takes the bytes of a file. Beyond `max_bytes` the whole file is discarded, and `overflowed` is true."""

    def __init__(self, path: Path, max_bytes: int) -> None:
        self.path, self.size, self.overflowed = path, 0, False
        self._max_bytes = max_bytes
        self._digest = hashlib.sha256()
        self._buffer: list[bytes] = []
        self._buffered_bytes = 0
        self._file: BinaryIO | None = None

    @property
    def sha256(self) -> bytes:
        """Hash of what was written; of the whole file after `close`."""
        return self._digest.digest()

    async def write(self, data: bytes) -> None:
        """Add bytes. Raises Unavailable if the disk is full."""
        if self.overflowed:
            return
        self.size += len(data)
        if self.size > self._max_bytes:
            self.overflowed = True
            await asyncio.to_thread(self._discard)
            return
        self._buffer.append(data)
        self._buffered_bytes += len(data)
        if self._buffered_bytes >= CHUNK_BYTES:
            await self._flush()

    async def close(self) -> None:
        """Write the buffer and close the file. Raises Unavailable."""
        if not self.overflowed:
            await self._flush()
            await asyncio.to_thread(self._close)

    async def _flush(self) -> None:
        chunks, self._buffer, self._buffered_bytes = self._buffer, [], 0
        try:
            await asyncio.to_thread(self._write, chunks)
        except OSError as error:
            raise Unavailable(STORAGE_UNAVAILABLE) from error

    def _write(self, chunks: list[bytes]) -> None:
        if self._file is None:
            self._file = open(self.path, "xb", buffering=0, opener=private_opener)  # noqa: SIM115 (closed by `_close`)
        for chunk in chunks:
            self._digest.update(chunk)
            remaining = memoryview(chunk)
            while remaining:
                remaining = remaining[self._file.write(remaining) :]

    def _close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def _discard(self) -> None:
        self._close()
        self._buffer = []
        self.path.unlink(missing_ok=True)

    def close_unfinished(self) -> None:
        """Close the file without finishing it; it is deleted with its folder."""
        self._close()
