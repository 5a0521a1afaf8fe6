"""Seeds fill the rows that nobody has set, once."""

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from schema.installation.migrate import migrate
from schema.model_catalog.seed import seed_models, seeds

GPT, MINI = "openai/gpt-4o", "openai/gpt-4o-mini"


@pytest.fixture
def db(database_url: str) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(database_url) as opened:
        yield opened
        opened.rollback()


def row(db: psycopg.Connection[Any], name: str) -> Any:
    return db.execute("SELECT input_usd, tools, source FROM models WHERE name = %s", (name,)).fetchone()


def version(db: psycopg.Connection[Any]) -> Any:
    return db.execute("SELECT models_version()").fetchone()


def test_a_migrated_database_knows_every_seed(db: psycopg.Connection[Any], database_url: str) -> None:
    assert (len(seeds()),) == db.execute("SELECT count(*) FROM models WHERE source IS NOT NULL").fetchone()
    assert (seeds()[GPT].input_usd, True, seeds()[GPT].source) == row(db, GPT)
    before = version(db)
    assert not migrate(database_url)
    assert before == version(db)


def test_newer_data_leaves_what_an_admin_has_set(db: psycopg.Connection[Any]) -> None:
    db.execute("UPDATE models SET source = 'models.dev 2020-01-01', input_usd = 7, output_usd = NULL, tools = NULL")
    db.execute("UPDATE models SET source = NULL WHERE name = %s", (MINI,))
    assert seed_models(db)
    assert (7, None, None) == row(db, MINI)
    assert (seeds()[GPT].input_usd, True, seeds()[GPT].source) == row(db, GPT)
    assert not seed_models(db)
