"""Writes a backup while everything runs: the database as it was at one moment, and the files that it referred to then."""

import contextlib
import os
from collections.abc import Generator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

import psycopg
from psycopg.rows import DictRow

from api.local.backup.archive import DATABASE, FILES, FORMAT, BackupWriter, Manifest, StoredFiles
from api.local.backup.keys import ids_of
from api.local.backup.programs import find_programs
from api.local.errors import LocalError
from schema.errors import NotFound
from schema.installation.contents import connect, list_stored_files, list_tables, sees_all, snapshot
from workers.storage.contract import Storage
from workers.storage.private_files import private_opener

HIDDEN = (
    "The user of HEADRACE_DATABASE_URL is subject to row-level security, so a backup would lack most rows. "
    "Let an administrator run: ALTER ROLE {user} BYPASSRLS;"
)


@contextlib.contextmanager
def whole_file(target: Path) -> Generator[IO[bytes]]:
    """A new file that only its owner reads; it has its name when the context ends without an error, and else is gone.
    Raises LocalError if there is one of that name, or no such folder."""
    if target.exists():
        raise LocalError(f"{target} exists already. Name another file.")
    if not target.parent.is_dir():
        raise LocalError(f"There is no folder {target.parent}.")
    draft = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        with open(draft, "wb", opener=private_opener) as out:
            yield out
            out.flush()
            os.fsync(out.fileno())
        draft.rename(target)
    finally:
        draft.unlink(missing_ok=True)


async def write_backup(
    database_url: str,
    storage: Storage,
    where: str,
    out: IO[bytes],
    environ: Mapping[str, str],
    *,
    with_files: bool,
    keys: Sequence[str] = (),
) -> tuple[Manifest, list[str]]:
    """Write a backup to `out`, and return what is in it and the names of files that were missing.

    `where` says where the storage is; its files are in the backup `with_files` only. Of `keys` it holds the ids. Raises
    LocalError, psycopg's errors, Unavailable of the storage.
    """
    writer = BackupWriter(out)
    with connect(database_url) as db:
        require_all_rows(db)
        if "alembic_version" not in list_tables(db):
            raise LocalError("There is nothing to back up: the database is empty.")
        db.rollback()
        programs = find_programs(db, database_url, environ)
        with snapshot(db) as moment:
            names = sorted(list_stored_files(db))
            with writer.member(DATABASE) as write:
                for piece in programs.dump(moment):
                    write(piece)
            moment.end()
            number, size, missing = await _write_files(writer, storage, names) if with_files else (len(names), 0, [])
    files = StoredFiles(with_files, where, number, size)
    made_at = datetime.now(UTC).isoformat(timespec="seconds")
    manifest = Manifest(FORMAT, made_at, moment.contents, programs.major, files, writer.sum, ids_of(keys))
    writer.finish(manifest)
    return manifest, missing


async def _write_files(writer: BackupWriter, storage: Storage, names: list[str]) -> tuple[int, int, list[str]]:
    """Copy these files; return how many there were, their bytes, and the names of those that the storage doesn't have."""
    number, size, missing = 0, 0, list[str]()
    for name in names:
        pieces = storage.read(name)
        try:
            piece = await anext(pieces, b"")
        except NotFound:
            missing.append(name)
            continue
        with writer.member(f"{FILES}{name}") as write:
            while piece:
                write(piece)
                size += len(piece)
                piece = await anext(pieces, b"")
        number += 1
    return number, size, missing


def require_all_rows(db: psycopg.Connection[DictRow]) -> None:
    """Raise LocalError if row-level security hides rows from this user."""
    if not sees_all(db):
        raise LocalError(HIDDEN.format(user=db.info.user))
