"""Opens the storage that the settings mean."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from workers.storage.contract import Storage
from workers.storage.disk import INCOMING, DiskStorage
from workers.storage.settings import StorageSettings
from workers.storage.staging import Staging


@asynccontextmanager
async def open_storage(settings: StorageSettings) -> AsyncIterator[Storage]:
    """Open it, clearing away what dead processes left under way. Nothing is made, and nobody asked, before a file comes."""
    incoming = Staging(settings.folder.absolute() / INCOMING)
    await incoming.sweep()
    try:
        if settings.s3 is None:
            yield DiskStorage(settings.folder.absolute(), incoming)
        else:
            from workers.storage.s3 import S3Storage

            yield S3Storage(settings.s3, incoming)
    finally:
        await incoming.close()
