"""`upgrade --check`: which migrations are missing, what they do to tables that are there, and that nothing is changed."""

import os

import psycopg
import pytest

from api.__main__ import main
from schema.installation.migrate import newest_migration
from schema.installation.upgrade_plan import Effect, effects_of

SIZES = {"jobs": 10, "grants": 20}


@pytest.mark.parametrize(
    ("sql", "effects"),
    [
        ("ALTER TABLE jobs ADD COLUMN note VARCHAR;", []),
        ("ALTER TABLE jobs ADD COLUMN n INTEGER DEFAULT 0 NOT NULL;", []),
        ("CREATE INDEX CONCURRENTLY jobs_note ON jobs (note);", []),
        ("CREATE TABLE notes (id UUID); CREATE INDEX notes_id ON notes (id);", []),
        ("CREATE UNIQUE INDEX jobs_note ON jobs (note);", [("reads all of", "jobs")]),
        ("ALTER TABLE jobs ADD CONSTRAINT c CHECK (n > 0);", [("reads all of", "jobs")]),
        ("ALTER TABLE jobs ADD CONSTRAINT c CHECK (n > 0) NOT VALID;", []),
        ("ALTER TABLE jobs ALTER COLUMN note SET NOT NULL;", [("reads all of", "jobs")]),
        ("ALTER TABLE grants ALTER COLUMN overrides TYPE json USING overrides::json;", [("rewrites", "grants")]),
        ("ALTER TABLE jobs ADD COLUMN id2 UUID DEFAULT gen_random_uuid();", [("rewrites", "jobs")]),
        (
            "UPDATE jobs SET note = '';\nDELETE FROM grants;",
            [("changes rows of", "jobs"), ("changes rows of", "grants")],
        ),
        ("ALTER TABLE jobs DROP COLUMN note; ALTER TABLE jobs RENAME a TO b;", [("takes away", "jobs")]),
        ("DROP TABLE grants;", [("takes away", "grants")]),
    ],
)
def test_statements_are_known_by_what_they_do_to_tables_that_are_there(
    sql: str, effects: list[tuple[str, str]]
) -> None:
    assert [Effect(kind, table, SIZES[table]) for kind, table in effects] == list(effects_of(sql, SIZES))  # type: ignore[arg-type]


def test_what_is_missing_is_told_and_nothing_is_changed(
    database_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in [name for name in os.environ if name.startswith("HEADRACE_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HEADRACE_DATABASE_URL", database_url)
    assert 0 == main(["upgrade", "--check"])
    assert f"has schema {newest_migration()}, the newest" in capsys.readouterr().out

    def version(new: str | None = None) -> str:
        with psycopg.connect(database_url) as db:
            if new:
                db.execute("UPDATE alembic_version SET version_num = %s", (new,))
            row = db.execute("SELECT version_num FROM alembic_version").fetchone()
            assert row is not None
            return row[0]

    version("0036")
    assert 0 == main(["upgrade", "--check"])
    said = capsys.readouterr().out
    assert "0036; " in said
    assert "  0041  an agent's schema that a grant overrides" in said
    assert "rewrites grants (0.0 MB): all who use it wait" in said
    assert "They can run while the version before serves." in said
    assert "GB are free" in said
    assert "0036" == version()

    version("9999")
    assert 1 == main(["upgrade", "--check"])
    assert "use the newer version" in capsys.readouterr().out
