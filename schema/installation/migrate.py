"""Brings a database to the newest schema. Called by `up`, by tests and by deployments before new workers start."""

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psycopg

from schema.model_catalog.seed import seed_models
from schema.postgres.logins import Role, ensure_logins
from schema.postgres.pooling import check_no_pooling

MIGRATIONS = Path(__file__).parents[1] / "migrations"


def migrate(database_url: str, role_urls: Mapping[Role, str] | None = None, *, in_child: bool = False) -> bool:
    """Run the missing migrations, one transaction each, and return whether there were any. Then write what is known of models
    (`schema/model_catalog/seed.py`), and prepare the users of the processes (`schema/postgres/logins.py`); `role_urls` are
    those with passwords of their own.

    At head it costs a few queries and does not even import Alembic; with `in_child` this process never does, which saves it
    40 MB for as long as it lives. Processes that start together wait for one another.
    Raises psycopg's errors, and LoginRefused if a pooler stands in between.
    """
    check_no_pooling(lambda: psycopg.connect(database_url, autocommit=True, prepare_threshold=None))
    with psycopg.connect(database_url, autocommit=True) as db:
        db.execute("SELECT pg_advisory_lock(hashtext('headrace migrate'))")
        behind = _version(db) != newest_migration()
        if behind and not (in_child and _upgrade_in_child(database_url)):
            _upgrade(database_url)
        seed_models(db)
        ensure_logins(database_url, role_urls or {})
        return behind


def newest_migration() -> str:
    """Return the number of the newest migration; Alembic would read all of them for it."""
    return max(path.name for path in (MIGRATIONS / "versions").glob("[0-9]*.py")).partition("_")[0]


def _version(db: psycopg.Connection[Any]) -> str | None:
    known = db.execute("SELECT to_regclass('alembic_version')").fetchone()
    if known is None or known[0] is None:
        return None
    row = db.execute("SELECT version_num FROM alembic_version").fetchone()
    return None if row is None else row[0]


def _upgrade_in_child(database_url: str) -> bool:
    """Run the migrations in a process of their own. False if that fails: why, our own try will say."""
    program = "from schema.installation.migrate import _upgrade; _upgrade(input())"
    child = subprocess.run(  # noqa: S603 (a program of our own)
        [sys.executable, "-c", program],
        cwd=MIGRATIONS.parent.parent,
        input=database_url,
        text=True,
        stderr=subprocess.DEVNULL,
        check=False,
    )
    return child.returncode == 0


def _upgrade(database_url: str) -> None:
    from alembic import command
    from sqlalchemy import create_engine
    from sqlalchemy.exc import DBAPIError
    from sqlalchemy.pool import NullPool

    # SQLAlchemy has a syntax of its own for several servers, and reads only some of what libpq's URLs may say.
    engine = create_engine("postgresql+psycopg://", creator=lambda: psycopg.connect(database_url), poolclass=NullPool)
    try:
        with engine.connect() as connection:
            command.upgrade(alembic_config(connection), "head")
    except DBAPIError as error:
        raise error.orig or error from None


def alembic_config(connection: Any) -> Any:
    """Return Alembic's configuration for one open SQLAlchemy connection."""
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config
