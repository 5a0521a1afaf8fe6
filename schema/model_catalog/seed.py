"""Writes `models.json` into the rows that nobody has set. Whoever migrates does this; an admin's row is left as it is.

Not here: how that file is made (`build.py`).
"""

from decimal import Decimal
from functools import lru_cache
from pathlib import Path
from typing import Any, LiteralString, cast

import msgspec
import psycopg
from psycopg.types.json import Jsonb

from schema.model_catalog.catalog import Model

SEEDED: list[LiteralString] = [
    cast(LiteralString, name) for name in Model.__struct_fields__ if name not in ("name", "fallbacks", "updated_at")
]

IS_SEEDED = "SELECT 1 FROM models WHERE source = %s LIMIT 1"
SEED: LiteralString = f"""
INSERT INTO models (name, {", ".join(SEEDED)})
SELECT r.name, {", ".join(f"r.{name}" for name in SEEDED)} FROM jsonb_populate_recordset(NULL::models, %s) AS r
ON CONFLICT (name) DO UPDATE SET {", ".join(f"{name} = excluded.{name}" for name in SEEDED)}, updated_at = now()
  WHERE models.source IS NOT NULL
"""


@lru_cache(maxsize=1)
def seeds() -> dict[str, Model]:
    """Return the models of `models.json`, by name."""
    contents = msgspec.json.decode(Path(__file__).with_name("models.json").read_bytes())
    shared = {"source": contents["source"]}
    return {
        name: msgspec.convert({"name": name, **known, **shared}, Model, strict=False)
        for name, known in contents["models"].items()
    }


def seed_models(db: psycopg.Connection[Any]) -> bool:
    """Write the seeds, once for each version of the file; return whether anything was written. `db` is the tables' owner's."""
    source = next(iter(seeds().values())).source
    if db.execute(IS_SEEDED, (source,)).fetchone() is not None:
        return False
    rows = [{field: _plain(getattr(model, field)) for field in ("name", *SEEDED)} for model in seeds().values()]
    db.execute(SEED, (Jsonb(rows),))
    return True


def _plain(value: Any) -> Any:
    return str(value) if isinstance(value, Decimal) else value
