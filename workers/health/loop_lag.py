"""Measures how late an event loop is: what waits on it waits that much longer."""

import asyncio

from schema.metrics.catalog import LOOP_LAG

EVERY_S = 1.0


async def measure_loop_lag(role: str) -> None:
    """Measure once a second, until cancelled."""
    loop, gauge = asyncio.get_running_loop(), LOOP_LAG.of(role)
    while True:
        due = loop.time() + EVERY_S
        await asyncio.sleep(EVERY_S)
        gauge.set(max(0.0, loop.time() - due))
