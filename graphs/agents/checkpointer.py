"""LangGraph's checkpoints in our Postgres: as the tenant, only for the attempt that holds the job, and no sooner than needed.

    route ─▶ begin ─▶ think ──────────▶ use_tools ─────────────▶ think ─▶ end
      kept in memory    └ calls a tool:  ledger + state, one commit         └ nothing: the job's end is the next commit

What a killed worker had done can be done again, except calling tools. So the state of an agent's run is stored in the
transaction that records a call (`workers/agents/ledger.py`), and a call's result is in the ledger: whoever resumes makes the
same calls and is given what they returned. It is also stored when a model's paid answer would otherwise be lost with the next
one. Pipelines store every step: some run side by side, each with a state of its own.

langgraph-checkpoint-postgres opens cursors in one place, `_cursor`. Here each cursor is a transaction of the run's tenant
that first checks the attempt, so a worker that was given up for dead and comes back can't write state.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import (
    ChannelVersions,
    Checkpoint,
    CheckpointMetadata,
    CheckpointTuple,
    get_serializable_checkpoint_metadata,
)
from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from psycopg import AsyncCursor

from graphs.agents.state import TOOL_NODES
from schema.postgres.batch import Statement, run_batch
from schema.postgres.connections import Pool, tenant_tx
from schema.postgres.outages import retry_while_down
from schema.queries.jobs.checkpoints import NewCheckpoint, put_checkpoint
from schema.queries.jobs.tool_effects import LOCK_LEASE

# States are plain JSON values: nothing else is ever deserialised.
SERDE = JsonPlusSerializer(pickle_fallback=False, allowed_msgpack_modules=None)
NEXT = "branch:to:"
"""LangGraph's channels that trigger the nodes of the next step begin so."""


class UnstoredState:
    """The state of an agent's run as far as Postgres doesn't have it. Its graph runs one node at a time, so what a node wrote
    is in the checkpoint that follows at once."""

    def __init__(self, *, is_new_run: bool) -> None:
        self.is_new_run = is_new_run
        """Whether there is nothing to resume, so that nothing is read."""
        self._latest: tuple[RunnableConfig, Checkpoint, CheckpointMetadata] | None = None
        self._versions: dict[str, Any] = {}
        self._stored_tokens: int | None = None
        self._storing = asyncio.Lock()

    def put(
        self, config: RunnableConfig, checkpoint: Checkpoint, metadata: CheckpointMetadata, versions: ChannelVersions
    ) -> None:
        """Take a checkpoint, which replaces the one before."""
        self._latest = config, checkpoint, metadata
        self._versions |= versions
        if self._stored_tokens is None:
            self._stored_tokens = _tokens(checkpoint)

    def must_be_stored(self) -> bool:
        """Whether a model's paid answer is in it on which another node than one that calls tools goes on."""
        if self._latest is None:
            return False
        _, checkpoint, _ = self._latest
        following = {name.removeprefix(NEXT) for name in checkpoint["channel_values"] if name.startswith(NEXT)}
        return bool(following - TOOL_NODES) and _tokens(checkpoint) > (self._stored_tokens or 0)

    @asynccontextmanager
    async def storing(self) -> AsyncIterator[list[Statement]]:
        """The statements that store the state, if something is unstored. It is stored when the block, which runs them, is left
        without an error; who comes meanwhile waits for that."""
        if self._latest is not None:
            async with self._storing:
                if self._latest is not None:
                    _, checkpoint, _ = self._latest
                    yield self._statements()
                    self._latest, self._versions, self._stored_tokens = None, {}, _tokens(checkpoint)
                    return
        yield []

    def _statements(self) -> list[Statement]:
        assert self._latest is not None
        config, checkpoint, metadata = self._latest
        values = checkpoint["channel_values"]
        plain = {name: value for name, value in values.items() if _is_plain(value)}
        changed = [(name, version) for name, version in self._versions.items() if name in values and name not in plain]
        where = config["configurable"]
        return put_checkpoint(
            NewCheckpoint(
                thread_id=where["thread_id"],
                namespace=where["checkpoint_ns"],
                id=checkpoint["id"],
                parent_id=where.get("checkpoint_id"),
                checkpoint={**checkpoint, "channel_values": plain},
                metadata=dict(get_serializable_checkpoint_metadata(config, metadata)),
                blobs=[(name, str(version), *SERDE.dumps_typed(values[name])) for name, version in changed],
            )
        )


