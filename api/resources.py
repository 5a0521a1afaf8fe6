"""What the API process holds open, opened once after it has started and passed to handlers as `resources`."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from litestar.datastructures import State
from litestar.di import NamedDependency

from api.principals import Keys
from api.settings import ApiSettings
from api.streams import Errands, OpenStreams
from graphs.providers.registry import Providers
from workers.ports import Ports, PortSettings, open_ports


@dataclass(frozen=True)
class Resources:
    """The process's resources; `streams` are the open ones, `errands` what outlives its request."""

    settings: ApiSettings
    ports: Ports
    providers: Providers
    keys: Keys
    streams: OpenStreams
    errands: Errands


Opened = NamedDependency[Resources]
"""How a handler names them."""


@asynccontextmanager
async def open_resources(settings: ApiSettings, streams: OpenStreams) -> AsyncIterator[Resources]:
    """Open everything; close it in reverse order. The stores need not answer yet."""
    async with AsyncExitStack() as stack:
        stores = PortSettings(settings.database_url, settings.redis_url, window=settings.window)
        ports = await stack.enter_async_context(open_ports(stores))
        providers = await stack.enter_async_context(Providers(settings.providers))
        errands = Errands()
        stack.push_async_callback(errands.close)
        yield Resources(settings, ports, providers, Keys(ports.pool), streams, errands)


def get_resources(state: State) -> Resources:
    """Dependency `resources`."""
    return state.resources
