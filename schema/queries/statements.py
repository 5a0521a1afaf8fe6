"""Statements that are run hundreds of times a second stand in `.sql` files, as scripts for Redis stand in `.lua` files."""

from pathlib import Path

SQL = Path(__file__).parent / "sql"


def read_sql(name: str, **fragments: str) -> str:
    """Return the statement `sql/{name}.sql`, with `fragments` in place of their names in braces.

    Read once, when the module that runs it is imported. Raises KeyError for a fragment that the statement doesn't name.
    """
    sql = (SQL / f"{name}.sql").read_text()
    for fragment, text in fragments.items():
        if f"{{{fragment}}}" not in sql:
            raise KeyError(fragment)
        sql = sql.replace(f"{{{fragment}}}", text)
    return sql


def utc(column: str) -> str:
    """Return the SQL of a time as JSON has it: UTC, ISO 8601."""
    return f"""to_char({column} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')"""
