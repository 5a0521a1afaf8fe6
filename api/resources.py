"""What the API process holds open, opened once after it has started and passed to handlers as `resources`."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from uuid import UUID

from litestar.datastructures import State
from litestar.di import NamedDependency

from api.auth.authentication import Authenticator
from api.auth.oidc.code_flow import CodeFlow
from api.auth.passwords import Passwords
from api.auth.tokens.access_tokens import Tokens
from api.auth.tokens.jwks import RemoteKeys
from api.auth.tokens.signing_keys import SigningKeys
from api.http.sse import BackgroundTasks, OpenStreams
from api.settings import ApiSettings
from graphs.providers.registry import Providers
from graphs.providers.tenant_providers import TenantCredential, TenantProviderPool
from schema.queries.identity.secrets import check_keys
from schema.ttl_cache import TtlCache
from schema.vault import Vault
from workers.embedding.client import EmbeddingClient
from workers.limits.limits import Limits
from workers.queue.job_core import JobCore, JobCoreSettings, open_job_core, process_name
from workers.redis.connection import RedisAddress
from workers.storage.contract import Storage
from workers.storage.factory import open_storage

REMEMBERED, REMEMBERED_S = 10_000, 1.0

Price = tuple[Decimal, Decimal]
"""Of a million tokens of input and of output, in USD."""


@dataclass(frozen=True)
class Resources:
    """The process's resources; `providers` are the deployment's, `own_providers` those with tenants' keys, `storage` has
    the documents' bytes, `embedding` has workers make vectors, `credentials` (by tenant) and `prices` are remembered for a
    second, `streams` are the open ones, `errands` what outlives its request."""

    settings: ApiSettings
    core: JobCore
    vault: Vault
    providers: Providers
    tenant_providers: TenantProviderPool
    authenticator: Authenticator
    tokens: Tokens
    signing: SigningKeys
    remote_keys: RemoteKeys
    code_flow: CodeFlow
    passwords: Passwords
    storage: Storage
    embedding: EmbeddingClient
    credentials: TtlCache[UUID, list[TenantCredential]]
    prices: TtlCache[str, dict[str, Price]]
    streams: OpenStreams
    background: BackgroundTasks

    @property
    def limits(self) -> Limits:
        """The tenants' limits."""
        return self.core.limits


if TYPE_CHECKING:
    Opened = NamedDependency[Resources]
else:  # Litestar would look through all of their types, for a validation that nobody needs
    Opened = NamedDependency[Any]
"""How a handler names them."""


@asynccontextmanager
async def open_resources(settings: ApiSettings, streams: OpenStreams) -> AsyncIterator[Resources]:
    """Open everything; close it in reverse order. The stores need not answer yet."""
    async with AsyncExitStack() as stack:
        stores = JobCoreSettings(settings.database_url, settings.redis_url, window=settings.window)
        core = await stack.enter_async_context(open_job_core(stores))
        await check_keys(core.pool, settings.vault)
        providers = await stack.enter_async_context(Providers(settings.providers))
        own = await stack.enter_async_context(TenantProviderPool(providers, settings.vault, settings.egress))
        signing = SigningKeys(core.pool, settings.vault)
        remote_keys = await stack.enter_async_context(RemoteKeys(settings.egress))
        code_flow = CodeFlow(settings.egress, remote_keys)
        stack.push_async_callback(code_flow.aclose)
        tokens = Tokens(core.pool, signing, remote_keys, issuer=settings.issuer, lifetime_s=settings.token_s)
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
        background = BackgroundTasks()
        stack.push_async_callback(background.close)
        yield Resources(
            settings=settings,
            core=core,
            vault=settings.vault,
            providers=providers,
            tenant_providers=own,
            authenticator=authenticator,
            tokens=tokens,
            signing=signing,
            remote_keys=remote_keys,
            code_flow=code_flow,
            passwords=passwords,
            storage=storage,
            embedding=embedding,
            credentials=TtlCache(REMEMBERED, REMEMBERED_S),
            prices=TtlCache(1, REMEMBERED_S),
            streams=streams,
            background=background,
        )


def get_resources(state: State) -> Resources:
    """Dependency `resources`."""
    return state.resources
