"""The configuration of a tenant: its agents, tools and settings, in the version that Postgres names.

    job ──▶ its version (read with the job) ──▶ this process ──▶ Redis ──▶ Postgres

A version never changes, so nothing has to be invalidated: each change makes a new version, and the next job asks for
that. While Redis is unavailable, configurations are read from Postgres.
"""

import base64
from typing import Any
from uuid import UUID

import msgspec
import structlog

from graphs.routing.codes import patterns_of
from graphs.routing.contract import Candidate
from schema import redis_names
from schema.identity.tenancy import matches
from schema.postgres.connections import Pool
from schema.postgres.outages import retry_while_down
from schema.queries.agents.agent_config import (
    StoredAgent,
    StoredConfiguration,
    StoredDataSource,
    StoredGrant,
    StoredTool,
    read_configuration,
)
from schema.ttl_cache import TtlCache
from schema.vault import Sealed
from workers.redis.client import RedisClient, RedisUnavailable

log = structlog.get_logger()

MAX_CACHED = 256
"""Configurations that a process caches; each takes about ten kilobytes."""
REDIS_TTL_S = 3600


class AgentConfig(msgspec.Struct, frozen=True, kw_only=True):
    """An agent, with the overrides of its grant applied."""

    name: str
    description: str
    examples: list[str]
    prompt: str
    models: list[str]
    graph: str
    tools: list[str]
    output_format: str | None
    output_schema: dict[str, Any] | None
    renderer: dict[str, Any] | None
    max_steps: int
    cache_s: int


class SealedConfig(msgspec.Struct, frozen=True):
    """A sealed secret, and the row that it is bound to. `sealed` is base64."""

    tenant_id: UUID
    owner_id: UUID
    key_id: str
    sealed: str

    def read(self) -> Sealed:
        """Return it in the form that the vault opens."""
        return Sealed(self.key_id, base64.b64decode(self.sealed))


class ToolConfig(msgspec.Struct, frozen=True, kw_only=True):
    """A configured tool."""

    name: str
    definition: dict[str, Any]
    priority: int
    secret: SealedConfig | None


class DataSourceConfig(msgspec.Struct, frozen=True, kw_only=True):
    """A database that tools may read."""

    name: str
    tables: list[str]
    max_rows: int
    timeout_s: float
    ca: str | None = None
    secret: SealedConfig


class LearnedConfig(msgspec.Struct, frozen=True):
    """A question that belongs to an agent, with its approved answer if there is one."""

    agent: str
    question: str
    answer: str | None


class Configuration(msgspec.Struct, frozen=True, kw_only=True):
    """The configuration of a tenant. `tool_grants` and `model_grants` are patterns; `settings` are the tenant's own."""

    version: str
    agents: dict[str, AgentConfig]
    tools: dict[str, ToolConfig]
    data_sources: dict[str, DataSourceConfig]
    tool_grants: list[str]
    model_grants: list[str]
    settings: dict[str, Any]
    learned: list[LearnedConfig]

    def may_use_tool(self, name: str) -> bool:
        """Whether a tool in code may be used: it is granted, and the tenant has not disabled it."""
        disabled = self.settings.get("disabled_tools") or ()
        return name not in disabled and any(matches(pattern, name) for pattern in self.tool_grants)

    def may_use_model(self, name: str) -> bool:
        """Whether a model (`provider/name`) is granted."""
        return any(matches(pattern, name) for pattern in self.model_grants)


