"""Throttles submits of tenants whose jobs already wait because the tenant is at its own cap.

Accepting more of their jobs faster gains such tenants nothing, and costs all others. So their submits run one at a
time, each followed by a pause as long as it took: a flood uses at most half of one connection of a process, and less on
a busy machine. Submits of other tenants are not delayed.
"""

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from uuid import UUID

from schema.errors import QueueFull

THROTTLED_S = 1.0
"""How long a tenant stays throttled after a job of its had to wait."""
MAX_PAUSE_S = 0.05
MAX_WAITING = 500


class _Throttled:
    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.waiting = 0
        self.until = 0.0


class SubmitThrottle:
    """The throttled tenants of this process."""

    def __init__(self) -> None:
        self._throttled: dict[UUID, _Throttled] = {}

    @asynccontextmanager
    async def admit(self, tenant_id: UUID) -> AsyncGenerator[None, None]:
        """Wait until the tenant may submit, if it is throttled. Raises QueueFull if too many submits wait."""
        tenant = self._throttled.get(tenant_id)
        if tenant is None:
            yield
            return
        if tenant.waiting >= MAX_WAITING:
            raise QueueFull("Your tenant is submitting jobs faster than they can be accepted. Retry in a moment.")
        tenant.waiting += 1
        try:
            await tenant.lock.acquire()
        finally:
            tenant.waiting -= 1
        started_at = time.monotonic()
        try:
            yield
        finally:
            pause_s = min(time.monotonic() - started_at, MAX_PAUSE_S)
            asyncio.get_running_loop().call_later(pause_s, self._release, tenant_id, tenant)

    def record(self, tenant_id: UUID, *, at_cap: bool) -> None:
        """Record the outcome of a submit: `at_cap` if the job waits because its tenant is at its cap."""
        if at_cap:
            self._throttled.setdefault(tenant_id, _Throttled()).until = time.monotonic() + THROTTLED_S

    def _release(self, tenant_id: UUID, tenant: _Throttled) -> None:
        tenant.lock.release()
        if not tenant.waiting and tenant.until < time.monotonic():
            self._throttled.pop(tenant_id, None)
