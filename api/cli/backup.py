"""`backup`: writes the database and the stored files to one file, while everything runs; the keys to one of their own only."""

import argparse
import asyncio
import contextlib
import os
import sys
import time
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import IO

from api.cli.arguments import path_here
from api.cli.plural import pluralize
from api.local.backup.archive import Manifest
from api.local.backup.failures import as_sentences
from api.local.backup.keys import keys_at_hand, write_copy
from api.local.backup.make import whole_file, write_backup
from api.local.errors import LocalError
from api.local.stack import find_running, running_database_url
from api.local.stack_settings import StackSettings, settings_from
from api.local.stores.local_stores import LOCK_WAIT_S, open_stores
from schema.installation.settings_check import require_valid
from workers.storage.factory import open_storage
from workers.storage.settings import StorageSettings

MAX_SHOWN = 5
NOT_NEEDED = "redis://127.0.0.1"  # named, so that no Valkey is started


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", type=path_here, metavar="FILE", help="the file to write, which must not exist yet")
    parser.add_argument(
        "--keys",
        type=path_here,
        metavar="FILE",
        help="also copy the keys that open the secrets to this file; keep it apart from the backup",
    )
    parser.add_argument(
        "--files",
        action=argparse.BooleanOptionalAction,
        help="whether the files of documents are in it (default: those in a folder are, those in a bucket are not)",
    )


def run(arguments: argparse.Namespace) -> int:
    require_valid(os.environ, settings_from, StorageSettings.from_env)
    settings, target, began = settings_from(os.environ), arguments.file.absolute(), time.monotonic()
    keys = keys_at_hand(os.environ, settings.home)
    if arguments.keys:
        _check_copy(arguments.keys.absolute(), target, keys)
    with as_sentences(target.parent), _database(settings) as database_url, whole_file(target) as out:
        manifest, missing = asyncio.run(back_up(database_url, settings, out, arguments.files, keys))
    if arguments.keys:
        write_copy(arguments.keys.absolute(), keys)
    size, took_s = target.stat().st_size, time.monotonic() - began
    print(f"Backed up to {target}: {size / 1e6:,.1f} MB in {took_s:.1f} s.")
    print("\n".join(describe(manifest)))
    print(_about_keys(manifest, arguments.keys))
    for name in missing[:MAX_SHOWN]:
        print(f"headrace: the storage has no file {name}, to which a document refers.", file=sys.stderr)
    if missing:
        files, were = pluralize(len(missing), "file"), "is" if len(missing) == 1 else "are"
        print(f"headrace: {files} {were} not in the backup: the storage has none of that name.", file=sys.stderr)
    return 0


async def back_up(
    database_url: str, settings: StackSettings, out: IO[bytes], with_files: bool | None, keys: Sequence[str]
) -> tuple[Manifest, list[str]]:
    """Write the backup; `with_files` None stands for what fits the storage."""
    described = storage_settings(settings)
    included = described.s3 is None if with_files is None else with_files
    where = place_of(described)
    async with open_storage(described) as storage:
        return await write_backup(database_url, storage, where, out, os.environ, with_files=included, keys=keys)


def storage_settings(settings: StackSettings) -> StorageSettings:
    """Where this installation's stored files are."""
    return StorageSettings.from_env({**os.environ, "HEADRACE_HOME": str(settings.home)})


def place_of(storage: StorageSettings) -> str:
    """Name the storage, for people."""
    if storage.s3 is None:
        return str(storage.folder.absolute())
    return f"s3://{storage.s3.bucket}/{storage.s3.prefix}".rstrip("/")


def describe(manifest: Manifest) -> list[str]:
    """Say in a few lines what is in a backup."""
    database, files = manifest.database, manifest.files
    rows, stored = pluralize(sum(database.tables.values()), "row"), pluralize(files.number, "file")
    lines = [f"  database  of {manifest.made_at}: schema {database.revision}, {len(database.tables)} tables, {rows}"]
    if files.included:
        return [*lines, f"  files     {stored}, {files.bytes / 1e6:,.1f} MB"]
    return [
        *lines,
        f"  files     NOT in it: {stored} in {files.where}, which needs a backup of its own",
    ]


def _about_keys(manifest: Manifest, copy: Path | None) -> str:
    secrets = sum(manifest.database.key_ids.values())
    told = f"  keys      NOT in it; without them nobody can read its {pluralize(secrets, 'secret')}"
    if copy is None:
        return f"{told}. Keep a copy of them elsewhere (--keys FILE)."
    return f"{told}. They are in {copy.absolute()}: move it elsewhere, since both together open everything."


def _check_copy(copy: Path, target: Path, keys: list[str]) -> None:
    if copy.resolve() == target.resolve():
        raise LocalError("The keys can't be in the backup itself: name another file, and keep it elsewhere.")
    if copy.exists():
        raise LocalError(f"{copy} exists already. Name another file for the keys.")
    if not keys:
        raise LocalError(
            "There are no keys here to copy: HEADRACE_SECRET_KEYS and HEADRACE_SECRET_KEYS_FILE are not set."
        )


@contextlib.contextmanager
def _database(settings: StackSettings) -> Generator[str]:
    """The database that was named or that a stack runs here, else the embedded one, which is started for the backup."""
    if settings.database_url or find_running(settings.home):
        yield running_database_url(settings)
        return
    if not (settings.home / "postgres").is_dir():
        raise LocalError(
            f"There is nothing to back up: HEADRACE_DATABASE_URL is not set, and {settings.home} has no database."
        )
    with open_stores(settings.home, redis_url=NOT_NEEDED, wait_s=LOCK_WAIT_S) as stores:
        yield stores.database_url
