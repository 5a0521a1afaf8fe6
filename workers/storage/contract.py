"""What every storage of documents' bytes does. One suite is run against each: `tests/workers/storage/test_storage.py`.

Names are ours, `{tenant_id}/{uuid}`, so nothing that a stranger called a file ever is a path. A name that is none raises
ValueError: only a mistake in our own code makes one.
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
GONE = "The file is no longer stored. Upload it again."


class Storage(Protocol):
    """Keeps whole files under names of ours. Every method raises Unavailable when the storage does not answer or is full."""

    @property
    def incoming(self) -> Staging:
        """Where files are written that are to be put."""
        ...

    async def put(self, name: str, path: Path) -> None:
        """Store the file at `path`, one from a room of `incoming`, and take it away from there. When this returns, a power cut
        loses nothing of it; before, nobody sees any of it."""
        ...

    def local(self, name: str) -> AbstractAsyncContextManager[Path]:
        """The bytes as a file of this machine, for reading only and for as long as the context is open. Raises NotFound."""
        ...

    def read(self, name: str) -> AsyncIterator[bytes]:
        """The bytes in pieces. Raises NotFound before the first."""
        ...

    async def remove(self, names: Iterable[str]) -> None:
        """Remove files; one that is not there is passed over."""
        ...

    def list_names(self, prefix: str = "") -> AsyncIterator[str]:
        """The names that are there, in no order; `prefix` is empty or a tenant's id with its stroke."""
        ...


def new_name(tenant_id: UUID) -> str:
    """Return a name for a file that is to be stored."""
    return f"{tenant_id}/{new_id()}"


def checked(name: str) -> str:
    """Return the name. Raises ValueError for what is none of ours."""
    if not NAME.fullmatch(name):
        raise ValueError("this is no name of a stored file; new_name() makes them")
    return name


def checked_prefix(prefix: str) -> str:
    """Return the prefix. Raises ValueError for one that could name something else than a tenant's files."""
    if not PREFIX.fullmatch(prefix):
        raise ValueError("a prefix of stored files is empty, or a tenant's id with its stroke")
    return prefix
