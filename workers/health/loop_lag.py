"""Measures how late an event loop is: what waits on it waits that much longer."""

import asyncio

from schema.metrics.catalog import LOOP_LAG

EVERY_S = 1.0


class LoopLag:
    """Remembers the worst since it was last asked."""

    def __init__(self, role: str) -> None:
        self._role, self._worst_s = role, 0.0

    async def measure(self) -> None:
        """Measure once a second, until cancelled."""
        loop, gauge = asyncio.get_running_loop(), LOOP_LAG.of(self._role)
        while True:
            due = loop.time() + EVERY_S
            await asyncio.sleep(EVERY_S)
            late_s = max(0.0, loop.time() - due)
            gauge.set(late_s)
            self._worst_s = max(self._worst_s, late_s)

    def take_worst(self) -> float:
        """Return the worst in seconds, and begin anew."""
        worst_s, self._worst_s = self._worst_s, 0.0
        return worst_s
