"""Opens the storage that the settings describe."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import structlog

from workers.storage.contract import Storage
from workers.storage.disk import STAGING_FOLDER, DiskStorage
from workers.storage.settings import StorageSettings
from workers.storage.staging import Staging

log = structlog.get_logger()


@asynccontextmanager
async def open_storage(settings: StorageSettings) -> AsyncIterator[Storage]:
    """Open the storage and delete what dead processes left in staging. Creates and contacts nothing before the first file."""
    staging = Staging(settings.folder.absolute() / STAGING_FOLDER)
    await staging.sweep()
    try:
        if settings.s3 is None:
            storage = DiskStorage(settings.folder.absolute(), staging)
            try:
                await storage.close_to_others()
            except OSError as error:  # read-only, for instance; reading still works
                log.warning("storage_not_closed_to_others", error=type(error).__name__)
            yield storage
        else:
            from workers.storage.s3 import S3Storage

            yield S3Storage(settings.s3, staging)
    finally:
        await staging.close()
