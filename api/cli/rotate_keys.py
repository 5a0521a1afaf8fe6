"""`rotate-keys`: re-encrypt every stored secret with the newest key, while everything runs; `--new` creates a key.

A secret is read, sealed and put back only if nobody has changed it meanwhile, in batches of 500. Whatever ends the command,
the rest is done by running it again: processes know the old keys as well as the new one, so they can read every row.
"""

import argparse
import asyncio
import os
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import psycopg
from psycopg.rows import dict_row

from api.cli.plural import pluralize
from api.local.errors import LocalError
from api.local.home import write_private
from api.local.keys import VAULT_KEYS
from api.local.stack import running_database_url
from api.local.stack_settings import settings_from
from schema.errors import SecretUnreadable
from schema.installation.settings_check import require_valid
from schema.postgres.connections import Db
from schema.queries.identity.secrets import (
    BEGINNING,
    SEALED_TABLES,
    KeyUse,
    SealedRow,
    list_key_ids,
    list_stale,
    replace,
)
from schema.vault import KEYS, KEYS_FILE, Sealed, Vault, new_secret_key, read_keys_file

MAX_PASSES = 5
"""How often rows that were being written are tried again before the command gives up on them."""

MAX_SHOWN = 20  # rows that can't be opened; more of them have one reason, and it isn't theirs

NEXT_STEPS_FILE = """
Next:
  1. Wait a moment: running processes check the file every second, and as soon as they meet a secret they can't read.
  2. Run ./headrace rotate-keys.
  3. Remove the old key once rotate-keys reports that nothing uses it.\
"""

NEXT_STEPS_ENV = """
Next:
  1. Restart all processes together so that they all know the new key. A process that
     does not know it can't read what the others encrypt with it.
  2. Run ./headrace rotate-keys.
  3. Remove the old key once rotate-keys reports that nothing uses it.\
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--new", action="store_true", help="create a new key, put it first, and say what to do next")
    parser.add_argument(
        "--signing", action="store_true", help="create a new key for signing tokens and retire the old one"
    )
    parser.add_argument(
        "--at-once", action="store_true", help="with --signing: revoke the old key's tokens now, because it leaked"
    )


def run(arguments: argparse.Namespace) -> int:
    require_valid(os.environ, settings_from)
    settings = settings_from(os.environ)
    file = keys_file(os.environ, settings.home)
    if arguments.new:
        return create_key(file, listed=bool(os.environ.get(KEYS)))
    try:
        vault = Vault.from_env(os.environ if file is None else {**os.environ, KEYS_FILE: str(file)})
    except ValueError as error:
        raise LocalError(str(error)) from error
    try:
        if arguments.signing:
            return asyncio.run(rotate_signing(running_database_url(settings), vault, immediately=arguments.at_once))
        return asyncio.run(rotate_all(running_database_url(settings), vault))
    except psycopg.errors.UndefinedTable as error:
        raise LocalError("The database schema is out of date. Run ./headrace migrate first.") from error
    except psycopg.OperationalError as error:
        raise LocalError(f"Can't use Postgres: {str(error).strip()}. Fix that and run the command again.") from error


def keys_file(environ: Mapping[str, str], home: Path) -> Path | None:
    """The file of keys that is in use: the one that the settings name, or the data folder's, if it has one."""
    if named := environ.get(KEYS_FILE, "").strip():
        return Path(named)
    embedded = home / VAULT_KEYS
    return embedded if not environ.get(KEYS) and embedded.exists() else None


def create_key(file: Path | None, *, listed: bool) -> int:
    """Print a fresh key alone on stdout, put it first in `file`, and say on stderr what remains to be done."""
    key = new_secret_key()
    if file is not None:
        prepend_key(file, key)
        next_step = f"The key above is now the first one in {file}."
    elif listed:
        next_step = f"Put the key above at the front of {KEYS}, followed by a comma."
    else:
        next_step = (
            f"Set {KEYS} to the key above, or put it on the first line of a file, and set {KEYS_FILE} to its path."
        )
    print(key, flush=True)
    print(next_step + (NEXT_STEPS_FILE if file is not None else NEXT_STEPS_ENV), file=sys.stderr)
    return 0


async def rotate_signing(database_url: str, vault: Vault, *, immediately: bool) -> int:
    """Replace the key that signs our tokens, and say from when the new one signs."""
    from workers.signing_keys import rotate_signing_key

    done = await rotate_signing_key(database_url, vault, immediately=immediately)
    minutes = done.signs_in.total_seconds() / 60
    print(
        f"The key {done.kid} is published and signs tokens {'from now on' if immediately else f'in {minutes:.0f} minutes'}."
    )
    if done.retiring:
        print(f"Earlier keys ({done.retiring}) stay valid for {done.retire_in.total_seconds() / 3600:.1f} more hours.")
    return 0


