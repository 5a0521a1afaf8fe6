"""A tenant whose jobs wait for its own cap gains nothing when more of them are taken in faster, and everybody else loses by it.

So while they wait, its submits go one after another, and after each there is a rest for as long as it took: a flood has half
of one connection of a process at most, and the less the busier the machine is. Everybody else submits as ever.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

from schema.errors import QueueFull

KEPT_S = 1.0
"""How long after a job that had to wait its tenant's submits take turns."""
LONGEST_REST_S = 0.05
MOST_IN_LINE = 500


class _Line:
    def __init__(self) -> None:
        self.turn = asyncio.Lock()
        self.waiting = 0
        self.until = 0.0


class SubmitThrottle:
    """The lines of this process's tenants."""

    def __init__(self) -> None:
        self._lines: dict[UUID, _Line] = {}

    @asynccontextmanager
    async def turn(self, tenant_id: UUID) -> AsyncIterator[None]:
        """Wait until the tenant may submit, at once if its jobs don't wait. Raises QueueFull when too many stand in line."""
        line = self._lines.get(tenant_id)
        if line is None:
            yield
            return
        if line.waiting >= MOST_IN_LINE:
            raise QueueFull("Your tenant is submitting jobs faster than they can be accepted. Retry in a moment.")
        line.waiting += 1
        try:
            await line.turn.acquire()
        finally:
            line.waiting -= 1
        began = time.monotonic()
        try:
            yield
        finally:
            rest = min(time.monotonic() - began, LONGEST_REST_S)
            asyncio.get_running_loop().call_later(rest, self._go_on, tenant_id, line)

    def note(self, tenant_id: UUID, *, waits: bool) -> None:
        """Take what became of a submit: whether the job waits because its tenant is at the cap."""
        if waits:
            self._lines.setdefault(tenant_id, _Line()).until = time.monotonic() + KEPT_S

    def _go_on(self, tenant_id: UUID, line: _Line) -> None:
        line.turn.release()
        if not line.waiting and line.until < time.monotonic():
            self._lines.pop(tenant_id, None)
