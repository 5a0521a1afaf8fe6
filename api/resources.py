"""What the API process holds open, opened once after it has started and passed to handlers as `resources`."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from uuid import UUID

from litestar.datastructures import State
from litestar.di import NamedDependency

from api.auth.code_flow import CodeFlow
from api.auth.jwks import RemoteKeys
from api.auth.passwords import Passwords
from api.auth.signing import SigningKeys
from api.auth.tokens import Tokens
from api.callers import Callers
from api.settings import ApiSettings
from api.streams import Errands, OpenStreams
from graphs.providers.own import OwnCredential, OwnProviders
from graphs.providers.registry import Providers
from schema.queries.secrets import check_keys
from schema.ttl_cache import TtlCache
from schema.vault import Vault
from workers.embedding import EmbeddingClient
from workers.limits import Limits
from workers.ports import Ports, PortSettings, open_ports, process_name
from workers.redis_connection import RedisAddress
from workers.storage.contract import Storage
from workers.storage.opening import open_storage

REMEMBERED, REMEMBERED_S = 10_000, 1.0

Price = tuple[Decimal, Decimal]
"""Of a million tokens of input and of output, in USD."""


@dataclass(frozen=True)
class Resources:
    """The process's resources; `providers` are the deployment's, `own_providers` those with tenants' keys, `storage` has
    the documents' bytes, `embedding` has workers make vectors, `credentials` (by tenant) and `prices` are remembered for a
    second, `streams` are the open ones, `errands` what outlives its request."""

    settings: ApiSettings
    ports: Ports
    vault: Vault
    providers: Providers
    own_providers: OwnProviders
    callers: Callers
    tokens: Tokens
    signing: SigningKeys
    remote_keys: RemoteKeys
    code_flow: CodeFlow
    passwords: Passwords
    storage: Storage
    embedding: EmbeddingClient
    credentials: TtlCache[UUID, list[OwnCredential]]
    prices: TtlCache[str, dict[str, Price]]
    streams: OpenStreams
    errands: Errands

    @property
    def limits(self) -> Limits:
        """The tenants' limits."""
        return self.ports.limits


if TYPE_CHECKING:
    Opened = NamedDependency[Resources]
else:  # Litestar would look through all of their types, for a validation that nobody needs
    Opened = NamedDependency[Any]
"""How a handler names them."""


@asynccontextmanager
async def open_resources(settings: ApiSettings, streams: OpenStreams) -> AsyncIterator[Resources]:
    """Open everything; close it in reverse order. The stores need not answer yet."""
    async with AsyncExitStack() as stack:
        stores = PortSettings(settings.database_url, settings.redis_url, window=settings.window)
        ports = await stack.enter_async_context(open_ports(stores))
        await check_keys(ports.pool, settings.vault)
        providers = await stack.enter_async_context(Providers(settings.providers))
        own = await stack.enter_async_context(OwnProviders(providers, settings.vault, settings.egress))
        signing = SigningKeys(ports.pool, settings.vault)
        remote_keys = await stack.enter_async_context(RemoteKeys(settings.egress))
        code_flow = CodeFlow(settings.egress, remote_keys)
        stack.push_async_callback(code_flow.aclose)
        tokens = Tokens(ports.pool, signing, remote_keys, issuer=settings.issuer, lifetime_s=settings.token_s)
        passwords = Passwords()
        stack.callback(passwords.close)
        embedding = await stack.enter_async_context(
            EmbeddingClient(
                RedisAddress.from_url(settings.redis_url),
                ports.wire,
                process=process_name(),
                default=settings.embedder,
                get_provider=providers.get,
            )
        )
        storage = await stack.enter_async_context(open_storage(settings.storage))
        callers = Callers(ports.pool, tokens)
        stack.push_async_callback(callers.close)
        errands = Errands()
        stack.push_async_callback(errands.close)
        yield Resources(
            settings=settings,
            ports=ports,
            vault=settings.vault,
            providers=providers,
            own_providers=own,
            callers=callers,
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
            errands=errands,
        )


def get_resources(state: State) -> Resources:
    """Dependency `resources`."""
    return state.resources
