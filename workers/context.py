"""What a worker process holds while it works: stores, relay, model providers, graphs, and the attempts that run here.

Opened on the worker's event loop after the process has started, and passed down; nothing here is global.
"""

import asyncio
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Literal, Protocol
from uuid import UUID

import msgspec
import structlog

from graphs.agents.checkpointer import TenantCheckpointer
from graphs.agents.graphs import AgentGraphs
from graphs.embeddings.registry import open_embedder
from graphs.providers.breakers import Breakers
from graphs.providers.contract import Provider
from graphs.providers.registry import Providers
from graphs.providers.settings import ProviderSettings
from graphs.providers.tenant_providers import TenantCredential, TenantProviderPool
from graphs.routing.router import Router
from graphs.runner import Graphs
from schema import redis_names
from schema.db import Pool, pool_for
from schema.job_kinds import KINDS
from schema.queries.identity.secrets import check_keys
from schema.queries.jobs.attempts import ClaimedJob
from schema.states import CancelMode
from schema.vault import Sealed, Vault
from tools.documents.reader_pool import ReaderPool
from tools.egress import EgressPolicy, open_client
from tools.registry import builtin_tools
from workers.agents.configuration import Configurations
from workers.embedding.pool import EmbedderPool
from workers.embedding.protocol import Lane
from workers.embedding.server import EmbeddingServer
from workers.queue.control import CancelCommand
from workers.queue.dispatch import WINDOW, Dispatcher
from workers.queue.errors import retry_delay_s
from workers.queue.job_core import limits_over
from workers.queue.leases import owner_name
from workers.redis.client import RedisClient
from workers.redis.connection import RedisAddress
from workers.retrieval.reranking import CrossEncoder
from workers.retrieval.search import Searcher
from workers.storage.contract import Storage
from workers.storage.factory import open_storage
from workers.storage.settings import StorageSettings
from workers.stream.pubsub import Subscriber
from workers.stream.relay import Relay

log = structlog.get_logger()

INGESTION = KINDS["ingestion"].queue
READERS = 2
"""Files that one worker process reads at the same time, each in a child of its own."""
BULK_CHARS = 12_000
"""Of one call of a local embedder where nobody waits for a question: half a second, fifteen chunks."""
TOOLS_S = 120.0
"""The longest that a tool may wait for an answer; each is held to its own time."""