def _is_plain(value: Any) -> bool:
    """Whether the saver keeps a value in the checkpoint itself, and not in a row of its own."""
    return value is None or isinstance(value, str | int | float | bool)


def _tokens(checkpoint: Checkpoint) -> int:
    values = checkpoint["channel_values"]
    return values.get("input_tokens", 0) + values.get("output_tokens", 0)


@dataclass(frozen=True)
class LeaseHolder:
    """The tenant of a run, and the attempt and worker that hold its job. Without `unstored`, every checkpoint is stored at
    once."""

    tenant_id: UUID
    job_id: UUID
    attempt: int
    worker: str
    unstored: UnstoredState | None = field(default=None, compare=False)

    @property
    def values(self) -> dict[str, Any]:
        """The parameters of LOCK_LEASE."""
        lease = {"tenant_id": self.tenant_id, "job_id": self.job_id, "attempt": self.attempt, "worker": self.worker}
        return {**lease, "running": "running"}


_holder: ContextVar[LeaseHolder] = ContextVar("headrace_holder")


@contextmanager
def lease_holder(holder: LeaseHolder) -> Iterator[None]:
    """Save all checkpoints of this task on behalf of `holder`."""
    token = _holder.set(holder)
    try:
        yield
    finally:
        _holder.reset(token)


def start_anew() -> None:
    """Run this task's graph from its start: nothing of its job is stored."""
    holder = _holder.get(None)
    if holder is not None and holder.unstored is not None:
        holder.unstored.is_new_run = True


@asynccontextmanager
async def storing_state() -> AsyncIterator[list[Statement]]:
    """`UnstoredState.storing` of the run that this task belongs to; none for a task that belongs to no run."""
    holder = _holder.get(None)
    if holder is None or holder.unstored is None:
        yield []
        return
    async with holder.unstored.storing() as statements:
        yield statements


class TenantCheckpointer(AsyncPostgresSaver):
    """One for a whole process. Raises LookupError outside of `lease_holder`."""

    def __init__(self, pool: Pool) -> None:
        super().__init__(pool, serde=SERDE)
        self._pool = pool

    async def aget_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        """Return the last checkpoint of a thread; None for a run that starts anew."""
        unstored = _holder.get().unstored
        if unstored is not None and unstored.is_new_run:
            return None
        return await retry_while_down(lambda: super(TenantCheckpointer, self).aget_tuple(config))

    async def aput(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        """Take a checkpoint, and store it if it has to be."""
        holder = _holder.get()
        if holder.unstored is None:
            return await retry_while_down(
                lambda: super(TenantCheckpointer, self).aput(config, checkpoint, metadata, new_versions)
            )
        holder.unstored.put(config, checkpoint, metadata, new_versions)
        if holder.unstored.must_be_stored():
            await retry_while_down(lambda: self._store(holder))
        where = config["configurable"]
        names = {"thread_id": where["thread_id"], "checkpoint_ns": where["checkpoint_ns"]}
        return {"configurable": {**names, "checkpoint_id": checkpoint["id"]}}

    async def aput_writes(
        self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str = ""
    ) -> None:
        """Store what a node wrote while others of its step still run."""
        if _holder.get().unstored is None:
            await retry_while_down(
                lambda: super(TenantCheckpointer, self).aput_writes(config, writes, task_id, task_path)
            )

    async def _store(self, holder: LeaseHolder) -> None:
        async with storing_state() as statements:
            await run_batch(self._pool, holder.tenant_id, [(LOCK_LEASE, holder.values), *statements])

    @asynccontextmanager
    async def _cursor(self, *, pipeline: bool = False) -> AsyncIterator[AsyncCursor[dict[str, Any]]]:
        holder = _holder.get()
        async with tenant_tx(self._pool, holder.tenant_id) as db:
            await db.execute(LOCK_LEASE, holder.values)
            async with db.cursor(binary=True) as cursor:
                yield cursor
