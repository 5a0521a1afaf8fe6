"""Writes what this process has counted into Postgres, every few seconds and at its end. A kill loses the last seconds; while
Postgres is away, counts wait."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import structlog

from schema.errors import Unavailable
from schema.metrics.figures import FIGURES
from schema.postgres.connections import Pool, connection
from schema.queries.tenants.performance import add_figures

log = structlog.get_logger()

EVERY_S = 5.0


@asynccontextmanager
async def figures_written(pool: Pool) -> AsyncGenerator[None]:
    """Within, write again and again; at the end once more."""

    async def write_again() -> None:
        while True:
            await asyncio.sleep(EVERY_S)
            await write_figures(pool)

    writing = asyncio.get_running_loop().create_task(write_again(), name="figures")
    try:
        yield
    finally:
        writing.cancel()
        await asyncio.wait({writing})
        await write_figures(pool)


async def write_figures(pool: Pool) -> None:
    """Write what was counted since the last time. Raises nothing."""
    counts = FIGURES.take()
    if not counts:
        return
    try:
        async with connection(pool) as db:
            await add_figures(db, counts)
    except Unavailable:
        FIGURES.add(counts)
        log.debug("figures_kept")
    except asyncio.CancelledError:
        FIGURES.add(counts)
        raise
