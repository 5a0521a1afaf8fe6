"""Puts a backup back: all of it or nothing. Nothing may run on the database meanwhile.

First the file is read to its end and everything that can be known is checked. Then come the files, which disturb nobody under
their names, and the database in one transaction, whose last step before the commit compares it with the backup.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg.rows import DictRow, dict_row

from api.local.backup.archive import Backup, Manifest
from api.local.backup.keys import require_keys
from api.local.backup.make import require_all_rows
from api.local.backup.programs import find_programs
from api.local.errors import LocalError
from schema.errors import HeadraceError, SecretUnreadable, Unavailable
from schema.installation.contents import (
    connect,
    count_connected,
    list_stored_files,
    list_tables,
    sql_after,
    sql_before,
)
from schema.installation.migrate import migrate, newest_migration
from schema.postgres.connections import Db
from schema.postgres.logins import Role
from schema.queries.identity.secrets import BEGINNING, SEALED_TABLES, list_stale
from schema.vault import Vault
from workers.storage.contract import Storage
from workers.storage.private_files import private_opener


@dataclass(frozen=True)
class Restored:
    """What a restored installation is like: whether it was migrated on, how many of its files the storage lacks (None if that
    doesn't answer), the secrets that can't be opened."""

    migrated: bool
    missing_files: int | None
    unreadable: list[str]


def check_restorable(manifest: Manifest, keys: Sequence[str]) -> None:
    """Raise LocalError if this headrace can't take the backup, or the keys don't open its secrets."""
    newest = newest_migration()
    if manifest.database.revision > newest:
        raise LocalError(
            f"The backup is of a newer headrace (schema {manifest.database.revision}) than this one ({newest}). Nothing was "
            "changed; restore it with that version."
        )
    require_keys(keys, manifest.database.key_ids)


def check_target(db: psycopg.Connection[DictRow], *, replace: bool) -> bool:
    """Return whether the database holds something that is to be replaced. Raises LocalError if it may not be, or is in use."""
    require_all_rows(db)
    tables = list_tables(db)
    if connected := count_connected(db):
        raise LocalError(
            f"Processes of headrace use this database ({connected} connections). Nothing was changed; stop them first."
        )
    if tables and not replace:
        raise LocalError(
            f"The database is not empty: it has {len(tables)} tables{_tenants(db, tables)}. Nothing was changed. Name an empty "
            "database, or add --replace, which deletes what is there."
        )
    db.rollback()
    return bool(tables)


async def restore_backup(
    backup: Backup, database_url: str, storage: Storage, environ: Mapping[str, str], *, replace: bool = False
) -> None:
    """Restore a backup that `check_restorable` accepted; `look_after` what was restored then. Raises LocalError, psycopg's
    errors or Unavailable, and then nothing was changed."""
    with connect(database_url) as db:
        full = check_target(db, replace=replace)
        programs = find_programs(db, database_url, environ, at_least=backup.manifest.programs)
        before, after, added = sql_before(empty=full), sql_after(backup.manifest.database), list[str]()
        try:
            await _store_files(backup, storage, added)
            programs.replay(backup.database(), before=before, after=after)
        except BaseException:
            await storage.delete(added)
            raise


async def look_after(
    database_url: str, storage: Storage, keys: Sequence[str], role_urls: Mapping[Role, str]
) -> Restored:
    """Migrate what was restored to the newest schema, and look for its files and into its secrets. Raises LocalError that says
    what remains to be done."""
    try:
        migrated = migrate(database_url, role_urls)
        with connect(database_url) as db:
            db.execute("ANALYZE")
            needed = list_stored_files(db)
        return Restored(migrated, await _count_missing(storage, needed), await _unreadable(database_url, keys))
    except (psycopg.Error, HeadraceError) as error:
        raise LocalError(
            f"The backup was restored, but not made ready for use: {str(error).strip()} Mend that, and run ./headrace migrate."
        ) from error


async def _count_missing(storage: Storage, needed: set[str]) -> int | None:
    try:
        return len(needed - {name async for name in storage.list_names()}) if needed else 0
    except Unavailable:
        return None


async def _store_files(backup: Backup, storage: Storage, added: list[str]) -> None:
    """Store the backup's files; the names of those that weren't there before are put into `added`."""
    if not backup.manifest.files.included:
        return
    before = {name async for name in storage.list_names()}
    for name, pieces in backup.files():
        async with storage.staging.temporary_folder() as folder:
            _write(folder / "file", pieces)
            if name not in before:
                added.append(name)
            await storage.put(name, folder / "file")


def _write(path: Path, pieces: Iterator[bytes]) -> None:
    with open(path, "wb", opener=private_opener) as file:
        for piece in pieces:
            file.write(piece)


async def _unreadable(database_url: str, keys: Sequence[str]) -> list[str]:
    """Open every secret, and return the places of those that can't be."""
    if not keys:
        return []
    vault, broken = Vault(keys), list[str]()
    async with await Db.connect(database_url, row_factory=dict_row, autocommit=True) as db:
        for table in SEALED_TABLES:
            last = BEGINNING
            while rows := await list_stale(db, table, "", after=last):
                last = rows[-1]
                for row in rows:
                    try:
                        vault.open(row.sealed, tenant_id=row.tenant_id, owner_id=row.owner_id)
                    except SecretUnreadable as error:
                        broken.append(f"{table}: row {row.owner_id} of tenant {row.tenant_id}: {error.message}")
    return broken


def _tenants(db: psycopg.Connection[DictRow], tables: list[str]) -> str:
    if not {"tenants", "jobs"} <= set(tables):
        return ""
    row = db.execute("SELECT (SELECT count(*) FROM tenants) AS tenants, (SELECT count(*) FROM jobs) AS jobs").fetchone()
    assert row is not None
    return f", {row['tenants']} tenants and {row['jobs']} jobs"
