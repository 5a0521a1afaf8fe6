"""LangGraph's checkpoints in our Postgres: as the tenant, and only for the attempt that holds the job.

langgraph-checkpoint-postgres opens cursors in one place, `_cursor`; here each is a transaction of the run's tenant, in which
the attempt is compared first. So a worker that was thought dead and comes back can write no state.
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
from psycopg.rows import DictRow, dict_row

from schema.db import Pool, tenant_tx
from schema.queries.jobs.tool_effects import HOLD


@dataclass(frozen=True)
class LeaseHolder:
    """Whose run it is: the tenant, and the attempt that holds the job."""

    tenant_id: UUID
    job_id: UUID
    attempt: int


_holder: ContextVar[LeaseHolder] = ContextVar("headrace_holder")


@contextmanager
def lease_holder(holder: LeaseHolder) -> Iterator[None]:
    """Say for whom everything that this task runs is saved."""
    token = _holder.set(holder)
    try:
        yield
    finally:
        _holder.reset(token)


class TenantCheckpointer(AsyncPostgresSaver):
    """One for a whole process. Outside of `held_by` it raises LookupError."""

    def __init__(self, pool: Pool) -> None:
        # States are plain JSON values: nothing else is ever unpacked.
        super().__init__(pool, serde=JsonPlusSerializer(pickle_fallback=False, allowed_msgpack_modules=None))  # type: ignore[arg-type]
        self._pool = pool

    @asynccontextmanager
    async def _cursor(self, *, pipeline: bool = False) -> AsyncIterator[AsyncCursor[DictRow]]:
        holder = _holder.get()
        values: dict[str, Any] = {"tenant_id": holder.tenant_id, "job_id": holder.job_id}
        async with tenant_tx(self._pool, holder.tenant_id) as db:
            await db.execute(HOLD, {**values, "attempt": holder.attempt, "running": "running"})  # type: ignore[arg-type]
            async with db.cursor(binary=True, row_factory=dict_row) as cursor:
                yield cursor
