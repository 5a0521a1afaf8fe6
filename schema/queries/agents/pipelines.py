"""Tenants' own pipelines and their versions. A version is never changed; jobs name the one that they run."""

from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from psycopg.types.json import Json

from schema.postgres.connections import Db, fetch_all, fetch_one


class Pipeline(msgspec.Struct, frozen=True, kw_only=True):
    """A tenant's own pipeline; `version` is its newest."""

    id: UUID
    name: str
    description: str
    version: int
    created_at: datetime
    updated_at: datetime
    created_by: str | None


class DefinedPipeline(Pipeline, frozen=True, kw_only=True):
    """A pipeline with the definition of its version."""

    definition: dict[str, Any]


class PipelineVersion(msgspec.Struct, frozen=True, kw_only=True):
    """One version of a pipeline."""

    version: int
    definition: dict[str, Any]
    created_at: datetime
    created_by: str | None


COLUMNS = "id, name, description, version, created_at, updated_at, created_by"

ADD = f"""
WITH added AS (
  INSERT INTO pipelines (tenant_id, id, name, description, version, definition, created_by)
  SELECT %(tenant_id)s, %(id)s, %(name)s, %(description)s, 1, %(definition)s, %(by)s
  WHERE (SELECT count(*) FROM pipelines WHERE tenant_id = %(tenant_id)s) < %(most)s
  ON CONFLICT (tenant_id, name) DO NOTHING RETURNING {COLUMNS}, definition)
SELECT * FROM added
"""

# Definitions are compared as JSON, so one that is sent again as it is makes no version.
CHANGE = f"""
UPDATE pipelines SET name = %(name)s, description = %(description)s, definition = %(definition)s, version = version + 1,
  updated_at = now()
WHERE tenant_id = %(tenant_id)s AND id = %(id)s AND definition::text IS DISTINCT FROM %(definition)s::json::text
RETURNING {COLUMNS}, definition
"""

ADD_VERSION = """
INSERT INTO pipeline_versions (tenant_id, pipeline_id, version, definition, created_by)
VALUES (%(tenant_id)s, %(id)s, %(version)s, %(definition)s, %(by)s)
"""

BY_ID_OR_NAME = "(id = %(id)s::uuid OR (%(id)s::uuid IS NULL AND name = %(name)s))"


async def list_pipelines(db: Db, tenant_id: UUID) -> list[Pipeline]:
    """Return the tenant's pipelines by name, without their definitions."""
    sql = f'SELECT {COLUMNS} FROM pipelines WHERE tenant_id = %(tenant_id)s ORDER BY name COLLATE "C"'
    return await fetch_all(db, sql, {"tenant_id": tenant_id}, into=Pipeline)


async def find_pipeline(db: Db, tenant_id: UUID, name: str, pipeline_id: UUID | None = None) -> DefinedPipeline | None:
    """Return a pipeline with its newest definition, by its id if there is one, else by its name."""
    sql = f"SELECT {COLUMNS}, definition FROM pipelines WHERE tenant_id = %(tenant_id)s AND {BY_ID_OR_NAME}"
    values = {"tenant_id": tenant_id, "id": pipeline_id, "name": name}
    return await fetch_one(db, sql, values, into=DefinedPipeline)


async def find_version(db: Db, tenant_id: UUID, pipeline_id: UUID, version: int) -> PipelineVersion | None:
    """Return one version."""
    sql = """SELECT version, definition, created_at, created_by FROM pipeline_versions
      WHERE tenant_id = %(tenant_id)s AND pipeline_id = %(id)s AND version = %(version)s"""
    values = {"tenant_id": tenant_id, "id": pipeline_id, "version": version}
    return await fetch_one(db, sql, values, into=PipelineVersion)


async def list_versions(
    db: Db, tenant_id: UUID, pipeline_id: UUID, *, limit: int, before: int | None = None
) -> list[PipelineVersion]:
    """Return versions with their definitions, the newest first; `before` is the last number of the page before."""
    sql = """SELECT version, definition, created_at, created_by FROM pipeline_versions
      WHERE tenant_id = %(tenant_id)s AND pipeline_id = %(id)s AND (%(before)s::int IS NULL OR version < %(before)s::int)
      ORDER BY version DESC LIMIT %(limit)s"""
    values = {"tenant_id": tenant_id, "id": pipeline_id, "limit": limit, "before": before}
    return await fetch_all(db, sql, values, into=PipelineVersion)


async def add_pipeline(
    db: Db, tenant_id: UUID, pipeline_id: UUID, definition: dict[str, Any], *, most: int, created_by: str
) -> DefinedPipeline | None:
    """Insert a pipeline and its version 1; None if its name is taken, or the tenant has `most` already."""
    values = _values(tenant_id, pipeline_id, definition, created_by) | {"most": most}
    row = await fetch_one(db, ADD, values, into=DefinedPipeline)
    if row is not None:
        await db.execute(ADD_VERSION, values | {"version": 1})
    return row


async def change_pipeline(
    db: Db, tenant_id: UUID, pipeline_id: UUID, definition: dict[str, Any], *, created_by: str
) -> DefinedPipeline | None:
    """Make a definition the newest version; None if it is the newest already. Raises psycopg.errors.UniqueViolation for a
    name that another pipeline has."""
    values = _values(tenant_id, pipeline_id, definition, created_by)
    row = await fetch_one(db, CHANGE, values, into=DefinedPipeline)
    if row is not None:
        await db.execute(ADD_VERSION, values | {"version": row.version})
    return row


async def delete_pipeline(db: Db, tenant_id: UUID, pipeline_id: UUID) -> bool:
    """Delete a pipeline with all its versions; False if it is not there."""
    sql = "DELETE FROM pipelines WHERE tenant_id = %(tenant_id)s AND id = %(id)s RETURNING id"
    return await fetch_one(db, sql, {"tenant_id": tenant_id, "id": pipeline_id}) is not None


def _values(tenant_id: UUID, pipeline_id: UUID, definition: dict[str, Any], by: str) -> dict[str, Any]:
    about = {"name": definition["name"], "description": definition.get("description", "")}
    return {"tenant_id": tenant_id, "id": pipeline_id, "definition": Json(definition), "by": by, **about}
