"""The interface of a document storage. One test suite runs against every implementation:
`tests/workers/storage/test_storage.py`.

Names are generated, `{tenant_id}/{uuid}`: a user's file name never becomes a path. An invalid name raises ValueError, as only
a bug can produce one.
"""

import re
from collections.abc import AsyncIterator, Iterable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Protocol
from uuid import UUID

from schema.ids import new_id
from workers.storage.staging import Staging

ID = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
NAME = re.compile(f"{ID}/{ID}")
PREFIX = re.compile(f"(?:{ID}/)?")
FILE_NOT_FOUND = "The file is no longer stored. Upload it again."


class Storage(Protocol):
    """Stores complete files under generated names. Every method raises Unavailable if it fails or is full."""

    @property
    def staging(self) -> Staging:
        """Temporary folders for files that will be stored."""
        ...

    async def put(self, name: str, path: Path) -> None:
        """Move the file at `path`, in a folder of `staging`, into the storage. It becomes visible all at once, and is
        durable when this returns."""
        ...

    def local_path(self, name: str) -> AbstractAsyncContextManager[Path]:
        """The file on this machine, read-only and only while the context is open. Raises NotFound."""
        ...

    def read(self, name: str) -> AsyncIterator[bytes]:
        """Yield the file in chunks. Raises NotFound before the first one."""
        ...

    async def delete(self, names: Iterable[str]) -> None:
        """Delete files. Missing ones are ignored."""
        ...

    def list_names(self, prefix: str = "") -> AsyncIterator[str]:
        """Yield the names of stored files, in any order. `prefix` is empty or `{tenant_id}/`."""
        ...


def new_name(tenant_id: UUID) -> str:
    """Return a name for a new file."""
    return f"{tenant_id}/{new_id()}"


def check_name(name: str) -> str:
    """Return the name. Raises ValueError if it is not one of `new_name`."""
    if not NAME.fullmatch(name):
        raise ValueError("not the name of a stored file; use new_name()")
    return name


def check_prefix(prefix: str) -> str:
    """Return the prefix. Raises ValueError if it is neither empty nor a tenant's."""
    if not PREFIX.fullmatch(prefix):
        raise ValueError("a prefix must be empty or {tenant_id}/")
    return prefix
