"""A tenant's whole configuration as one reading, and what one run of an agent needs besides."""

from typing import Any
from uuid import UUID

import msgspec

from schema.identity.rights import Role
from schema.postgres.batch import Rows, run_batch
from schema.postgres.connections import Pool

VERSION = "SELECT config_version(%(tenant_id)s::uuid) AS version"

# The platform's rows are those that are granted (row-level security); the tenant's own hide them, switched off or not.
AGENTS = """
SELECT * FROM (
  SELECT DISTINCT ON (name) name, description, examples, prompt, models, graph, tools, output_format, output_schema,
    renderer, max_steps, cache_s, enabled, tenant_id = %(tenant_id)s::uuid AS own
  FROM agents ORDER BY name, own DESC) AS mine
WHERE enabled ORDER BY name
"""
TOOLS = """
SELECT * FROM (
  SELECT DISTINCT ON (name) tenant_id, id, name, definition, priority, enabled, key_id,
    encode(sealed, 'base64') AS sealed, tenant_id = %(tenant_id)s::uuid AS own
  FROM tools ORDER BY name, own DESC) AS mine
WHERE enabled ORDER BY name
"""
DATA_SOURCES = """
SELECT id, name, description, tables, max_rows, timeout_s, ca, key_id, encode(sealed, 'base64') AS sealed
FROM data_sources WHERE tenant_id = %(tenant_id)s ORDER BY name
"""
SETTINGS = "SELECT settings FROM configurations WHERE tenant_id = %(tenant_id)s"
GRANTS = "SELECT kind, name, overrides FROM grants WHERE tenant_id = %(tenant_id)s ORDER BY kind, name"
LEARNED_EXAMPLES = """
SELECT agent, question, answer FROM (
  SELECT agent, question, answer, created_at FROM learned_examples WHERE tenant_id = %(tenant_id)s
  ORDER BY created_at DESC LIMIT 500) AS newest ORDER BY created_at
"""
CONFIGURATION_QUERIES = {
    "version": VERSION,
    "agents": AGENTS,
    "tools": TOOLS,
    "data_sources": DATA_SOURCES,
    "settings": SETTINGS,
    "grants": GRANTS,
    "learned": LEARNED_EXAMPLES,
}

CREDENTIALS = """
SELECT id, service, base_url, key_id, sealed FROM credentials WHERE tenant_id = %(tenant_id)s ORDER BY service
"""
RUN_FACTS = """
SELECT config_version(%(tenant_id)s::uuid) AS version,
  coalesce((SELECT k.version FROM knowledge k WHERE k.tenant_id = %(tenant_id)s::uuid), 0) AS knowledge,
  (SELECT count(*) FROM memories m WHERE m.tenant_id = %(tenant_id)s::uuid
    AND m.user_id IS NOT DISTINCT FROM %(user_id)s::uuid) AS memories,
  (SELECT u.role FROM users u WHERE u.tenant_id = %(tenant_id)s::uuid AND u.id = %(user_id)s::uuid) AS role,
  (SELECT m.agent FROM messages m WHERE m.tenant_id = %(tenant_id)s::uuid AND m.session_id = %(session_id)s::uuid
      AND m.role = 'assistant'
    ORDER BY m.turn DESC, m.ordinal DESC LIMIT 1) AS last_agent,
  s.summary, s.summary_turn, c.key_id, c.sealed
FROM (SELECT 1) AS one
  LEFT JOIN sessions s ON s.tenant_id = %(tenant_id)s::uuid AND s.id = %(session_id)s::uuid
  LEFT JOIN job_secrets c ON c.tenant_id = %(tenant_id)s::uuid AND c.job_id = %(job_id)s::uuid
"""


class StoredAgent(msgspec.Struct, frozen=True):
    """An agent that the tenant has; `own` is not one of the platform's."""

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
    own: bool


class StoredTool(msgspec.Struct, frozen=True):
    """A configured tool, the platform's or the tenant's own; `sealed` is base64."""

    tenant_id: UUID
    id: UUID
    name: str
    definition: dict[str, Any]
    priority: int
    key_id: str | None
    sealed: str | None


class StoredDataSource(msgspec.Struct, frozen=True):
    """A database that tools may read; `sealed` is base64."""

    id: UUID
    name: str
    tables: list[str]
    max_rows: int
    timeout_s: float
    ca: str | None
    key_id: str
    sealed: str


class StoredGrant(msgspec.Struct, frozen=True):
    """What the tenant may use: a pattern of names, and what it changes of agents."""

    kind: str
    name: str
    overrides: dict[str, Any]


class StoredExample(msgspec.Struct, frozen=True):
    """A question that belongs to an agent; with an answer, one that was approved."""

    agent: str
    question: str
    answer: str | None


class StoredConfiguration(msgspec.Struct, frozen=True, kw_only=True):
    """A tenant's whole configuration as it is stored, all of one moment."""

    version: str
    agents: list[StoredAgent]
    tools: list[StoredTool]
    data_sources: list[StoredDataSource]
    settings: dict[str, Any]
    grants: list[StoredGrant]
    learned: list[StoredExample]


class ProviderCredential(msgspec.Struct, frozen=True):
    """A tenant's own key for a model provider, as it is stored: sealed."""

    id: UUID
    service: str
    base_url: str | None
    key_id: str
    sealed: bytes


class SealedToken(msgspec.Struct, frozen=True):
    """The token of a job's caller, as it is stored: sealed."""

    key_id: str
    sealed: bytes


class RunInputs(msgspec.Struct, frozen=True, kw_only=True):
    """What one run of an agent needs: the versions of the tenant's configuration and documents, its own credentials, the
    caller with their role, what the session was summed up to and who answered in it last, how many memories there are."""

    version: str
    knowledge: int
    credentials: list[ProviderCredential]
    token: SealedToken | None
    summary: str | None
    summary_turn: int | None
    last_agent: str | None
    memories: int
    role: Role | None


async def read_configuration(pool: Pool, tenant_id: UUID) -> StoredConfiguration:
    """Return the tenant's configuration."""
    rows = await _read(pool, tenant_id, CONFIGURATION_QUERIES, {"tenant_id": tenant_id})
    ((version,),) = rows["version"].values
    settings: list[dict[str, Any]] = [found for (found,) in rows["settings"].values]
    return StoredConfiguration(
        version=version,
        agents=rows["agents"].into(StoredAgent),
        tools=rows["tools"].into(StoredTool),
        data_sources=rows["data_sources"].into(StoredDataSource),
        settings=settings[0] if settings else {},
        grants=rows["grants"].into(StoredGrant),
        learned=rows["learned"].into(StoredExample),
    )


async def read_run_inputs(
    pool: Pool, tenant_id: UUID, *, job_id: UUID, session_id: UUID | None, user_id: UUID | None
) -> RunInputs:
    """Return what the run of one job needs."""
    values = {"tenant_id": tenant_id, "job_id": job_id, "session_id": session_id, "user_id": user_id}
    rows, credentials = await run_batch(pool, tenant_id, [(RUN_FACTS, values), (CREDENTIALS, values)])
    facts = rows.first()
    key_id, sealed = facts.pop("key_id"), facts.pop("sealed")
    token = SealedToken(key_id, sealed) if key_id is not None else None
    return RunInputs(**facts, credentials=credentials.into(ProviderCredential), token=token)


async def _read(pool: Pool, tenant_id: UUID, parts: dict[str, str], values: dict[str, Any]) -> dict[str, Rows]:
    results = await run_batch(pool, tenant_id, [(sql, values) for sql in parts.values()])
    return dict(zip(parts, results, strict=True))
