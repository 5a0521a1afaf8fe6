"""LangGraph's checkpoints in our Postgres: as the tenant, and only for the attempt that holds the job.

langgraph-checkpoint-postgres opens cursors in one place, `_cursor`. Here each cursor is a transaction of the run's tenant
that first checks the attempt, so a worker that was given up for dead and comes back can't write state.
"""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from psycopg import AsyncCursor

from schema.postgres.connections import Pool, tenant_tx
from schema.queries.jobs.tool_effects import LOCK_LEASE


@dataclass(frozen=True)
class LeaseHolder:
    """The tenant of a run, and the attempt and worker that hold its job."""

    tenant_id: UUID
    job_id: UUID
    attempt: int
    worker: str


_holder: ContextVar[LeaseHolder] = ContextVar("headrace_holder")


@contextmanager
def lease_holder(holder: LeaseHolder) -> Iterator[None]:
    """Save all checkpoints of this task on behalf of `holder`."""
    token = _holder.set(holder)
    try:
        yield
    finally:
        _holder.reset(token)


class TenantCheckpointer(AsyncPostgresSaver):
    """One for a whole process. Raises LookupError outside of `lease_holder`."""

    def __init__(self, pool: Pool) -> None:
        # States are plain JSON values: nothing else is ever deserialised.
        super().__init__(pool, serde=JsonPlusSerializer(pickle_fallback=False, allowed_msgpack_modules=None))
        self._pool = pool

    @asynccontextmanager
    async def _cursor(self, *, pipeline: bool = False) -> AsyncIterator[AsyncCursor[dict[str, Any]]]:
        holder = _holder.get()
        values: dict[str, Any] = {"tenant_id": holder.tenant_id, "job_id": holder.job_id, "worker": holder.worker}
        async with tenant_tx(self._pool, holder.tenant_id) as db:
            await db.execute(LOCK_LEASE, {**values, "attempt": holder.attempt, "running": "running"})
            async with db.cursor(binary=True) as cursor:
                yield cursor