def prepend_key(file: Path, key: str) -> None:
    """Put `key` before the others of a file, atomically; a missing file is created, private to its owner.

    Raises LocalError when the file can't be written, or holds something else than keys; then nothing was changed.
    """
    file = file.resolve()  # a symbolic link stays one
    line = f"{key}  # {Vault([key]).newest}, made {datetime.now(UTC):%Y-%m-%d}\n"
    try:
        if not file.exists():
            return write_private(file, line)
        if old := read_keys_file(file):
            Vault(old)
        write_private(file, line + file.read_text(), like=file.stat())
    except ValueError as error:
        raise LocalError(f"{file}: {error}") from None
    except OSError as error:
        raise LocalError(f"{file} is not writable ({error.strerror}).") from error


async def rotate_all(database_url: str, vault: Vault) -> int:
    """Re-encrypt until nothing needs an old key. Raises LocalError before anything is changed if a key isn't known."""
    # The login role, which owns the tables: row security would show any other one tenant at most.
    options = {"autocommit": True, "connect_timeout": 5, "application_name": "headrace rotate-keys"}
    async with await Db.connect(database_url, row_factory=dict_row, **options) as db:
        uses, broken = await list_key_ids(db), []
        require_known_keys(uses, vault)
        for _ in range(MAX_PASSES):
            changed, broken = await rotate_once(db, vault, uses)
            uses = await list_key_ids(db)
            if count_stale(uses, vault) <= len(broken) or not changed:
                break
    return report(uses, vault, broken)


def require_known_keys(uses: list[KeyUse], vault: Vault) -> None:
    unknown = [
        f"{pluralize(use.rows, 'row')} of {use.table} {'needs' if use.rows == 1 else 'need'} {use.key_id}"
        for use in uses
        if use.key_id not in vault.key_ids
    ]
    if unknown:
        raise LocalError(
            f"Nothing was changed, because some keys are missing here: {'; '.join(unknown)}. Known keys: "
            f"{', '.join(vault.key_ids)}. Add the missing ones to {KEYS} or {KEYS_FILE}, after the newest."
        )


async def rotate_once(db: Db, vault: Vault, uses: list[KeyUse]) -> tuple[int, list[str]]:
    """One pass over all tables, which leaves alone what is being written at that moment. Returns how many rows changed and
    the names of those that can't be opened."""
    changed, broken = 0, []
    for table in SEALED_TABLES:
        total = count_stale([use for use in uses if use.table == table], vault)
        last, done = BEGINNING, 0
        while rows := await list_stale(db, table, vault.newest, after=last):
            last = rows[-1]
            readable, fresh = reseal(vault, table, rows, broken)
            done += await replace(db, table, readable, fresh)
            print(f"{table}: {done} of {total} re-encrypted", flush=True)
        changed += done
    return changed, broken


def reseal(vault: Vault, table: str, rows: list[SealedRow], broken: list[str]) -> tuple[list[SealedRow], list[Sealed]]:
    """The rows that can be opened and their new ciphertexts; the others are added to `broken`, by name."""
    readable, fresh = [], []
    for row in rows:
        try:
            fresh.append(vault.reseal(row.sealed, tenant_id=row.tenant_id, owner_id=row.owner_id))
            readable.append(row)
        except SecretUnreadable as error:
            broken.append(f"{table}: row {row.owner_id} of tenant {row.tenant_id}: {error.message}")
    return readable, fresh


def count_stale(uses: list[KeyUse], vault: Vault) -> int:
    return sum(use.rows for use in uses if not vault.is_current(use.key_id))


def report(uses: list[KeyUse], vault: Vault, broken: list[str]) -> int:
    """Print the result and return the exit status: 0 only if no row needs an old key."""
    stale = count_stale(uses, vault)
    for line in broken[:MAX_SHOWN]:
        print(line, file=sys.stderr)
    if broken:
        print(
            f"headrace: {len(broken)} secrets can't be decrypted and were left as they are. Store them again.",
            file=sys.stderr,
        )
    if stale > len(broken):
        left = stale - len(broken)
        print(
            f"headrace: {left} secrets were encrypted with an old key while this ran. Restart the processes that don't "
            "know the newest key, then run ./headrace rotate-keys again.",
            file=sys.stderr,
        )
    if stale:
        return 1
    print(f"Every stored secret is encrypted with the newest key, {vault.newest}.")
    if old := ", ".join(vault.key_ids[1:]):
        print(
            f"Nothing uses {old} any longer. Remove it from the settings, but keep a copy for backups made before now."
        )
    return 0
