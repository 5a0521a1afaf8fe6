"""A storage that has become read-only ends no process: it opens, reads, and says so where something is to be written."""

import errno
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from schema.errors import Unavailable
from schema.ids import new_id
from workers.storage.contract import Storage, new_name
from workers.storage.disk import STAGING_FOLDER
from workers.storage.factory import open_storage
from workers.storage.settings import StorageSettings


def refuse(*_: object, **__: object) -> None:
    raise OSError(errno.EROFS, "Read-only file system")


@pytest.fixture
async def storage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[Storage, str]]:
    """One with a file, and with what a killed process left, opened on a file system that takes no writes."""
    settings, name = StorageSettings(folder=tmp_path), new_name(new_id())
    async with open_storage(settings) as writable, writable.staging.temporary_folder() as folder:
        (folder / "file").write_bytes(b"kept")
        await writable.put(name, folder / "file")
    left = tmp_path / STAGING_FOLDER / "0123456789abcdef"
    left.mkdir()
    left.with_name(f"{left.name}.lock").touch()
    opens: Any = os.open

    def open_to_read(path: Any, flags: int, *args: Any, **how: Any) -> int:
        if flags & (os.O_RDWR | os.O_WRONLY | os.O_CREAT):
            refuse()
        return opens(path, flags, *args, **how)

    monkeypatch.setattr(os, "open", open_to_read)
    for change in ("mkdir", "chmod", "unlink", "rename", "rmdir"):
        monkeypatch.setattr(Path, change, refuse)
        monkeypatch.setattr(os, change, refuse)
    async with open_storage(settings) as opened:
        yield opened, name


async def test_a_process_starts_and_reads_on_a_storage_that_is_read_only(storage: tuple[Storage, str]) -> None:
    opened, name = storage
    assert b"kept" == b"".join([chunk async for chunk in opened.read(name)])


async def test_what_would_be_written_is_unavailable(storage: tuple[Storage, str]) -> None:
    opened, _ = storage
    with pytest.raises(Unavailable):
        async with opened.staging.temporary_folder():
            pass
