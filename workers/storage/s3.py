"""A storage that is a bucket of S3, or of what speaks like it (MinIO, Ceph, Garage, R2 …), by the library `obstore`.

A file larger than PART goes up in parts; it is there only when all are. What a killed process leaves of parts is the bucket's
to clear: set its rule for incomplete multipart uploads (`AbortIncompleteMultipartUpload`).
"""

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import structlog

from schema.errors import NotFound, Unavailable
from workers.storage.contract import GONE, NAME, checked, checked_prefix
from workers.storage.settings import S3Settings
from workers.storage.staging import FULL, Staging

if TYPE_CHECKING:
    from obstore.store import S3Store

log = structlog.get_logger()

PART = 8 * 1024 * 1024
PARTS_AT_ONCE = 2
PIECE = 256 * 1024
CALL_S, CONNECT_S, TRIES = 30, 3, 3


class S3Storage:
    """Files in a bucket that is there already. `incoming` is a folder of this machine."""

    def __init__(self, settings: S3Settings, incoming: Staging) -> None:
        self._store, self._incoming = _open(settings), incoming

    @property
    def incoming(self) -> Staging:
        return self._incoming

    async def put(self, name: str, path: Path) -> None:
        import obstore

        with _s3_errors():
            await obstore.put_async(self._store, checked(name), path, chunk_size=PART, max_concurrency=PARTS_AT_ONCE)
        await asyncio.to_thread(path.unlink, missing_ok=True)

    @asynccontextmanager
    async def local(self, name: str) -> AsyncIterator[Path]:
        async with self._incoming.room() as room:
            path = room / "file"
            with _s3_errors(), path.open("wb") as file:
                async for piece in self.read(name):
                    await asyncio.to_thread(file.write, piece)
            yield path

    async def read(self, name: str) -> AsyncIterator[bytes]:
        import obstore

        with _s3_errors():
            found = await obstore.get_async(self._store, checked(name))
            async for piece in found.stream(min_chunk_size=PIECE):
                yield bytes(piece)

    async def remove(self, names: Iterable[str]) -> None:
        import obstore

        paths = [checked(name) for name in names]
        if paths:
            with _s3_errors(missing_is_fine=True):
                await obstore.delete_async(self._store, paths)

    async def list_names(self, prefix: str = "") -> AsyncIterator[str]:
        import obstore

        with _s3_errors():
            async for found in obstore.list(self._store, checked_prefix(prefix).rstrip("/") or None):
                for each in found:
                    if NAME.fullmatch(each["path"]):
                        yield each["path"]


def _open(settings: S3Settings) -> "S3Store":
    from obstore.store import S3Store

    told: dict[str, Any] = {
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
            "timeout": timedelta(seconds=10 * CALL_S),
            "read_timeout": timedelta(seconds=CALL_S),
            "connect_timeout": timedelta(seconds=CONNECT_S),
        },
        retry_config={"max_retries": TRIES, "retry_timeout": timedelta(seconds=CALL_S)},
        **{name: value for name, value in told.items() if value is not None},
    )


@contextmanager
def _s3_errors(*, missing_is_fine: bool = False) -> Iterator[None]:
    """Turns what obstore raises into our errors. Its texts may quote URLs and answers, so only the kind is logged."""
    from obstore.exceptions import BaseError, NotFoundError

    try:
        yield
    except (NotFoundError, FileNotFoundError):
        if not missing_is_fine:
            raise NotFound(GONE) from None
    except (BaseError, OSError) as error:
        log.warning("storage_failed", error=type(error).__name__)
        raise Unavailable(FULL) from None
