"""Opens and closes what a worker process holds while it works, on the worker's event loop.

Each folder defines the part that it needs (`queue/context.py`, `agents/context.py`, `ingestion/context.py`), and
functions take a part, not the whole. Nothing here is global.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace

from graphs.agents.checkpointer import TenantCheckpointer
from graphs.agents.graphs import AgentGraphs
from graphs.embeddings.local_model import LocalModel
from graphs.embeddings.registry import OpenEmbedder, open_embedder, routing_embedder, routing_glance
from graphs.fair_loop import FairLoop
from graphs.pipelines.run import PipelineGraphs
from graphs.providers.breakers import Breakers
from graphs.providers.registry import Providers
from graphs.providers.tenant_providers import TenantProviderPool
from graphs.routing.router import Router
from schema import redis_names
from schema.job_kinds import KINDS
from schema.metrics.catalog import WORKER_SLOTS
from schema.model_catalog.catalog import Catalogs
from schema.postgres.connections import Pool, pool_for
from schema.postgres.logins import Role
from schema.queries.identity.secrets import check_keys
from schema.queries.tenants.egress_grants import read_egress_hosts
from tools.documents.reader_pool import ReaderPool
from tools.egress import TenantEgress
from tools.registry import builtin_tools
from workers.agents.attachments import AttachedFiles
from workers.agents.configuration import Configurations
from workers.agents.context import AgentContext, ModelContext, ToolResources
from workers.agents.routing_readiness import RoutedTenants, routing_ready
from workers.agents.routing_vectors import RoutingVectors
from workers.agents.warm_model import default_model_warm
from workers.batches.context import BatchContext
from workers.embedding.pool import EmbedderPool
from workers.embedding.protocol import EmbeddingQueue
from workers.embedding.server import EmbeddingServer
from workers.figures import figures_written
from workers.health.loop_lag import LoopLag
from workers.health.reports import QueueReport, Reporter
from workers.ingestion.context import IngestionContext
from workers.job_tokens import JobTokens
from workers.process_limits import return_free_memory
from workers.queue.context import QueueContext
from workers.queue.dispatch import Dispatcher
from workers.queue.errors import retry_delay_s
from workers.queue.job_core import limits_over, open_bells
from workers.queue.leases import owner_name
from workers.queue.running import RunningAttempts
from workers.redis.address import RedisAddress
from workers.redis.client import RedisClient
from workers.retrieval.reranking import CrossEncoder
from workers.retrieval.search import Searcher
from workers.settings import WorkerSettings
from workers.signing_keys import SigningKeys
from workers.storage.factory import open_storage
from workers.stream.changes import Changes
from workers.stream.pubsub import Subscriber
from workers.stream.relay import Relay
from workers.webhooks.deliverer import Deliverer

POOL_SIZE = 16
CHAT, INGESTION, BATCHES = (KINDS[kind].queue for kind in ("chat", "ingestion", "batch"))
DELIVERERS = KINDS["pipeline"].queue
"""The queue whose workers deliver webhooks, too: they wait more than they compute, as its jobs do."""
READERS = 2
"""Files that one worker process reads at the same time, each in a child process."""
IDLE_S = 60.0
"""After how long without a text the weights of a local embedder are unloaded."""
BULK_CHARS = 12_000
"""Characters in one call of a local embedder when no question waits: half a second, fifteen chunks."""


@dataclass(frozen=True)
class WorkerContext:
    """The opened resources of one worker process, in parts. `ingestion` and `batches` are None in workers that serve another
    queue."""

    settings: WorkerSettings
    queue: QueueContext
    agents: AgentContext
    ingestion: IngestionContext | None
    batches: BatchContext | None
    reporter: Reporter


@asynccontextmanager
async def open_worker_context(settings: WorkerSettings, queue: str, node: str) -> AsyncIterator[WorkerContext]:
    """Open everything, and close it in reverse order. No store has to be available yet."""
    async with AsyncExitStack() as stack:
        pool = await _open_pool(stack, settings, "headrace_app", f"headrace {queue}")
        await check_keys(pool, settings.vault)
        redis = RedisClient(RedisAddress.from_url(settings.redis_url))
        stack.push_async_callback(redis.close)
        providers = await stack.enter_async_context(Providers(settings.providers))
        embedding = await _open_embedding(stack, settings, pool, providers, bulk=queue == INGESTION)
        catalogs = Catalogs(pool)
        agents = await _open_agents(stack, settings, pool, redis, catalogs, providers, embedding)
        egress = agents.models.egress
        ingestion = None
        if queue == INGESTION:
            changes = Changes(redis)
            ingestion = await _open_ingestion(stack, settings, pool, embedding.embedders, egress, changes)
        if queue == CHAT:
            address = RedisAddress.from_url(settings.redis_url)
            ready = routing_ready(agents.router, agents.configurations, agents.routed, address)
            await stack.enter_async_context(ready)
            await stack.enter_async_context(default_model_warm(providers))
        jobs = await _open_queue(stack, settings, pool, redis, catalogs, queue=queue, node=node)
        if queue == DELIVERERS:
            await _open_deliverer(stack, settings, pool, egress)
        WORKER_SLOTS.of(queue).set(settings.queue_concurrency(queue))
        await stack.enter_async_context(figures_written(pool))
        agents, reporter = await _report(stack, redis, jobs, agents)
        batches = None
        if queue == BATCHES:
            batches = BatchContext(pool, redis, await stack.enter_async_context(open_storage(settings.storage)))
        yield WorkerContext(settings, jobs, agents, ingestion, batches, reporter)


async def _report(
    stack: AsyncExitStack, redis: RedisClient, jobs: QueueContext, agents: AgentContext
) -> tuple[AgentContext, Reporter]:
    """Report how this process is, from now on; return the context whose models avoid vendors that fail."""
    lag, running = LoopLag(jobs.name), jobs.running
    stack.callback(asyncio.create_task(lag.measure(), name="loop lag").cancel)

    def report() -> QueueReport:
        return QueueReport(jobs.name, jobs.slots, len(running), running.loop.time() - running.last_message_at)

    def let_through(provider: str) -> None:
        agents.models.breakers.let_through(f"/{provider}")

    reporter = Reporter(redis, jobs.name, jobs.owner, lag, queue=report, on_back=let_through)
    await stack.enter_async_context(reporter)
    return replace(agents, models=replace(agents.models, avoided=lambda: reporter.avoided)), reporter


async def _open_pool(
    stack: AsyncExitStack, settings: WorkerSettings, role: Role, name: str, *, max_size: int = POOL_SIZE, kept: int = 1
) -> Pool:
    pool = pool_for(settings.role_database_url(role), role, max_size=max_size, kept=kept, name=name)
    await pool.open()
    stack.push_async_callback(pool.close)
    return pool


async def _open_queue(
    stack: AsyncExitStack,
    settings: WorkerSettings,
    pool: Pool,
    redis: RedisClient,
    catalogs: Catalogs,
    *,
    queue: str,
    node: str,
) -> QueueContext:
    system_pool = await _open_pool(stack, settings, "headrace_system", f"headrace {queue} dispatch", max_size=3, kept=0)
    return QueueContext(
        name=queue,
        node=node,
        owner=owner_name(queue),
        slots=settings.queue_concurrency(queue),
        lease_s=settings.lease_s,
        pool=pool,
        relay=Relay(redis),
        limits=limits_over(redis, pool),
        catalogs=catalogs,
        dispatcher=Dispatcher(
            system_pool, redis, window=settings.window, bells=open_bells(settings.broker_url, redis, stack)
        ),
        running=await _open_running(stack, settings),
        fair_loop=FairLoop(),
    )


async def _open_running(stack: AsyncExitStack, settings: WorkerSettings) -> RunningAttempts:
    """Return the registry of attempts, subscribed to the control channel."""
    running = RunningAttempts()
    subscriber = Subscriber(RedisAddress.from_url(settings.redis_url), running.on_command)
    subscriber.start()
    stack.push_async_callback(subscriber.close)
    await subscriber.subscribe(redis_names.CONTROL)
    return running


@dataclass(frozen=True)
class _Embedding:
    embedder: OpenEmbedder
    embedders: EmbedderPool
    searcher: Searcher


async def _open_embedding(
    stack: AsyncExitStack, settings: WorkerSettings, pool: Pool, providers: Providers, *, bulk: bool
) -> _Embedding:
    """Open the embedders, and serve them over Redis: to searches, or with `bulk` to other callers."""
    embedder = open_embedder(settings.embedder, providers.get)
    _unload_when_idle(embedder)
    embedders = EmbedderPool(
        pool,
        settings.embedder,
        embedder,
        providers.get,
        retry_delay_s=retry_delay_s if bulk else None,
        max_chars=BULK_CHARS if bulk else None,
    )
    stack.push_async_callback(embedders.aclose)
    reranker = CrossEncoder(settings.reranker) if settings.reranker else None
    address = RedisAddress.from_url(settings.redis_url)
    queue: EmbeddingQueue = "bulk" if bulk else "query"
    await stack.enter_async_context(EmbeddingServer(address, embedders, queues=(queue,), reranker=reranker))
    return _Embedding(embedder, embedders, Searcher(pool, embedders, reranker))


def _unload_when_idle(opened: OpenEmbedder) -> None:
    """Most questions are routed at a glance and search nothing, so that a process at rest needs no weights."""
    if isinstance(opened.embedder, LocalModel):
        opened.embedder.unload_when_idle(IDLE_S, return_free_memory)


async def _open_agents(
    stack: AsyncExitStack,
    settings: WorkerSettings,
    pool: Pool,
    redis: RedisClient,
    catalogs: Catalogs,
    providers: Providers,
    embedding: _Embedding,
) -> AgentContext:
    egress = TenantEgress(settings.egress, lambda tenant_id: read_egress_hosts(pool, tenant_id))
    stack.push_async_callback(egress.aclose)
    tenant_providers = TenantProviderPool(providers, settings.vault, settings.egress)
    await stack.enter_async_context(tenant_providers)
    checkpointer = TenantCheckpointer(pool)
    agent_graphs = AgentGraphs(checkpointer)
    compares_by = routing_embedder(embedding.embedder)
    _unload_when_idle(compares_by)
    return AgentContext(
        pool=pool,
        models=ModelContext(providers, tenant_providers, Breakers(), egress, catalogs),
        agent_graphs=agent_graphs,
        pipeline_graphs=PipelineGraphs(checkpointer, agent_graphs),
        configurations=Configurations(pool, redis),
        router=Router(
            compares_by,
            store=RoutingVectors(redis, compares_by.space, await compares_by.measure()),
            glance=routing_glance(),
        ),
        routed=RoutedTenants(redis),
        embedder=embedding.embedder,
        searcher=embedding.searcher,
        attachments=await stack.enter_async_context(AttachedFiles(pool, settings.storage)),
        tools=ToolResources(
            builtin_tools(), settings.tools, egress, settings.vault, JobTokens(SigningKeys(pool, settings.vault))
        ),
    )


async def _open_ingestion(
    stack: AsyncExitStack,
    settings: WorkerSettings,
    pool: Pool,
    embedders: EmbedderPool,
    egress: TenantEgress,
    changes: Changes,
) -> IngestionContext:
    storage = await stack.enter_async_context(open_storage(settings.storage))
    reader = await stack.enter_async_context(ReaderPool(slots=READERS))
    return IngestionContext(pool, storage, reader, embedders, egress, settings.uploads, changes)


async def _open_deliverer(stack: AsyncExitStack, settings: WorkerSettings, pool: Pool, egress: TenantEgress) -> None:
    system_pool = await _open_pool(stack, settings, "headrace_system", "headrace webhooks", max_size=2, kept=1)
    address = RedisAddress.from_url(settings.redis_url)
    deliverer = Deliverer(pool, system_pool, egress, settings.vault, address, owner=owner_name("webhooks"))
    await stack.enter_async_context(deliverer)
