"""What the watchdog does by itself is written into the platform's audit log."""

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from typing import TypeVar

import structlog

from schema.errors import Unavailable
from schema.postgres.connections import Pool, system_tx
from schema.queries.tenants.audit import add_audit
from schema.vault import PLATFORM

log = structlog.get_logger()

AGAIN_S = 60.0
UNREACHABLE = (Unavailable, OSError, asyncio.CancelledError)
"""What a check ends with whose store is away; one that takes too long is cancelled."""

Found = TypeVar("Found")


class HealingAudit:
    """Adds the entries; `pool` has the role `headrace_system`, `clock` is monotonic."""

    def __init__(self, pool: Pool, clock: Callable[[], float] = time.monotonic) -> None:
        self._pool, self._clock = pool, clock
        self._waiting: dict[tuple[str, str], Counter[str]] = {}
        self._written_at: dict[tuple[str, str], float] = {}

    async def record(self, action: str, target: str, **detail: int) -> None:
        """Add an entry for `action`, `noun.verb`, and log it. Raises Unavailable."""
        log.warning("healed", action=action, target=target, **detail)
        await self._write(action, target, detail)

    async def record_coalesced(self, action: str, target: str, **counts: int) -> None:
        """Add an entry for what may happen each second: the first at once, those of the next minute as one. Raises Unavailable;
        then it is kept, too."""
        entry = (action, target)
        self._waiting.setdefault(entry, Counter()).update(counts)
        await self._write_due(entry)

    async def write_due(self) -> None:
        """Add the entries that have been kept for over a minute. Raises Unavailable."""
        for entry in list(self._waiting):
            await self._write_due(entry)

    async def _write_due(self, entry: tuple[str, str]) -> None:
        if entry not in self._waiting or self._clock() - self._written_at.get(entry, -AGAIN_S) < AGAIN_S:
            return
        counts = self._waiting.pop(entry)
        try:
            await self._write(*entry, counts)
        except Unavailable:
            self._waiting.setdefault(entry, Counter()).update(counts)
            raise
        self._written_at[entry] = self._clock()

    async def _write(self, action: str, target: str, detail: Mapping[str, int]) -> None:
        async with system_tx(self._pool) as db:
            await add_audit(db, PLATFORM, actor="system", action=action, target=target, detail=dict(detail) or None)


class Reconnections:
    """Notes which stores this process has lost, and writes down that it is connected to them again. The connections themselves
    are renewed by who owns them, at the next use."""

    def __init__(self, audit: HealingAudit) -> None:
        self._audit = audit
        self._lost, self._back = set[str](), set[str]()

    def noting(self, store: str, check: Callable[[], Awaitable[Found]]) -> Callable[[], Awaitable[Found]]:
        """Return the check of a store that also notes whether it could be reached."""

        async def find() -> Found:
            try:
                found = await check()
            except UNREACHABLE:
                self._lost.add(store)
                raise
            if store in self._lost:
                self._lost.remove(store)
                self._back.add(store)
            return found

        return find

    async def write_back(self) -> None:
        """Write down which are back. Raises Unavailable."""
        for store in sorted(self._back):
            self._back.discard(store)
            await self._audit.record_coalesced("connections.renewed", store, times=1)
