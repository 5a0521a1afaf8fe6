"""Shares an event loop fairly among tenants: one with a hundred streams lets one with a single chat go first.

A loop runs everything that is ready before it looks for more, so a chat that needs ten passes waits ten times for all that a
busy neighbour has in each. Two things bound that, and both let tenants in by rotation:

- `next_step()` before each step of a stream: STEPS of them go through in one pass of the loop, the others wait for the next
  passes. What arrives for a stream while it waits is read in one piece, so a loop with too much to do has less to do. With
  time to spare nobody waits, and a step costs a comparison.
- `FairLoop.beginning()` around what a job does first: so many at once, however many were dispatched together.

Not for: how many jobs of a tenant run (`workers/queue/dispatch.py`), or how long a step takes.
"""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from contextvars import ContextVar
from uuid import UUID

STEPS = 4  # each of some 0.1 ms
BEGINNINGS = 3  # each of some 2 ms of the loop's time, and a wait for Postgres


class _Rotation:
    """Those that wait, by tenant: the next one is of the tenant that has been served the longest time ago."""

    def __init__(self) -> None:
        self._waiting: dict[UUID, deque[asyncio.Future[None]]] = {}

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def add(self, tenant_id: UUID) -> asyncio.Future[None]:
        """Return what is done when the caller is admitted."""
        waiting = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(tenant_id, deque()).append(waiting)
        return waiting

    def admit_next(self) -> bool:
        """Admit the next one; False if nobody waits any more."""
        while self._waiting:
            tenant_id, queue = next(iter(self._waiting.items()))
            del self._waiting[tenant_id]
            waiting = queue.popleft()
            if queue:
                self._waiting[tenant_id] = queue  # at the end: every other tenant comes first
            if not waiting.done():  # who was cancelled doesn't go on
                waiting.set_result(None)
                return True
        return False


class FairLoop:
    """One per event loop, and used on it only."""

    def __init__(self) -> None:
        self._steps_left, self._steps, self._is_counting = STEPS, _Rotation(), False
        self._beginnings_left, self._beginnings = BEGINNINGS, _Rotation()

    async def step(self, tenant_id: UUID) -> bool:
        """Wait until `tenant_id` may take a step; return whether it had to."""
        if self._steps_left and not self._steps:
            self._steps_left -= 1
            if not self._is_counting:
                self._is_counting = True
                asyncio.get_running_loop().call_soon(self._next_pass)
            return False
        await self._steps.add(tenant_id)
        return True

    def _next_pass(self) -> None:
        self._steps_left = STEPS
        while self._steps_left and self._steps.admit_next():
            self._steps_left -= 1
        self._is_counting = self._steps_left < STEPS
        if self._is_counting:
            asyncio.get_running_loop().call_soon(self._next_pass)

    @asynccontextmanager
    async def beginning(self, tenant_id: UUID) -> AsyncGenerator[None, None]:
        """Hold one of BEGINNINGS places, in rotation of tenants."""
        if self._beginnings_left:
            self._beginnings_left -= 1
        else:
            await self._wait_for_place(tenant_id)
        try:
            yield
        finally:
            self._leave()

    async def _wait_for_place(self, tenant_id: UUID) -> None:
        place = self._beginnings.add(tenant_id)
        try:
            await place
        except asyncio.CancelledError:
            if not place.cancelled():  # it was given in the same moment
                self._leave()
            raise

    def _leave(self) -> None:
        if not self._beginnings.admit_next():
            self._beginnings_left += 1


_shared: ContextVar[tuple[FairLoop, UUID] | None] = ContextVar("headrace_fair_loop", default=None)


def share_loop(loop: FairLoop, tenant_id: UUID) -> None:
    """From here on this task, and those that it starts, take their steps as `tenant_id`."""
    _shared.set((loop, tenant_id))


async def next_step() -> bool:
    """Wait until this task may take its next step; return whether it had to. Who shares no loop never waits."""
    shared = _shared.get()
    return shared is not None and await shared[0].step(shared[1])
