"""`upgrade --check`: says what bringing the database to this version's schema would do, and changes nothing.

The upgrade itself is `./headrace migrate` with the new version, then its processes (docs/operations.md).
"""

import argparse
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import psycopg

from api.cli.plural import pluralize
from api.local.errors import LocalError
from api.local.stack import running_database_url
from api.local.stack_settings import settings_from
from schema.installation.contents import connect
from schema.installation.settings_check import require_valid
from schema.installation.upgrade_plan import Effect, UpgradePlan, plan_upgrade

WAITS = {
    "takes away": "something that the version before may use is gone",
    "rewrites": "all who use it wait",
    "reads all of": "all who write to it wait",
    "changes rows of": "writers of the same rows wait",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--check", action="store_true", required=True, help="only say what an upgrade would do")


def run(arguments: argparse.Namespace) -> int:
    require_valid(os.environ, settings_from)
    try:
        with connect(running_database_url(settings_from(os.environ))) as db:
            plan = plan_upgrade(db)
            db.rollback()
    except psycopg.Error as error:
        raise LocalError(f"Can't use Postgres: {str(error).strip()}") from error
    free = _free_bytes(plan)
    for line in describe(plan, free):
        print(line)
    too_full = free is not None and free < plan.needed_bytes
    return 1 if plan.is_older or plan.breaks_the_old or too_full else 0


def describe(plan: UpgradePlan, free: int | None) -> Iterator[str]:
    """Say what would happen; `free` is the server's room on disk, if that can be known here."""
    if plan.is_older:
        yield f"The database has schema {plan.has}, and this headrace knows {plan.newest}: use the newer version."
        return
    if not plan.missing:
        yield f"The database has schema {plan.has}, the newest: nothing is to be migrated."
        return
    number = pluralize(len(plan.missing), "migration")
    yield f"The database has schema {plan.has or 'none'}; {number} would bring it to {plan.newest}:"
    for each in plan.missing:
        yield f"  {each.revision}  {' '.join(each.title.split()).rstrip('.')}"
        yield from (f"        {describe_effect(effect)}" for effect in each.effects)
    if plan.breaks_the_old:
        yield "They can NOT run while the version before serves: stop its processes first."
    elif plan.has:
        yield "They can run while the version before serves."
    yield _about_disk(plan.needed_bytes, free)
    yield "Back up first (./headrace backup), then run ./headrace migrate. Nothing was changed now."


def describe_effect(effect: Effect) -> str:
    """Say what is done to a table, and who waits."""
    return f"{effect.kind} {effect.table} ({effect.bytes / 1e6:,.1f} MB): {WAITS[effect.kind]}"


def _about_disk(needed: int, free: int | None) -> str:
    most = f"At most {needed / 1e6:,.1f} MB more are needed while it runs"
    if free is None:
        return f"{most}; look at the server's disk, which can't be seen from here."
    return f"{most}, and {free / 1e9:,.1f} GB are free." + ("" if free >= needed else " That is TOO LITTLE.")


def _free_bytes(plan: UpgradePlan) -> int | None:
    """Return how much is free where the server keeps its data, if that is on this machine."""
    folder = Path(plan.folder) if plan.folder else None
    try:
        return shutil.disk_usage(folder).free if folder and (folder / "PG_VERSION").exists() else None
    except OSError:
        return None
