"""Caches which tenants have ample capacity for waiting jobs, so that not every submit has to count them.

Counting ten thousand waiting rows for each submit of a flood would slow down everybody. So a process remembers for half
a second that there is ample capacity; near the limit, every submit counts.
"""

from uuid import UUID

from schema.ttl_cache import TtlCache

MAX_TENANTS, TTL_S = 10_000, 0.5
AMPLE_CAPACITY = 2000  # more than all processes together add within TTL_S


class CapacityCache:
    """What this process knows about the queues of tenants."""

    def __init__(self) -> None:
        self._ample: TtlCache[UUID, bool] = TtlCache(MAX_TENANTS, TTL_S)

    def has_ample_capacity(self, tenant_id: UUID) -> bool:
        """Whether the tenant had ample capacity a moment ago."""
        return tenant_id in self._ample

    def record(self, tenant_id: UUID, room: int | None) -> None:
        """Record how many more jobs of the tenant may wait, as a submit counted; None if it did not count."""
        if room is None:
            return
        if room > AMPLE_CAPACITY:
            self._ample.put(tenant_id, True)
        else:
            self._ample.discard(tenant_id)
