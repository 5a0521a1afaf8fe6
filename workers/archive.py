"""Sessions that nobody has used for the tenant's `retention_days` leave the database for files in the storage, where it has
`archive_days`: JSON Lines, a session on a line, a file for each person and day.

    read sessions ──► file ──► note its removal ──► store it ──► one commit: sessions go, the file's row comes, no removal

Whatever dies in between, a session is in the database or in a file that has a row, and a file without a row is removed. The
importer brings sessions back (`api/imports/archives.py`).
"""

import asyncio
import hashlib
from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
import structlog

from schema.ids import first_id, new_id
from schema.postgres.connections import Pool, tenant_tx
from schema.queries.documents.uploads import schedule_removals
from schema.queries.sessions import archives as queries
from schema.queries.sessions.archives import ArchivedSession, DueSession
from schema.queries.tenants.audit import add_audit
from workers.storage.contract import Storage, new_name
from workers.storage.removals import delete_unused_files

log = structlog.get_logger()

BATCH = 500  # sessions in one file, and due ones that don't wait for the day to be over
READ_AT_ONCE = 20
MEDIA_TYPE = "application/jsonl"


class _Changed(Exception):
    """A session isn't any more what was written into the file."""


class Archive:
    """Moves sessions from the database into the storage."""

    def __init__(self, pool: Pool, storage: Storage) -> None:
        self._pool, self._storage = pool, storage

    async def move(self, tenant_id: UUID, before: datetime, *, days: int) -> int:
        """Move sessions that nobody has used since `before` into files that are kept for so many days, if it is time to;
        return how many were moved. What changes meanwhile is left to the next time."""
        day_ago = first_id(datetime.now(UTC) - timedelta(days=1))
        async with tenant_tx(self._pool, tenant_id) as db:
            if not await queries.is_time_to_archive(db, tenant_id, before, day_ago=day_ago, limit=BATCH):
                return 0
        moved = 0
        while True:
            async with tenant_tx(self._pool, tenant_id) as db:
                due = await queries.list_due(db, tenant_id, before, limit=BATCH)
            gone = sum([await self._move(tenant_id, one, days) for one in _by_person(due)])
            moved += gone
            if len(due) < BATCH or not gone:
                return moved

    async def _move(self, tenant_id: UUID, due: Sequence[DueSession], days: int) -> int:
        """Move sessions of one person into a file; return how many were moved: all or none."""
        async with self._storage.staging.temporary_folder() as folder:
            path = folder / "sessions"
            read, messages = await self._write(tenant_id, due, path)
            if not read:
                return 0
            file = await asyncio.to_thread(_file_of, path, tenant_id, due[0].user_id, days)
            async with tenant_tx(self._pool, tenant_id) as db:
                await schedule_removals(db, tenant_id, [file["stored_as"]])
            await self._storage.put(file["stored_as"], path)
        try:
            await self._commit(tenant_id, read, file, messages)
        except _Changed:
            await delete_unused_files(self._pool, self._storage, tenant_id, [file["stored_as"]])
            return 0
        told = {"sessions": len(read), "messages": messages, "bytes": file["size_bytes"]}
        log.info("sessions_archived", tenant_id=str(tenant_id), **told)
        return len(read)

    async def _write(self, tenant_id: UUID, due: Sequence[DueSession], path: Path) -> tuple[list[DueSession], int]:
        """Write sessions as lines, a few in memory at a time; return those that were there, and how many messages they have."""
        read, messages = list[DueSession](), 0
        for place in range(0, len(due), READ_AT_ONCE):
            ids = [each.id for each in due[place : place + READ_AT_ONCE]]
            async with tenant_tx(self._pool, tenant_id) as db:
                sessions = await queries.read_sessions(db, tenant_id, ids)
            await asyncio.to_thread(_append, path, sessions)
            read += [DueSession(id=one.session_id, user_id=one.user_id, updated_at=one.updated_at) for one in sessions]
            messages += sum(len(each.messages) for each in sessions)
        return read, messages

    async def _commit(self, tenant_id: UUID, read: Sequence[DueSession], file: dict[str, Any], messages: int) -> None:
        """Let the file take the place of the sessions that were read. Raises _Changed."""
        detail = {"sessions": len(read), "messages": messages, "bytes": file["size_bytes"]}
        async with tenant_tx(self._pool, tenant_id) as db:
            if not await queries.replace_by_file(db, tenant_id, read, file):
                raise _Changed
            target = f"file-{file['id'].hex}"
            await add_audit(db, tenant_id, actor="system", action="sessions.archived", target=target, detail=detail)


def _by_person(due: Sequence[DueSession]) -> Iterator[list[DueSession]]:
    """Yield the sessions of each person, those of nobody in particular among them."""
    of = defaultdict[UUID | None, list[DueSession]](list)
    for each in due:
        of[each.user_id].append(each)
    yield from of.values()


def _append(path: Path, sessions: Sequence[ArchivedSession]) -> None:
    with path.open("ab") as file:
        file.write(msgspec.json.Encoder().encode_lines(sessions))


def _file_of(path: Path, tenant_id: UUID, user_id: UUID | None, days: int) -> dict[str, Any]:
    """Return the row of a file that is about to be stored."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").digest()
    about = {"id": new_id(), "user_id": user_id, "stored_as": new_name(tenant_id), "ttl_s": days * 86_400}
    about |= {"name": f"sessions-{datetime.now(UTC):%Y-%m-%d}.jsonl", "media_type": MEDIA_TYPE}
    return {**about, "size_bytes": path.stat().st_size, "sha256": digest}
