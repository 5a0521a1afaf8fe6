"""The rows of models, as admins set them. Whoever needs what is known of a model asks `schema/model_catalog/catalog.py`."""

from typing import Any, Literal

import msgspec
from psycopg.types.json import Jsonb

from schema.model_catalog.catalog import COLUMNS, Model
from schema.postgres.connections import Db, fetch_all, fetch_one

Origin = Literal["set", "seed", "all"]

FIELDS = [name for name in Model.__struct_fields__ if name not in ("name", "updated_at")]
PUT = f"""
INSERT INTO models (name, {", ".join(FIELDS)}) VALUES (%(name)s, {", ".join(f"%({name})s" for name in FIELDS)})
ON CONFLICT (name) DO UPDATE SET {", ".join(f"{name} = excluded.{name}" for name in FIELDS)}, updated_at = now()
RETURNING {COLUMNS}
"""


async def list_models(db: Db, origin: Origin = "all") -> list[Model]:
    """Return the rows by name: those that admins have `set`, those that are a `seed`, or all."""
    sql = f"""SELECT {COLUMNS} FROM models
      WHERE %(origin)s = 'all' OR (source IS NULL) = (%(origin)s = 'set') ORDER BY name"""
    return await fetch_all(db, sql, {"origin": origin}, into=Model)


async def find_model(db: Db, name: str) -> Model | None:
    """Return the row of a model."""
    return await fetch_one(db, f"SELECT {COLUMNS} FROM models WHERE name = %(name)s", {"name": name}, into=Model)


async def put_model(db: Db, model: Model) -> Model:
    """Write the row of a model, whoever wrote the one before, and return it."""
    values: dict[str, Any] = msgspec.structs.asdict(model)
    row = await fetch_one(db, PUT, values | {"fallbacks": Jsonb(model.fallbacks or [])}, into=Model)
    assert row is not None
    return row


async def delete_model(db: Db, name: str) -> bool:
    """Delete what an admin has set of a model. False if none has."""
    sql = "DELETE FROM models WHERE name = %(name)s AND source IS NULL RETURNING name"
    return await fetch_one(db, sql, {"name": name}) is not None
