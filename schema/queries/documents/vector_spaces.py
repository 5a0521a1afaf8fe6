"""Vectors as Postgres reads them, and their spaces: what engine and model made those that may be compared."""

from collections.abc import Sequence

import psycopg

from schema.db import Db, fetch_one
from schema.errors import Conflict

REFUSED = "HR010"


def vector(values: Sequence[float]) -> str:
    """Return a vector as pgvector reads it."""
    return f"[{','.join(f'{value:.7g}' for value in values)}]"


async def open_space(db: Db, name: str, dimensions: int) -> int:
    """Return the number of a space, which is made the first time. Raises Conflict when its vectors had another length before:
    then the model behind the name is another one now."""
    try:
        row = await fetch_one(
            db, "SELECT open_vector_space(%(name)s, %(dimensions)s) AS id", {"name": name, "dimensions": dimensions}
        )
    except psycopg.Error as error:
        if error.sqlstate != REFUSED:
            raise
        said = f"{name} now returns vectors of {dimensions} dimensions, which cannot be searched with its earlier ones."
        raise Conflict(f"{said} Give the other model another name.") from error
    assert row is not None, "a function returns a row"
    return row["id"]
