"""`restore`: puts a backup into an empty installation, or in place of what is there; all of it or nothing."""

import argparse
import asyncio
import os
import sys
from pathlib import Path

from api.cli.arguments import path_here
from api.cli.backup import describe, place_of, storage_settings
from api.cli.plural import pluralize
from api.local.backup.archive import Backup
from api.local.backup.failures import as_sentences
from api.local.backup.keys import are_foreign, joined, keep, keys_at_hand, read_copy
from api.local.backup.restore import Restored, check_restorable, look_after, restore_backup
from api.local.errors import LocalError
from api.local.stack import find_running
from api.local.stack_settings import StackSettings, settings_from
from api.local.stores.local_stores import LOCK_WAIT_S, Stores, open_stores
from schema import redis_names
from schema.installation.settings_check import require_valid
from schema.vault import KEYS, KEYS_FILE
from workers.redis.address import RedisAddress
from workers.redis.client import RedisClient, RedisUnavailable
from workers.redis.cluster import check_no_cluster
from workers.redis.connection import ReplyError
from workers.redis.emptying import forget
from workers.storage.factory import open_storage
from workers.storage.settings import StorageSettings

MAX_SHOWN = 5


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", type=path_here, metavar="FILE", help="a file that ./headrace backup wrote")
    parser.add_argument(
        "--check", action="store_true", help="only read the file, and say whether it can be restored here"
    )
    parser.add_argument("--replace", action="store_true", help="delete what the database holds now")
    parser.add_argument(
        "--keys", type=path_here, metavar="FILE", help="a copy of the keys, which becomes a part of the data folder's"
    )


def run(arguments: argparse.Namespace) -> int:
    require_valid(os.environ, settings_from, StorageSettings.from_env)
    settings = settings_from(os.environ)
    if not arguments.check:
        _refuse_running(settings.home)
    keys = _keys(arguments.keys, settings)
    backup = Backup.open(arguments.file.absolute())
    check_restorable(backup.manifest, keys)
    if arguments.check:
        print(f"{backup.path} is whole and can be restored here.")
        print("\n".join(describe(backup.manifest)))
        _warn_of_keys(backup, keys)
        return 0
    with (
        as_sentences(settings.home),
        open_stores(
            settings.home, database_url=settings.database_url, redis_url=settings.redis_url, wait_s=LOCK_WAIT_S
        ) as stores,
    ):
        restored = asyncio.run(restore(backup, stores, settings, arguments, keys))
    report(backup, restored, settings)
    _warn_of_keys(backup, keys)
    return 1 if restored.unreadable else 0


async def restore(
    backup: Backup, stores: Stores, settings: StackSettings, arguments: argparse.Namespace, keys: list[str]
) -> Restored:
    """Restore into these stores, with what must go with it: keys, and an empty Redis, which may know of a later time."""
    redis = RedisClient(RedisAddress.from_url(stores.redis_url))
    try:
        await check_no_cluster(RedisAddress.from_url(stores.redis_url))
        await _require(redis)
        async with open_storage(storage_settings(settings)) as storage:
            await restore_backup(backup, stores.database_url, storage, os.environ, replace=arguments.replace)
            if arguments.keys:
                keep(settings.home, keys)
            await _empty(redis)
            return await look_after(stores.database_url, storage, keys, settings.role_urls)
    finally:
        await redis.close()


async def _require(redis: RedisClient) -> None:
    try:
        await redis.call("PING")
    except (RedisUnavailable, ReplyError) as error:
        raise LocalError(f"Can't use Redis: {error}. Nothing was changed.") from error


async def _empty(redis: RedisClient) -> None:
    try:
        await forget(redis, redis_names.EVERY_KEY)
    except (RedisUnavailable, ReplyError) as error:
        raise LocalError(
            f"The backup was restored, but Redis could not be emptied ({error}). Delete its keys headrace:* before you start "
            "headrace, since they are of another time, and run ./headrace migrate."
        ) from error


def report(backup: Backup, restored: Restored, settings: StackSettings) -> None:
    """Say what was restored, and what is missing."""
    print(f"Restored {backup.path}." + (" The schema was migrated to the newest." if restored.migrated else ""))
    print("\n".join(describe(backup.manifest)))
    print("Rows and row-level security are as they were when it was made.")
    place = place_of(storage_settings(settings))
    if restored.missing_files is None:
        print(f"headrace: {place} does not answer, so nobody looked for the files of documents there.", file=sys.stderr)
    elif restored.missing_files:
        one, where = restored.missing_files == 1, backup.manifest.files.where
        missing = f"{pluralize(restored.missing_files, 'file')} of documents {'is' if one else 'are'} not in {place}."
        print(f"headrace: {missing} {'It was' if one else 'They were'} in {where}.", file=sys.stderr)
    for line in restored.unreadable[:MAX_SHOWN]:
        print(f"headrace: {line}", file=sys.stderr)
    if restored.unreadable:
        print(f"headrace: {len(restored.unreadable)} secrets can't be opened. Store them again.", file=sys.stderr)


def _refuse_running(home: Path) -> None:
    """Raise LocalError, before anything else is looked at, if a stack works on this folder."""
    if running := find_running(home):
        raise LocalError(
            f"headrace is running at {running.url} (process {running.pid}, data in {home}). Stop it first, with Ctrl-C where "
            "it runs, and restore then. Nothing was changed."
        )


def _warn_of_keys(backup: Backup, keys: list[str]) -> None:
    """Say so where the keys are another installation's. With secrets in the backup it would not have come so far."""
    if are_foreign(keys, backup.manifest.keys):
        print(
            "headrace: The keys here are none of those that the backed up installation had. The backup holds no secret, so "
            "nothing in it is lost; but check that you named the right keys, if you mean to go on with that installation's.",
            file=sys.stderr,
        )


def _keys(copy: Path | None, settings: StackSettings) -> list[str]:
    """The keys at hand, with those of the copy. Raises LocalError where the copy could not become a part of them."""
    ours = keys_at_hand(os.environ, settings.home)
    if copy is None:
        return ours
    if os.environ.get(KEYS) or os.environ.get(KEYS_FILE):
        raise LocalError(f"--keys is for a data folder. Here the keys are in {KEYS} or {KEYS_FILE}: add them there.")
    return joined(ours, read_copy(copy.absolute()))
