"""What bringing a database to the newest schema would do, read from the migrations' own SQL; nothing is run or changed.

Each missing migration is written out as SQL, as Alembic does it offline, and looked through for what concerns tables that are
there already. It finds what statements say, not what functions that they call do.
"""

import io
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

import psycopg
from psycopg.rows import DictRow

from schema.installation.migrate import MIGRATIONS, newest_migration

Kind = Literal["takes away", "rewrites", "reads all of", "changes rows of"]

STATEMENTS: tuple[tuple[Kind, re.Pattern[str]], ...] = (
    ("takes away", re.compile(r"ALTER TABLE (?P<table>\w+) (?:DROP COLUMN|RENAME)", re.IGNORECASE)),
    ("takes away", re.compile(r"DROP TABLE (?:IF EXISTS )?(?P<table>\w+)", re.IGNORECASE)),
    ("rewrites", re.compile(r"ALTER TABLE (?P<table>\w+) ALTER COLUMN \w+ (?:SET DATA )?TYPE", re.IGNORECASE)),
    (
        "rewrites",
        re.compile(r"ALTER TABLE (?P<table>\w+) ADD COLUMN [^;]*DEFAULT (?:gen_random|clock_|random)", re.IGNORECASE),
    ),
    ("rewrites", re.compile(r"ALTER TABLE (?P<table>\w+) ADD COLUMN [^;]*GENERATED ALWAYS", re.IGNORECASE)),
    (
        "reads all of",
        re.compile(r"CREATE (?:UNIQUE )?INDEX (?!CONCURRENTLY)(?:IF NOT EXISTS )?\w+ ON (?P<table>\w+)", re.IGNORECASE),
    ),
    ("reads all of", re.compile(r"ALTER TABLE (?P<table>\w+) ALTER COLUMN \w+ SET NOT NULL", re.IGNORECASE)),
    ("reads all of", re.compile(r"ALTER TABLE (?P<table>\w+) ADD CONSTRAINT (?![^;]*NOT VALID)", re.IGNORECASE)),
    ("changes rows of", re.compile(r"^\s*(?:UPDATE|DELETE FROM) (?P<table>\w+)", re.IGNORECASE | re.MULTILINE)),
)
"""What statements do to a table: for the old version, or for how long others wait for it."""

SIZES = """
SELECT relname AS name, pg_total_relation_size(oid) AS bytes FROM pg_class
WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')
"""


@dataclass(frozen=True)
class Effect:
    """What a migration does to a table of `bytes` that is there already."""

    kind: Kind
    table: str
    bytes: int


@dataclass(frozen=True)
class MissingMigration:
    """A migration that would run, and what it does to tables that are there."""

    revision: str
    title: str
    effects: tuple[Effect, ...]


@dataclass(frozen=True)
class UpgradePlan:
    """`has` and `newest` are migrations, `has` None for an empty database; `folder` is where a server on this machine
    keeps it, if it says."""

    has: str | None
    newest: str
    missing: tuple[MissingMigration, ...]
    folder: str | None

    @property
    def is_older(self) -> bool:
        """Whether this headrace is older than the database."""
        return self.has is not None and self.has > self.newest

    @property
    def breaks_the_old(self) -> bool:
        """Whether something is taken away that the version before may use."""
        return any(effect.kind == "takes away" for each in self.missing for effect in each.effects)

    @property
    def needed_bytes(self) -> int:
        """At most how much disk it takes while it runs: what is rewritten or indexed is there twice."""
        return sum(effect.bytes for each in self.missing for effect in each.effects if effect.kind != "takes away")


def plan_upgrade(db: psycopg.Connection[DictRow]) -> UpgradePlan:
    """Return what `migrate` would do to this database; `db` is a connection of the owner, and only read with."""
    has, newest = _revision(db), newest_migration()
    sizes = {row["name"]: row["bytes"] for row in db.execute(SIZES)}
    missing = tuple(_missing(has, sizes)) if has is None or has < newest else ()
    return UpgradePlan(has, newest, missing, _folder(db))


def _revision(db: psycopg.Connection[DictRow]) -> str | None:
    row = db.execute("SELECT to_regclass('public.alembic_version') IS NOT NULL AS is_there").fetchone()
    found = db.execute("SELECT version_num FROM alembic_version").fetchone() if row and row["is_there"] else None
    return found["version_num"] if found else None


def _folder(db: psycopg.Connection[DictRow]) -> str | None:
    """Return where the server keeps its data, if it is on this machine; only superusers and monitors are told."""
    if not db.info.host.startswith(("/", "127.", "localhost", "::1")):
        return None
    row = db.execute(
        "SELECT CASE WHEN pg_has_role('pg_read_all_settings', 'USAGE') THEN current_setting('data_directory') END AS folder"
    ).fetchone()
    return row["folder"] if row else None


def _missing(has: str | None, sizes: Mapping[str, int]) -> Iterator[MissingMigration]:
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    for script in reversed(list(ScriptDirectory.from_config(config).walk_revisions())):
        if has is None or script.revision > has:
            yield MissingMigration(script.revision, script.doc, tuple(effects_of(_as_sql(script.module), sizes)))


def effects_of(sql: str, sizes: Mapping[str, int]) -> Iterator[Effect]:
    """Yield what statements do to the tables of `sizes`, each once."""
    seen = set[tuple[Kind, str]]()
    for kind, pattern in STATEMENTS:
        for match in pattern.finditer(sql):
            table = match["table"]
            if table in sizes and (kind, table) not in seen:
                seen.add((kind, table))
                yield Effect(kind, table, sizes[table])


def _as_sql(module: object) -> str:
    """Return the SQL of a migration, which is not run."""
    from alembic.migration import MigrationContext
    from alembic.operations import Operations

    written = io.StringIO()
    context = MigrationContext.configure(
        dialect_name="postgresql", opts={"as_sql": True, "output_buffer": written, "transactional_ddl": False}
    )
    with Operations.context(context):
        module.upgrade()  # type: ignore[attr-defined]
    return written.getvalue()
