"""Rows that a tenant makes and knows by their names: agents, tools, data sources. What is alike about adding, changing and
deleting them; how they are listed and found is each noun's own.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar
from uuid import UUID

from psycopg.types.json import Json

from schema.postgres.connections import Db, fetch_one

Named = TypeVar("Named")


@dataclass(frozen=True)
class NamedTable(Generic[Named]):
    """A table with a unique (tenant_id, name). `shown` is what is returned as `into`, `json` are the columns that
    hold JSON. Only those of `changeable` are ever written, so no name from outside gets into the SQL."""

    name: str
    changeable: tuple[str, ...]
    shown: str
    into: type[Named]
    json: frozenset[str]

    async def add(
        self, db: Db, tenant_id: UUID, row_id: UUID, name: str, values: Mapping[str, Any], *, created_by: str
    ) -> Named | None:
        """Insert a row with all columns of `changeable`; None if the name is taken."""
        places = ", ".join(f"%({column})s" for column in self.changeable)
        sql = f"""INSERT INTO {self.name} (tenant_id, id, name, created_by, {", ".join(self.changeable)})
          VALUES (%(tenant_id)s, %(id)s, %(name)s, %(created_by)s, {places})
          ON CONFLICT (tenant_id, name) DO NOTHING RETURNING {self.shown}"""
        about = {"tenant_id": tenant_id, "id": row_id, "name": name, "created_by": created_by}
        return await fetch_one(db, sql, about | self._packed(values), into=self.into)

    async def change(self, db: Db, tenant_id: UUID, name: str, values: Mapping[str, Any]) -> Named | None:
        """Set the given columns of `changeable` of one of the tenant's own rows and return it; None if there is none."""
        changes = ", ".join(f"{column} = %({column})s" for column in self.changeable if column in values)
        sql = f"""UPDATE {self.name} SET {changes + ", " if changes else ""}updated_at = now()
          WHERE tenant_id = %(tenant_id)s AND name = %(name)s RETURNING {self.shown}"""
        about = {"tenant_id": tenant_id, "name": name}
        return await fetch_one(db, sql, about | self._packed(values), into=self.into)

    async def delete(self, db: Db, tenant_id: UUID, name: str) -> bool:
        """Delete one of the tenant's own rows; False if there was none."""
        sql = f"DELETE FROM {self.name} WHERE tenant_id = %(tenant_id)s AND name = %(name)s RETURNING name"
        return await fetch_one(db, sql, {"tenant_id": tenant_id, "name": name}) is not None

    def _packed(self, values: Mapping[str, Any]) -> dict[str, Any]:
        return {
            column: Json(value) if column in self.json and value is not None else value
            for column, value in values.items()
        }