@dataclass(frozen=True)
class WorkerSettings:
    """What a worker process needs to know. Times in seconds."""

    database_url: str = field(repr=False)
    redis_url: str = field(repr=False)
    providers: ProviderSettings = field(default_factory=ProviderSettings)
    concurrency: int = 300
    ingestion_concurrency: int = 8
    lease_s: float = 30.0
    grace_s: float = 25.0
    window: int = WINDOW
    unanswered_s: float = 10.0
    task_events: bool = True
    vault: Vault = field(kw_only=True)
    egress: EgressPolicy = field(default_factory=EgressPolicy)
    tools: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Settings of tools that are code, such as TAVILY_API_KEY."""
    embedder: str = "minilm"
    reranker: str | None = None
    """A cross-encoder that puts the passages for a chat in order."""
    storage: StorageSettings = field(default_factory=StorageSettings)

    def concurrency_of(self, queue: str) -> int:
        """How many jobs of a queue one process runs at once."""
        return self.ingestion_concurrency if queue == INGESTION else self.concurrency


class Running(Protocol):
    """An attempt, as far as the workshop has to do with it (`workers/queue/attempts.py`)."""

    tenant_id: UUID
    job_id: UUID
    number: int

    def stop(self, why: Literal["cancel", "hand_back", "fenced"], mode: CancelMode = "keep") -> None:
        """Stop the work and end as `why` says."""
        ...


class WorkerContext:
    """The resources and running attempts of one worker process."""

    def __init__(self, settings: WorkerSettings, queue: str, node: str) -> None:
        self.settings, self.queue, self.node = settings, queue, node
        self.owner = owner_name(queue)
        self.running: dict[UUID, Running] = {}
        self.last_message_at = 0.0
        self.draining = False
        self.storage: Storage
        self._stack = AsyncExitStack()

    async def open(self) -> None:
        """Open everything; needs no store to answer yet."""
        settings, stack = self.settings, self._stack
        address = RedisAddress.from_url(settings.redis_url)
        self.loop = asyncio.get_running_loop()
        self.last_message_at = self.loop.time()
        self.pool: Pool = pool_for(settings.database_url, "headrace_app", name=f"headrace {self.queue}")
        self.system_pool: Pool = pool_for(
            settings.database_url, "headrace_system", max_size=3, name=f"headrace {self.queue} dispatch"
        )
        for pool in (self.pool, self.system_pool):
            await pool.open()
            stack.push_async_callback(pool.close)
        await check_keys(self.pool, settings.vault)
        self.redis = RedisClient(address)
        stack.push_async_callback(self.redis.close)
        self.relay = Relay(self.redis)
        self.dispatcher = Dispatcher(self.system_pool, self.redis, window=settings.window)
        self.providers = await stack.enter_async_context(Providers(settings.providers))
        self.own = await stack.enter_async_context(TenantProviderPool(self.providers, settings.vault, settings.egress))
        self.limits = limits_over(self.redis, self.pool)
        self.graphs = Graphs()
        stack.push_async_callback(self.graphs.close)
        self.agents = AgentGraphs(TenantCheckpointer(self.pool))
        self.breakers = Breakers()
        self.configurations = Configurations(self.pool, self.redis)
        self.embedder = open_embedder(settings.embedder, self.providers.get)
        ingests = self.queue == INGESTION
        self.embedders = EmbedderPool(
            self.pool,
            settings.embedder,
            self.embedder,
            self.providers.get,
            retry_delay_s=retry_delay_s if ingests else None,
            most_chars=BULK_CHARS if ingests else None,
        )
        stack.push_async_callback(self.embedders.aclose)
        reranker = CrossEncoder(settings.reranker) if settings.reranker else None
        self.searcher = Searcher(self.pool, self.embedders, reranker)
        lane: Lane = "bulk" if ingests else "query"
        await stack.enter_async_context(EmbeddingServer(address, self.embedders, lanes=(lane,), reranker=reranker))
        self.storage = await stack.enter_async_context(open_storage(settings.storage))
        if ingests:
            self.reader = await stack.enter_async_context(ReaderPool(slots=READERS))
        self.router = Router(self.embedder)
        self.builtin_tools = builtin_tools()
        self.fetch = await stack.enter_async_context(open_client(settings.egress, timeout_s=TOOLS_S))
        ear = Subscriber(address, self._ordered)
        ear.start()
        stack.push_async_callback(ear.close)
        await ear.subscribe(redis_names.CONTROL)

    async def close(self) -> None:
        """Close everything, in reverse order."""
        await self._stack.aclose()

    def provider_of(self, job: ClaimedJob) -> Provider:
        """Return the provider of a claimed job's model: with the tenant's own key if it has stored one, else the
        deployment's. Raises ProviderUnknown, SecretUnreadable."""
        own = job.credential
        if own is None:
            return self.providers.get(job.model.partition("/")[0])
        sealed = Sealed(own.key_id, own.sealed)
        credential = TenantCredential(job.tenant_id, own.id, own.service, own.base_url, sealed)
        return self.own.provider(credential)

    def register(self, attempt: Running) -> None:
        """Take note of a running attempt: its lease is renewed, and orders reach it."""
        self.running[attempt.job_id] = attempt
        if self.draining:
            attempt.stop("hand_back")

    def unregister(self, attempt: Running) -> None:
        """Forget an attempt that has ended."""
        if self.running.get(attempt.job_id) is attempt:
            del self.running[attempt.job_id]

    def on_message(self) -> None:
        """Note that a doorbell rang; the watchdog wants to know."""
        self.last_message_at = self.loop.time()

    def hand_back(self) -> None:
        """Give all running jobs back to the queue, and every one that still comes."""
        self.draining = True
        for attempt in list(self.running.values()):
            attempt.stop("hand_back")

    def held(self) -> list[tuple[UUID, UUID, int]]:
        """Return (tenant, job, attempt) of all that runs here; called from the heartbeat's thread."""
        return [(a.tenant_id, a.job_id, a.number) for a in list(self.running.values())]

    def on_heartbeat(self, asked: list[tuple[UUID, UUID, int]], kept: dict[UUID, str | None]) -> None:
        """Take what the heartbeat learned: attempts that lost their lease, and cancellations that came no other way."""
        for _, job_id, number in asked:
            attempt = self.running.get(job_id)
            if attempt is None or attempt.number != number:
                continue
            if job_id not in kept:
                attempt.stop("fenced")
            elif mode := kept[job_id]:
                attempt.stop("cancel", "forget" if mode == "forget" else "keep")

    def kick_later(self, queue: str, delay_s: float) -> None:
        """Have `queue` looked at when a retry is due."""
        self.loop.call_later(delay_s + 0.01, self.dispatcher.kick, queue)

    def _ordered(self, channel: str, data: bytes) -> None:
        order = msgspec.json.decode(data, type=CancelCommand)
        attempt = self.running.get(order.job_id)
        if attempt is not None and attempt.number == order.attempt:
            attempt.stop("cancel", order.mode)
