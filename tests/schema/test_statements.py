"""Statements in `.sql` files."""

import re
from pathlib import Path

import pytest

from schema.queries.statements import SQL, read_sql

QUERIES = SQL.parent


def test_every_sql_file_is_used_once_and_every_use_has_its_file() -> None:
    sources = "\n".join(path.read_text() for path in sorted(QUERIES.rglob("*.py")))
    used = re.findall(r'= read_sql\(\s*"(\w+)"', sources)
    assert sorted(path.stem for path in SQL.glob("*.sql")) == sorted(used)


@pytest.mark.parametrize("path", sorted(SQL.glob("*.sql")), ids=lambda path: path.stem)
def test_a_statement_begins_with_why_it_is_as_it_is(path: Path) -> None:
    assert path.read_text().startswith("-- ")


def test_a_fragment_that_a_statement_does_not_name_is_a_mistake() -> None:
    with pytest.raises(KeyError):
        read_sql("claim_job", LIVE_SQL="('running')")
