"""A storage in a bucket of S3 or a compatible service (MinIO, Ceph, Garage, R2 …), with the library `obstore`.

A file larger than PART_BYTES is uploaded in parts and becomes visible when all are there. Parts left by a killed process must
be expired by the bucket: set its lifecycle rule `AbortIncompleteMultipartUpload`.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import structlog

from schema.errors import NotFound, Unavailable
from workers.storage.contract import FILE_NOT_FOUND, NAME, check_name, check_prefix
from workers.storage.settings import S3Settings
from workers.storage.staging import STORAGE_UNAVAILABLE, Staging

if TYPE_CHECKING:
    from obstore.store import S3Store

log = structlog.get_logger()

PART_BYTES = 8 * 1024 * 1024
UPLOAD_CONCURRENCY = 2
CHUNK_BYTES = 256 * 1024
READ_TIMEOUT_S, CONNECT_TIMEOUT_S, MAX_RETRIES = 30, 3, 3


class S3Storage:
    """Stores files in an existing bucket. `staging` is a folder on this machine."""

    def __init__(self, settings: S3Settings, staging: Staging) -> None:
        self._store, self._staging = _open(settings), staging

    @property
    def staging(self) -> Staging:
        return self._staging

    async def put(self, name: str, path: Path) -> None:
        import obstore

        with _s3_errors():
            await obstore.put_async(
                self._store, check_name(name), path, chunk_size=PART_BYTES, max_concurrency=UPLOAD_CONCURRENCY
            )
        await asyncio.to_thread(path.unlink, missing_ok=True)

    @asynccontextmanager
    async def local_path(self, name: str) -> AsyncIterator[Path]:
        async with self._staging.temporary_folder() as folder:
            path = folder / "file"
            with _s3_errors(), path.open("wb") as file:
                async for chunk in self.read(name):
                    await asyncio.to_thread(file.write, chunk)
            yield path

    async def read(self, name: str) -> AsyncIterator[bytes]:
        import obstore

        with _s3_errors():
            response = await obstore.get_async(self._store, check_name(name))
            async for chunk in response.stream(min_chunk_size=CHUNK_BYTES):
                yield bytes(chunk)

    async def delete(self, names: Iterable[str]) -> None:
        import obstore

        paths = [check_name(name) for name in names]
        if paths:
            with _s3_errors(ignore_missing=True):
                await obstore.delete_async(self._store, paths)

    async def list_names(self, prefix: str = "") -> AsyncIterator[str]:
        import obstore

        with _s3_errors():
            async for page in obstore.list(self._store, check_prefix(prefix).rstrip("/") or None):
                for entry in page:
                    if NAME.fullmatch(entry["path"]):
                        yield entry["path"]


def _open(settings: S3Settings) -> "S3Store":
    from obstore.store import S3Store

    options: dict[str, Any] = {
        "region": settings.region,
        "endpoint": settings.endpoint,
        "access_key_id": settings.access_key,
        "secret_access_key": settings.secret_key,
        "session_token": settings.session_token,
    }
    return S3Store(
        settings.bucket,
        prefix=settings.prefix or None,
        client_options={
            "allow_http": (settings.endpoint or "").startswith("http://"),
            "timeout": timedelta(seconds=10 * READ_TIMEOUT_S),
            "read_timeout": timedelta(seconds=READ_TIMEOUT_S),
            "connect_timeout": timedelta(seconds=CONNECT_TIMEOUT_S),
        },
        retry_config={"max_retries": MAX_RETRIES, "retry_timeout": timedelta(seconds=READ_TIMEOUT_S)},
        **{name: value for name, value in options.items() if value is not None},
    )


@contextmanager
def _s3_errors(*, ignore_missing: bool = False) -> Iterator[None]:
    """Convert obstore's errors to ours. Their messages may quote URLs and responses, so only the type is logged."""
    from obstore.exceptions import BaseError, NotFoundError

    try:
        yield
    except (NotFoundError, FileNotFoundError):
        if not ignore_missing:
            raise NotFound(FILE_NOT_FOUND) from None
    except (BaseError, OSError) as error:
        log.warning("storage_failed", error=type(error).__name__)
        raise Unavailable(STORAGE_UNAVAILABLE) from None
