"""A tenant's share of a pool of connections: one tenant's requests can't take all of them from the others."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from uuid import UUID

from schema.errors import Unavailable

SHARE_TIMEOUT_S = 10.0  # how long a request waits for others of its tenant


class TenantShares:
    """Lets up to `most` transactions of each tenant run at once; more wait for their own tenant's, in order."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._gates: dict[UUID, asyncio.Semaphore] = {}
        self._users: dict[UUID, int] = {}

    @asynccontextmanager
    async def hold(self, tenant_id: UUID) -> AsyncGenerator[None, None]:
        """Hold one of the tenant's places. Raises Unavailable after SHARE_TIMEOUT_S."""
        gate = self._gates.setdefault(tenant_id, asyncio.Semaphore(self._most))
        self._users[tenant_id] = self._users.get(tenant_id, 0) + 1
        try:
            await _acquire(gate)
            try:
                yield
            finally:
                gate.release()
        finally:
            self._users[tenant_id] -= 1
            if not self._users[tenant_id]:
                del self._users[tenant_id], self._gates[tenant_id]


async def _acquire(gate: asyncio.Semaphore) -> None:
    if not gate.locked():  # the usual case, without a timer
        await gate.acquire()
        return
    try:
        async with asyncio.timeout(SHARE_TIMEOUT_S):
            await gate.acquire()
    except TimeoutError:
        raise Unavailable("Requests of your tenant use its whole share of the database.", effect="nothing") from None
