"""What the watchdog does by itself is written into the platform's audit log."""

import time
from collections import Counter
from collections.abc import Callable

import structlog

from schema.postgres.connections import Pool, system_tx
from schema.queries.tenants.audit import add_audit
from schema.vault import PLATFORM

log = structlog.get_logger()

AGAIN_S = 60.0


class Deeds:
    """Writes deeds down; `pool` has the role `headrace_system`, `clock` is monotonic."""

    def __init__(self, pool: Pool, clock: Callable[[], float] = time.monotonic) -> None:
        self._pool, self._clock = pool, clock
        self._kept = Counter[tuple[str, str]]()
        self._written_at: dict[tuple[str, str], float] = {}

    async def did(self, action: str, target: str, **detail: int) -> None:
        """Write down one deed, `noun.verb`, and log it. Raises Unavailable."""
        log.warning("healed", action=action, target=target, **detail)
        await self._write(action, target, detail)

    async def did_again(self, action: str, target: str, *, jobs: int) -> None:
        """Write down what may be done each second: at once, and later ones of a minute together. Raises Unavailable."""
        deed, now = (action, target), self._clock()
        self._kept[deed] += jobs
        if now - self._written_at.get(deed, -AGAIN_S) >= AGAIN_S:
            self._written_at[deed] = now
            await self._write(action, target, {"jobs": self._kept.pop(deed)})

    async def write_kept(self) -> None:
        """Write down what was kept for over a minute."""
        for deed, jobs in list(self._kept.items()):
            if self._clock() - self._written_at[deed] >= AGAIN_S:
                del self._kept[deed], self._written_at[deed]
                await self._write(*deed, {"jobs": jobs})

    async def _write(self, action: str, target: str, detail: dict[str, int]) -> None:
        async with system_tx(self._pool) as db:
            await add_audit(db, PLATFORM, actor="system", action=action, target=target, detail=detail or None)
