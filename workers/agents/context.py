"""What answering needs of its worker process: models, graphs, tools and the configurations of tenants. Opened in
`workers/context.py`."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field

from graphs.agents.graphs import AgentGraphs
from graphs.embeddings.registry import OpenEmbedder
from graphs.pipelines.run import PipelineGraphs
from graphs.providers.breakers import Breakers
from graphs.providers.contract import Provider
from graphs.providers.registry import Providers
from graphs.providers.tenant_providers import TenantCredential, TenantProviderPool
from graphs.routing.router import Router
from schema.model_catalog.catalog import Catalogs
from schema.postgres.connections import Pool
from schema.queries.jobs.attempts import ClaimedJob
from schema.vault import Sealed, Vault
from tools.contract import Tool
from tools.egress import TenantEgress
from workers.agents.attachments import AttachedFiles
from workers.agents.configuration import Configurations
from workers.agents.routing_readiness import RoutedTenants
from workers.job_tokens import JobTokens
from workers.retrieval.search import Searcher


@dataclass(frozen=True)
class ModelContext:
    """The model providers, the installation's and those of tenants' own credentials, and what is known of models. `avoided`
    returns the providers that fail: models of others are tried first."""

    providers: Providers
    tenant_providers: TenantProviderPool
    breakers: Breakers
    egress: TenantEgress
    catalogs: Catalogs
    avoided: Callable[[], Collection[str]] = frozenset

    async def get_provider(self, job: ClaimedJob) -> Provider:
        """Return the provider of a claimed job's model: with the tenant's own key if it has stored one, else the
        installation's. Raises ProviderUnknown, SecretUnreadable."""
        own = job.credential
        if own is None:
            return self.providers.get(job.model.partition("/")[0])
        sealed = Sealed(own.key_id, own.sealed)
        hosts = tuple(await self.egress.hosts(job.tenant_id, "providers")) if own.base_url else ()
        return self.tenant_providers.provider(
            TenantCredential(job.tenant_id, own.id, own.service, own.base_url, sealed, hosts)
        )


@dataclass(frozen=True)
class ToolResources:
    """What tools are built from and given: tools in code, settings, and what each tenant may reach."""

    builtin: Mapping[str, Tool]
    settings: Mapping[str, str] = field(repr=False)
    egress: TenantEgress
    vault: Vault
    job_tokens: JobTokens


@dataclass(frozen=True)
class AgentContext:
    """The resources that chats, agents and pipelines share. `pool` sees one tenant at a time."""

    pool: Pool
    models: ModelContext
    agent_graphs: AgentGraphs
    pipeline_graphs: PipelineGraphs
    configurations: Configurations
    router: Router
    routed: RoutedTenants
    embedder: OpenEmbedder
    searcher: Searcher
    attachments: AttachedFiles
    tools: ToolResources