class Configurations:
    """The configurations of all tenants, cached in this process and in Redis."""

    def __init__(self, pool: Pool, redis: RedisClient) -> None:
        self._pool, self._redis = pool, redis
        self._cached: TtlCache[tuple[UUID, str], Configuration] = TtlCache(MAX_CACHED)

    async def get(self, tenant_id: UUID, version: str) -> Configuration:
        """Return a tenant's configuration in `version`, or in a newer one. Raises Unavailable."""
        found = self._cached.get((tenant_id, version)) or await self._read_from_redis(tenant_id, version)
        if found is None:
            stored = await retry_while_down(lambda: read_configuration(self._pool, tenant_id))
            found = parse_configuration(stored, tenant_id)
            await self._write_to_redis(tenant_id, found)
        self._cached.put((tenant_id, found.version), found)
        return found

    async def get_latest(self, tenant_id: UUID) -> Configuration:
        """Return a tenant's configuration as it is now, and cache it. Raises Unavailable."""
        found = parse_configuration(await read_configuration(self._pool, tenant_id), tenant_id)
        self._cached.put((tenant_id, found.version), found)
        return found

    async def _read_from_redis(self, tenant_id: UUID, version: str) -> Configuration | None:
        try:
            stored = await self._redis.call("GET", redis_names.configuration(tenant_id, version))
            return msgspec.msgpack.decode(stored, type=Configuration) if stored else None
        except (RedisUnavailable, msgspec.MsgspecError) as error:
            log.warning("configuration_not_read", error=type(error).__name__)
            return None

    async def _write_to_redis(self, tenant_id: UUID, found: Configuration) -> None:
        name = redis_names.configuration(tenant_id, found.version)
        try:
            await self._redis.call("SET", name, msgspec.msgpack.encode(found), "EX", REDIS_TTL_S)
        except RedisUnavailable:
            log.warning("configuration_not_cached")


def routing_candidates(configuration: Configuration) -> tuple[Candidate, ...]:
    """Return the agents among which the router chooses. What was learned belongs to their examples."""
    learned: dict[str, list[str]] = {}
    for one in configuration.learned:
        learned.setdefault(one.agent, []).append(one.question)
    return tuple(
        Candidate(
            agent.name,
            agent.description,
            (*agent.examples, *learned.get(agent.name, ())),
            patterns=patterns_of(_schemas(agent, configuration)),
        )
        for agent in configuration.agents.values()
    )


def _schemas(agent: AgentConfig, configuration: Configuration) -> list[dict[str, Any]]:
    """Return the schemas of an agent's configured tools."""
    tools = [configuration.tools[name] for name in agent.tools if name in configuration.tools]
    return [schema for tool in tools if isinstance(schema := tool.definition.get("parameters"), dict)]


def parse_configuration(stored: StoredConfiguration, tenant_id: UUID) -> Configuration:
    """Return a stored configuration as runs use it."""
    grants = stored.grants
    return Configuration(
        version=stored.version,
        agents={agent.name: _agent(agent, grants) for agent in stored.agents},
        tools={tool.name: _tool(tool) for tool in stored.tools},
        data_sources={source.name: _data_source(source, tenant_id) for source in stored.data_sources},
        tool_grants=[grant.name for grant in grants if grant.kind == "tool"],
        model_grants=[grant.name for grant in grants if grant.kind == "model"],
        settings=stored.settings,
        learned=[LearnedConfig(one.agent, one.question, one.answer) for one in stored.learned],
    )


OVERRIDABLE = ("output_format", "output_schema", "renderer", "models")


def _agent(agent: StoredAgent, grants: list[StoredGrant]) -> AgentConfig:
    overrides: dict[str, Any] = {}
    if not agent.own:
        for grant in grants:
            if grant.kind == "agent" and matches(grant.name, agent.name):
                overrides |= {key: grant.overrides[key] for key in OVERRIDABLE if key in grant.overrides}
    return msgspec.convert(msgspec.structs.asdict(agent) | overrides, AgentConfig)


def _tool(tool: StoredTool) -> ToolConfig:
    secret = None
    if tool.key_id is not None and tool.sealed is not None:
        secret = SealedConfig(tool.tenant_id, tool.id, tool.key_id, tool.sealed)
    return ToolConfig(name=tool.name, definition=tool.definition, priority=tool.priority, secret=secret)


def _data_source(source: StoredDataSource, tenant_id: UUID) -> DataSourceConfig:
    return DataSourceConfig(
        name=source.name,
        tables=source.tables,
        max_rows=source.max_rows,
        timeout_s=source.timeout_s,
        ca=source.ca,
        secret=SealedConfig(tenant_id, source.id, source.key_id, source.sealed),
    )
