"""The tools that a job may use, and the context of their calls (`tools/contract.py`)."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cached_property
from uuid import UUID

import msgspec
import structlog

from schema.errors import HeadraceError, NotFound, SecretUnreadable
from schema.queries.agents.agent_config import RunInputs
from schema.queries.jobs.attempts import ClaimedJob
from schema.vault import Sealed
from tools.configured.build import build_tool
from tools.configured.definition import ToolDefinition
from tools.contract import Tool, ToolContext
from tools.data_source import DataSource, resolve_dsn
from tools.egress import EgressPolicy
from workers.agents.configuration import Configuration, SealedConfig, ToolConfig
from workers.agents.context import AgentContext
from workers.agents.memories import UserMemories
from workers.agents.text_only import AttachedImages
from workers.job_tokens import JobCaller, open_caller, read_audience
from workers.retrieval.documents import TenantDocuments

log = structlog.get_logger()

TOOL_TIMEOUT_S = 120.0
"""Most seconds of one request; tools have limits of their own."""


class JobTools(Mapping[str, Tool]):
    """The tools that a job may use, by name. Each is built when it is asked for, which may open a secret: most chats ask for
    none."""

    def __init__(self, names: Callable[[], Iterable[str]], build: Callable[[str], Tool | None]) -> None:
        self._names, self._build = names, build
        self._built: dict[str, Tool | None] = {}

    def __getitem__(self, name: str) -> Tool:
        if name not in self._built:
            self._built[name] = self._build(name)
        if (tool := self._built[name]) is None:
            raise KeyError(name)
        return tool

    def __iter__(self) -> Iterator[str]:
        return (name for name in self._names() if name in self)

    def __len__(self) -> int:
        return sum(1 for _ in self)


class ToolContextFactory:
    """The tools of one job, and the contexts of their calls. Secrets are decrypted when needed, and never stored."""

    def __init__(
        self,
        context: AgentContext,
        job: ClaimedJob,
        configuration: Configuration,
        inputs: RunInputs,
        *,
        images: AttachedImages,
    ) -> None:
        self._context, self._job, self._configuration = context, job, configuration
        self._inputs, self._images = inputs, images
        self._tenant_id: UUID = job.tenant_id

    def tools(self) -> JobTools:
        """Return the tools that the tenant may use, by name: granted tools in code, and its configured ones."""
        names = {**self._context.tools.builtin, **self._configuration.tools}
        return JobTools(lambda: names, self._find_tool)

    def priorities(self) -> dict[str, int]:
        """Return the priorities of configured tools; tools in code have 100."""
        return {name: config.priority for name, config in self._configuration.tools.items()}

    async def context(self, call_id: str) -> ToolContext:
        """Return the context of a call. Raises Unavailable."""
        job, tools = self._job, self._context.tools
        return ToolContext(
            tenant_id=str(self._tenant_id),
            user_id=str(job.user_id or ""),
            job_id=str(job.id),
            call_id=f"{job.id}:{call_id}",
            fetch=await tools.egress.client(self._tenant_id, "tools", timeout_s=TOOL_TIMEOUT_S),
            rights=tool_rights(self._caller),
            settings=tools.settings,
            job_token=self._job_token,
            provider_token=self._provider_token,
            egress=self._egress,
            embed=self._context.embedder.embed,
            memory=self._memory(),
            documents=TenantDocuments(
                self._context.searcher,
                tenant_id=self._tenant_id,
                user_id=job.user_id,
                collections=job.payload.get("collections"),
            ),
            open_database=self._open_database,
            files=self._images.read,
        )

    def _memory(self) -> UserMemories | None:
        if not self._job.user_id:
            return None
        return UserMemories(self._context.pool, self._context.embedder, self._tenant_id, self._job.user_id)

    def _find_tool(self, name: str) -> Tool | None:
        """Return a tool that may be used, and can be built."""
        config = self._configuration.tools.get(name)
        if config is not None and name not in (self._configuration.settings.get("disabled_tools") or ()):
            try:
                return self._build(config)
            except (HeadraceError, msgspec.ValidationError) as error:
                code = getattr(error, "code", "invalid_input")
                log.warning("tool_not_built", tool=name, tenant_id=str(self._tenant_id), code=code)
        return self._context.tools.builtin.get(name) if self._configuration.may_use_tool(name) else None

    def _build(self, config: ToolConfig) -> Tool:
        definition = msgspec.convert(config.definition, ToolDefinition)
        secrets = json.loads(self._open(config.secret)) if config.secret is not None else {}
        return build_tool(definition, secrets=secrets)

    def _open(self, secret: SealedConfig) -> str:
        return self._context.tools.vault.open(secret.read(), tenant_id=secret.tenant_id, owner_id=secret.owner_id)

    @cached_property
    def _caller(self) -> JobCaller | None:
        return find_caller(self._context, self._job, self._inputs)

    async def _job_token(self, url: str) -> str | None:
        if self._caller is None:
            return None
        return await self._context.tools.job_tokens.issue(self._caller, self._job.id, read_audience(url))

    async def _provider_token(self) -> str | None:
        return self._caller.provider_token if self._caller else None

    async def _egress(self) -> EgressPolicy:
        return await self._context.tools.egress.policy(self._tenant_id, "tools")

    async def _open_database(self, name: str) -> DataSource:
        config = self._configuration.data_sources.get(name)
        if config is None:
            known = ", ".join(self._configuration.data_sources) or "none"
            raise NotFound(f"No such data source: {name[:80]!r}. Data sources: {known}.")
        policy = await self._context.tools.egress.policy(self._tenant_id, "tools")
        dsn = await resolve_dsn(self._open(config.secret), policy)
        return DataSource(
            name=name,
            dsn=dsn,
            tables=dict.fromkeys(config.tables, ""),
            max_rows=config.max_rows,
            statement_timeout_s=config.timeout_s,
            ca=config.ca,
        )


def find_caller(context: AgentContext, job: ClaimedJob, inputs: RunInputs) -> JobCaller | None:
    """Return for whom the job works, with no more rights than the user has by now; None if nobody is stored."""
    if inputs.token is None:
        return None
    sealed = Sealed(inputs.token.key_id, inputs.token.sealed)
    try:
        caller = open_caller(context.tools.vault, sealed, job.tenant_id, job.id)
    except SecretUnreadable as error:
        log.warning("job_caller_unreadable", job_id=str(job.id), why=error.message)
        return None
    return caller.narrowed_to(inputs.role)


def tool_rights(caller: JobCaller | None) -> frozenset[str]:
    """Return the rights by which tools in code decide (`ToolSpec.rights`)."""
    is_admin = caller is not None and caller.role == "admin" and "tenants.manage" in caller.rights
    return frozenset({"admin"}) if is_admin else frozenset()
