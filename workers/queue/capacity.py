"""How many more jobs of a tenant may wait: counted now and then, and exactly where it is tight.

Counting ten thousand waiting rows for each submit of a flood would make the flood cost everyone. So a process remembers for
half a second that there is ample room; near the limit every submit counts.
"""

from uuid import UUID

from schema.ttl_cache import TtlCache

KEPT, KEPT_S = 10_000, 0.5
AMPLE = 2000  # more than all processes together add in KEPT_S


class CapacityCache:
    """What this process knows of its tenants' queues."""

    def __init__(self) -> None:
        self._ample: TtlCache[UUID, bool] = TtlCache(KEPT, KEPT_S)

    def is_ample(self, tenant_id: UUID) -> bool:
        """Whether there was ample room a moment ago."""
        return tenant_id in self._ample

    def note(self, tenant_id: UUID, room: int | None) -> None:
        """Take what a submit counted; None if it did not have to."""
        if room is None:
            return
        if room > AMPLE:
            self._ample.put(tenant_id, True)
        else:
            self._ample.discard(tenant_id)
