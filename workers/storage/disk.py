"""A storage that is a folder: `{folder}/{tenant_id}/{uuid}`. Also for several machines, where it is one that they share."""

import asyncio
import os
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from schema.errors import NotFound, Unavailable
from workers.storage.contract import GONE, NAME, checked, checked_prefix
from workers.storage.staging import FULL, Staging

PIECE = 256 * 1024
INCOMING = "incoming"


class DiskStorage:
    """Files in a folder that is made when the first one comes."""

    def __init__(self, folder: Path, incoming: Staging) -> None:
        self._folder, self._incoming = folder, incoming

    @property
    def incoming(self) -> Staging:
        return self._incoming

    async def put(self, name: str, path: Path) -> None:
        target = self._path(name)
        with _disk_errors():
            await asyncio.to_thread(_place, path, target)

    @asynccontextmanager
    async def local(self, name: str) -> AsyncIterator[Path]:
        path = self._path(name)
        if not await asyncio.to_thread(path.is_file):
            raise NotFound(GONE)
        yield path

    async def read(self, name: str) -> AsyncIterator[bytes]:
        with _disk_errors():
            file = await asyncio.to_thread(self._path(name).open, "rb")
        with file:
            while piece := await asyncio.to_thread(file.read, PIECE):
                yield piece

    async def remove(self, names: Iterable[str]) -> None:
        paths = [self._path(name) for name in names]
        with _disk_errors():
            await asyncio.to_thread(_remove, paths)

    async def list_names(self, prefix: str = "") -> AsyncIterator[str]:
        for name in await asyncio.to_thread(self._names, checked_prefix(prefix)):
            yield name

    def _path(self, name: str) -> Path:
        return self._folder / checked(name)

    def _names(self, prefix: str) -> list[str]:
        found = self._folder.glob(f"{prefix}*" if prefix else "*/*")
        names = (path.relative_to(self._folder).as_posix() for path in found)
        return [name for name in names if NAME.fullmatch(name)]


def _place(path: Path, target: Path) -> None:
    """Make the bytes durable, then the name. The tenant's folder is new now and then, and then its name must last too."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
    if not target.parent.is_dir():
        target.parent.mkdir(parents=True, exist_ok=True)
        _sync(target.parent.parent)
    path.rename(target)
    _sync(target.parent)


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _remove(paths: list[Path]) -> None:
    for path in paths:
        path.unlink(missing_ok=True)


@contextmanager
def _disk_errors() -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise NotFound(GONE) from None
    except OSError as error:
        raise Unavailable(FULL) from error
