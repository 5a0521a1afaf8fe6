"""A storage in a folder: `{folder}/{tenant_id}/{uuid}`. Several machines can use it if they share the folder."""

import asyncio
import os
import re
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from schema.errors import NotFound, Unavailable
from workers.storage.contract import FILE_NOT_FOUND, ID, NAME, check_name, check_prefix
from workers.storage.private_files import FILE_MODE, close_to_others, make_private_folder
from workers.storage.staging import STORAGE_UNAVAILABLE, Staging

CHUNK_BYTES = 256 * 1024
STAGING_FOLDER = "incoming"


class DiskStorage:
    """Stores files in a folder, which is created with the first one."""

    def __init__(self, folder: Path, staging: Staging) -> None:
        self._folder, self._staging = folder, staging

    @property
    def staging(self) -> Staging:
        return self._staging

    async def put(self, name: str, path: Path) -> None:
        target = self._path(name)
        with _disk_errors():
            await asyncio.to_thread(_move_durably, path, target)

    @asynccontextmanager
    async def local_path(self, name: str) -> AsyncIterator[Path]:
        path = self._path(name)
        if not await asyncio.to_thread(path.is_file):
            raise NotFound(FILE_NOT_FOUND)
        yield path

    async def read(self, name: str) -> AsyncIterator[bytes]:
        with _disk_errors():
            file = await asyncio.to_thread(self._path(name).open, "rb")
        with file:
            while chunk := await asyncio.to_thread(file.read, CHUNK_BYTES):
                yield chunk

    async def delete(self, names: Iterable[str]) -> None:
        paths = [self._path(name) for name in names]
        with _disk_errors():
            await asyncio.to_thread(_delete, paths)

    async def list_names(self, prefix: str = "") -> AsyncIterator[str]:
        for name in await asyncio.to_thread(self._names, check_prefix(prefix)):
            yield name

    async def close_to_others(self) -> None:
        """Take from other users of the machine the right to read what older versions stored. The folder itself may be an
        operator's; its mode is left alone."""
        await asyncio.to_thread(_close_tenants_folders, self._folder)

    def _path(self, name: str) -> Path:
        return self._folder / check_name(name)

    def _names(self, prefix: str) -> list[str]:
        found = self._folder.glob(f"{prefix}*" if prefix else "*/*")
        names = (path.relative_to(self._folder).as_posix() for path in found)
        return [name for name in names if NAME.fullmatch(name)]


def _move_durably(path: Path, target: Path) -> None:
    """Sync the content, then the name. A tenant's new folder must be synced into its parent, too."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
    if not target.parent.is_dir():
        make_private_folder(target.parent)
        _fsync_folder(target.parent.parent)
    path.chmod(FILE_MODE)
    path.rename(target)
    _fsync_folder(target.parent)


def _close_tenants_folders(folder: Path) -> None:
    for each in folder.iterdir() if folder.is_dir() else ():
        if each.name == STAGING_FOLDER or re.fullmatch(ID, each.name):
            close_to_others(each)


def _fsync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _delete(paths: list[Path]) -> None:
    for path in paths:
        path.unlink(missing_ok=True)


@contextmanager
def _disk_errors() -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise NotFound(FILE_NOT_FOUND) from None
    except OSError as error:
        raise Unavailable(STORAGE_UNAVAILABLE) from error
