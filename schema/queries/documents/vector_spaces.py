"""Vector spaces (the engine and model whose vectors are comparable), and vectors in pgvector's format."""

from collections.abc import Sequence

import psycopg

from schema.errors import Conflict
from schema.postgres.connections import Db, fetch_one

DIMENSIONS_CHANGED = "HR010"


def to_pgvector(values: Sequence[float]) -> str:
    """Return a vector in pgvector's text format."""
    return f"[{','.join(f'{value:.7g}' for value in values)}]"


async def ensure_vector_space(db: Db, name: str, dimensions: int) -> int:
    """Return the id of a space, created if missing. Raises Conflict if its vectors had another length before: then the
    model behind the name has changed."""
    try:
        row = await fetch_one(
            db, "SELECT open_vector_space(%(name)s, %(dimensions)s) AS id", {"name": name, "dimensions": dimensions}
        )
    except psycopg.Error as error:
        if error.sqlstate != DIMENSIONS_CHANGED:
            raise
        problem = (
            f"{name} now returns vectors of {dimensions} dimensions, which cannot be searched with its earlier ones."
        )
        raise Conflict(f"{problem} Give the other model another name.") from error
    assert row is not None, "a function returns a row"
    return row["id"]
