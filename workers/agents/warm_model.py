"""The installation's default model is in memory before the first chat asks for it, where its provider is set to."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from graphs.providers.contract import WarmsModels
from graphs.providers.registry import Providers
from schema.errors import HeadraceError

UNRESOLVED_S = 60.0
"""After how long a default model is looked for again that couldn't be found: its provider may not have been started yet."""


@asynccontextmanager
async def default_model_warm(providers: Providers) -> AsyncGenerator[None]:
    """Enter at once; the model is loaded meanwhile, and again as often as its provider says."""
    warming = asyncio.get_running_loop().create_task(_keep_warm(providers), name="warm model")
    try:
        yield
    finally:
        warming.cancel()
        await asyncio.wait({warming})


async def _keep_warm(providers: Providers) -> None:
    again_s: float | None = 0.0
    while again_s is not None:
        await asyncio.sleep(again_s)
        again_s = await _warm(providers)


async def _warm(providers: Providers) -> float | None:
    try:
        model = await providers.resolve(None)
        provider = providers.get(model.provider)
    except HeadraceError:
        return UNRESOLVED_S
    return await provider.warm(model.name) if isinstance(provider, WarmsModels) else None
