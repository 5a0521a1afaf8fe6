"""Tables that admins and tenants configure: agents, tools, data sources, pipelines, and tenant settings.

Rows of the tenant `platform` are shared: tenants see those that are granted to them (migration 0003). Every change increments
`tenants.config_version`, which invalidates cached configurations (`workers/agents/configuration.py`).
"""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, UniqueConstraint, text
from sqlmodel import Field

from schema.tables.base import Table
from schema.tables.columns import json, ordered_json, tenant_key, timestamp, within_tenant
from schema.tool_kinds import TOOL_KINDS

GRAPHS = ("auto", "chat", "react", "plan_execute", "supervisor")


def _check_in(column: str, names: tuple[str, ...]) -> str:
    return f"{column} IN ({', '.join(repr(name) for name in names)})"


class Agent(Table, table=True):
    """An agent. `tools` are names; `models` are tried in order, and if empty, the tenant's default model is used."""

    __tablename__ = "agents"
    __table_args__ = (
        UniqueConstraint("tenant_id", "name", name="agents_name"),
        CheckConstraint(_check_in("graph", GRAPHS), name="agents_graph"),
    )

    tenant_id: UUID = tenant_key()
    id: UUID = Field(primary_key=True)
    name: str
    description: str
    examples: list[str] = json(nullable=False)
    prompt: str
    models: list[str] = json(nullable=False)
    graph: str = Field(sa_column_kwargs={"server_default": text("'auto'")})
    tools: list[str] = json(nullable=False)
    output_format: str | None = None
    output_schema: dict[str, Any] | None = ordered_json()
    renderer: dict[str, Any] | None = json()
    max_steps: int = Field(sa_column_kwargs={"server_default": text("5")})
    cache_s: int = Field(sa_column_kwargs={"server_default": text("0")})
    enabled: bool = Field(sa_column_kwargs={"server_default": text("true")})
    created_at: datetime = timestamp(default=True)
    updated_at: datetime = timestamp(default=True)
    created_by: str | None = None


class AgentVersion(Table, table=True):
    """An agent as it was after a change; a trigger keeps the last 50 (migration 0039)."""

    __tablename__ = "agent_versions"
    __table_args__ = (within_tenant(["agent_id"], "agents", keys=["id"]),)

    tenant_id: UUID = tenant_key(references=False)
    agent_id: UUID = Field(primary_key=True)
    version: int = Field(primary_key=True)
    definition: dict[str, Any] = ordered_json(nullable=False)
    created_at: datetime = timestamp(default=True)
    created_by: str | None = None


class ToolRow(Table, table=True):
    """A configured tool (`tools/configured/definition.py`). `sealed` contains its secrets as one JSON object."""

    __tablename__ = "tools"
    __table_args__ = (
        UniqueConstraint("tenant_id", "name", name="tools_name"),
        CheckConstraint(_check_in("kind", TOOL_KINDS), name="tools_kind"),
    )

    tenant_id: UUID = tenant_key()
    id: UUID = Field(primary_key=True)
    name: str
    kind: str
    definition: dict[str, Any] = ordered_json(nullable=False)
    priority: int = Field(sa_column_kwargs={"server_default": text("100")})
    enabled: bool = Field(sa_column_kwargs={"server_default": text("true")})
    key_id: str | None = None
    sealed: bytes | None = None
    created_at: datetime = timestamp(default=True)
    updated_at: datetime = timestamp(default=True)
    created_by: str | None = None


class DataSource(Table, table=True):
    """A tenant's database that tools may read. `sealed` is its DSN; only `tables` may be read. `ca`: the
    authority (PEM) that its server is checked with."""

    __tablename__ = "data_sources"
    __table_args__ = (UniqueConstraint("tenant_id", "name", name="data_sources_name"),)

    tenant_id: UUID = tenant_key()
    id: UUID = Field(primary_key=True)
    name: str
    description: str = Field(sa_column_kwargs={"server_default": text("''")})
    tables: list[str] = json(nullable=False)
    max_rows: int = Field(sa_column_kwargs={"server_default": text("200")})
    timeout_s: float = Field(sa_column_kwargs={"server_default": text("10")})
    ca: str | None = None
    key_id: str
    sealed: bytes
    created_at: datetime = timestamp(default=True)
    updated_at: datetime = timestamp(default=True)
    created_by: str | None = None


class Configuration(Table, table=True):
    """A tenant's settings for all its agents: persona, enabled tools, and defaults. Without a row, all are defaults."""

    __tablename__ = "configurations"

    tenant_id: UUID = tenant_key()
    settings: dict[str, Any] = json(nullable=False)
    updated_at: datetime = timestamp(default=True)
    updated_by: str | None = None


class Pipeline(Table, table=True):
    """A tenant's pipeline in its newest version."""

    __tablename__ = "pipelines"
    __table_args__ = (UniqueConstraint("tenant_id", "name", name="pipelines_name"),)

    tenant_id: UUID = tenant_key()
    id: UUID = Field(primary_key=True)
    name: str
    description: str = Field(sa_column_kwargs={"server_default": text("''")})
    version: int
    definition: dict[str, Any] = ordered_json(nullable=False)
    created_at: datetime = timestamp(default=True)
    updated_at: datetime = timestamp(default=True)
    created_by: str | None = None


class PipelineVersion(Table, table=True):
    """A version of a pipeline; jobs refer to the version that they run."""

    __tablename__ = "pipeline_versions"
    __table_args__ = (within_tenant(["pipeline_id"], "pipelines", keys=["id"]),)

    tenant_id: UUID = tenant_key(references=False)
    pipeline_id: UUID = Field(primary_key=True)
    version: int = Field(primary_key=True)
    definition: dict[str, Any] = ordered_json(nullable=False)
    created_at: datetime = timestamp(default=True)
    created_by: str | None = None
