"""The API process's pools, clients and caches: opened once when the application starts, passed to handlers as `resources`."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import UUID

from litestar.datastructures import State
from litestar.di import NamedDependency

from api.auth.authentication import Authenticator
from api.auth.oidc.code_flow import CodeFlow
from api.auth.passwords import Passwords
from api.auth.tokens.access_tokens import AccessTokens
from api.auth.tokens.jwks import RemoteKeys
from api.events.feeds import ChangeFeeds
from api.health_history import PartHistory
from api.http.shutdown import Shutdown
from api.http.sse import BackgroundTasks
from api.settings import ApiSettings
from api.tls.live import LiveCertificates
from graphs.providers.registry import Providers
from graphs.providers.tenant_providers import TenantCredential, TenantProviderPool
from schema.model_catalog.catalog import Catalogs
from schema.postgres.connections import Pool, pool_for
from schema.queries.identity.secrets import check_keys
from schema.queries.identity.widgets import StoredWidget
from schema.queries.tenants.egress_grants import read_egress_hosts
from schema.ttl_cache import TtlCache
from schema.vault import Vault
from tools.egress import TenantEgress
from workers.embedding.client import EmbeddingClient
from workers.job_tokens import JobTokens
from workers.limits.limits import Limits
from workers.limits.rates import Rates
from workers.queue.job_core import JobCore, JobCoreSettings, open_job_core, process_name
from workers.redis.address import RedisAddress
from workers.signing_keys import SigningKeys
from workers.storage.contract import Storage
from workers.storage.factory import open_storage

MAX_CACHED_TENANTS = 10_000
CACHE_TTL_S = 1.0
HEALTH_TTL_S = 2.0


@dataclass(frozen=True)
class Resources:
    """What handlers use. `providers` have the installation's keys and `tenant_providers` those of tenants; `storage` holds
    the bytes of documents; `embedding` asks workers for vectors; `credentials` (by tenant) and `widgets` (by key) are cached
    for a second; `rates` counts reads and searches; `egress` tells what each tenant may reach; `shutdown` is the
    end of this process; `background` runs tasks that outlive their request; `feeds` follow what changes in tenants.
    `certificates` are those that it serves TLS with.
    `health_pool` is one connection, so that health doesn't wait behind requests; `health` remembers its checks, and
    `health_history` since when parts are as they are."""

    settings: ApiSettings
    core: JobCore
    rates: Rates
    vault: Vault
    providers: Providers
    tenant_providers: TenantProviderPool
    authenticator: Authenticator
    tokens: AccessTokens
    signing: SigningKeys
    job_tokens: JobTokens
    egress: TenantEgress
    remote_keys: RemoteKeys
    code_flow: CodeFlow
    passwords: Passwords
    storage: Storage
    embedding: EmbeddingClient
    credentials: TtlCache[UUID, list[TenantCredential]]
    widgets: TtlCache[UUID, StoredWidget | None]
    shutdown: Shutdown
    background: BackgroundTasks
    feeds: ChangeFeeds
    certificates: LiveCertificates
    health_pool: Pool
    health: TtlCache[str, Any]
    health_history: PartHistory

    def forget(self, tenant_id: UUID | None) -> None:
        """Forget what is cached of a tenant and its callers, or of all: it was changed here, or is about to be refused."""
        self.authenticator.forget(tenant_id)
        self.egress.forget(tenant_id)
        self.catalogs.forget()
        self.widgets.clear()
        if tenant_id is None:
            self.credentials.clear()
        else:
            self.credentials.discard(tenant_id)

    @property
    def catalogs(self) -> Catalogs:
        """What is known of models."""
        return self.core.catalogs

    @property
    def limits(self) -> Limits:
        """Rate limits and budgets of tenants."""
        return self.core.limits


if TYPE_CHECKING:
    AppResources = NamedDependency[Resources]
else:  # Litestar would inspect the types of all fields, for a validation that nobody needs
    AppResources = NamedDependency[Any]
"""Type of a handler's parameter `resources`."""


@asynccontextmanager
async def open_resources(settings: ApiSettings, shutdown: Shutdown) -> AsyncIterator[Resources]:
    """Open everything, and close it in reverse order. Postgres and Redis need not be available yet."""
    async with AsyncExitStack() as stack:
        stores = JobCoreSettings(
            settings.database_url, settings.redis_url, window=settings.window, broker_url=settings.broker_url
        )
        core = await stack.enter_async_context(open_job_core(stores))
        await check_keys(core.pool, settings.vault)
        providers = await stack.enter_async_context(Providers(settings.providers))
        egress = TenantEgress(settings.egress, lambda tenant_id: read_egress_hosts(core.pool, tenant_id))
        stack.push_async_callback(egress.aclose)
        tenant_providers = await stack.enter_async_context(
            TenantProviderPool(providers, settings.vault, settings.egress)
        )
        signing = SigningKeys(core.pool, settings.vault)
        remote_keys = await stack.enter_async_context(RemoteKeys(settings.egress, egress))
        code_flow = CodeFlow(egress, remote_keys)
        tokens = AccessTokens(core.pool, signing, remote_keys, issuer=settings.issuer, lifetime_s=settings.token_s)
        passwords = Passwords()
        stack.callback(passwords.close)
        embedding = await stack.enter_async_context(
            EmbeddingClient(
                RedisAddress.from_url(settings.redis_url),
                core.redis,
                process=process_name(),
                default=settings.embedder,
                get_provider=providers.get,
            )
        )
        storage = await stack.enter_async_context(open_storage(settings.storage))
        authenticator = Authenticator(core.pool, tokens)
        stack.push_async_callback(authenticator.close)
        health_pool = pool_for(settings.database_url, "headrace_app", max_size=1, kept=0, name="headrace health")
        await health_pool.open()
        stack.push_async_callback(health_pool.close)
        background = BackgroundTasks()
        stack.push_async_callback(background.close)
        feeds = ChangeFeeds(RedisAddress.from_url(settings.redis_url), core.redis)
        stack.push_async_callback(feeds.close)
        certificates = LiveCertificates(core.pool, settings.vault, minimum=settings.tls.minimum)
        stack.push_async_callback(certificates.close)
        if settings.tls.port is not None:
            await certificates.start()
        rates = Rates(core.redis)
        stack.push_async_callback(rates.close)
        yield Resources(
            settings=settings,
            core=core,
            rates=rates,
            vault=settings.vault,
            providers=providers,
            tenant_providers=tenant_providers,
            authenticator=authenticator,
            tokens=tokens,
            signing=signing,
            job_tokens=JobTokens(signing),
            egress=egress,
            remote_keys=remote_keys,
            code_flow=code_flow,
            passwords=passwords,
            storage=storage,
            embedding=embedding,
            credentials=TtlCache(MAX_CACHED_TENANTS, CACHE_TTL_S),
            widgets=TtlCache(MAX_CACHED_TENANTS, CACHE_TTL_S),
            shutdown=shutdown,
            background=background,
            feeds=feeds,
            certificates=certificates,
            health_pool=health_pool,
            health=TtlCache(16, HEALTH_TTL_S),
            health_history=PartHistory(),
        )


def get_resources(state: State) -> Resources:
    """Dependency `resources`."""
    return state.resources
