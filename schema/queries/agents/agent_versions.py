"""What an agent was after each of its last changes. A trigger of migration 0039 keeps them."""

from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from schema.postgres.connections import Db, fetch_all, fetch_one

COLUMNS = "v.version, v.definition, v.created_at, v.created_by"
OF_AGENT = """FROM agent_versions v JOIN agents a ON a.tenant_id = v.tenant_id AND a.id = v.agent_id
  WHERE a.tenant_id = %(tenant_id)s AND a.name = %(name)s"""


class AgentVersion(msgspec.Struct, frozen=True, kw_only=True):
    """A version. `definition` has the fields that can be changed; `created_by` is who changed it, None is not known."""

    version: int
    definition: dict[str, Any]
    created_at: datetime
    created_by: str | None


async def list_agent_versions(db: Db, tenant_id: UUID, name: str) -> list[AgentVersion]:
    """Return the versions of an agent that are kept, the newest first."""
    sql = f"SELECT {COLUMNS} {OF_AGENT} ORDER BY v.version DESC"
    return await fetch_all(db, sql, {"tenant_id": tenant_id, "name": name}, into=AgentVersion)


async def find_agent_version(db: Db, tenant_id: UUID, name: str, version: int) -> AgentVersion | None:
    """Return one version of an agent."""
    sql = f"SELECT {COLUMNS} {OF_AGENT} AND v.version = %(version)s"
    return await fetch_one(db, sql, {"tenant_id": tenant_id, "name": name, "version": version}, into=AgentVersion)


async def name_actor(db: Db, actor: str) -> None:
    """Say who makes the changes of this transaction, for the versions that it adds."""
    await db.execute("SELECT set_config('headrace.actor', %s, true)", (actor,))
