"""What is new among received files, and storing their bytes. The rows follow in one transaction with whatever ingests them
(`schema/queries/documents/uploads.py`)."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

from psycopg.types.json import Jsonb

from schema.ids import new_id
from schema.postgres.batch import Statement
from schema.postgres.connections import Db
from schema.queries.documents.uploads import (
    NewFile,
    UnchangedDocument,
    list_owned_by_others,
    list_unchanged,
    schedule_removals,
)
from schema.queries.tenants.audit import ADD as ADD_AUDIT
from workers.storage.contract import Storage, new_name
from workers.uploads.classify import CheckedFile

MAX_CONCURRENT_PUTS = 8


@dataclass(frozen=True)
class SortedUploads:
    """The positions of files: those that are `new`, those that are the `same` as a document has, and those that would change
    somebody else's document. Bytes of the new ones may be stored: their removal is scheduled, should no row follow."""

    new: list[int]
    same: dict[int, UnchangedDocument]
    not_yours: list[int]


def new_file(tenant_id: UUID, file: CheckedFile, metadata: dict[str, Any]) -> NewFile:
    """Return a file as it will be stored, under a new name."""
    return NewFile(
        document_id=new_id(),
        name=file.name,
        stored_as=new_name(tenant_id),
        size_bytes=file.size,
        sha256=file.sha256,
        media_type=file.media_type,
        metadata=metadata,
        source_url=file.source_url,
        source_etag=file.source_etag,
    )


async def sort_files(
    db: Db,
    tenant_id: UUID,
    collection_id: UUID,
    user_id: UUID | None,
    files: Sequence[NewFile],
    *,
    by: str,
    manages: bool,
) -> SortedUploads:
    """Return which files are new. `manages`: whether they may change documents that others than `by` have created."""
    same = await list_unchanged(db, tenant_id, collection_id, user_id, files)
    of_others = set[int]()
    if not manages:
        of_others = await list_owned_by_others(db, tenant_id, collection_id, user_id, files, by=by)
    new = [place for place in range(len(files)) if place not in same and place not in of_others]
    if new:
        await schedule_removals(db, tenant_id, [files[place].stored_as for place in new])
    return SortedUploads(new, same, sorted(of_others - same.keys()))


def audit_upload(
    tenant_id: UUID,
    job_id: UUID,
    files: Sequence[NewFile],
    *,
    actor: str,
    private: bool,
    address: str | None = None,
    request_id: str | None = None,
) -> Statement:
    """Return the audit entry of an upload, for the transaction of its rows. It has counts, but no file names."""
    detail = {"files": len(files), "bytes": sum(file.size_bytes for file in files), "private": private}
    values: dict[str, Any] = {"tenant_id": tenant_id, "id": new_id(), "actor": actor, "result": "ok"}
    values |= {"action": "document.uploaded", "target": f"job:{job_id}", "address": address}
    return ADD_AUDIT, {**values, "request_id": request_id, "detail": Jsonb(detail)}


async def put_all(storage: Storage, names: Sequence[str], paths: Sequence[Path]) -> None:
    """Store every file. If one fails, the error is raised once all others have ended, so nothing is still being written."""
    semaphore = asyncio.Semaphore(MAX_CONCURRENT_PUTS)

    async def put(name: str, path: Path) -> None:
        async with semaphore:
            await storage.put(name, path)

    puts = (put(name, path) for name, path in zip(names, paths, strict=True))
    for outcome in await asyncio.gather(*puts, return_exceptions=True):
        if isinstance(outcome, BaseException):
            raise outcome
