"""The ledger of a job's tool calls, in Postgres (`schema/queries/jobs/tool_effects.py`)."""

import msgspec

from graphs.agents.contract import CallResult
from schema.postgres.connections import Pool
from schema.queries.jobs.attempts import ClaimedJob
from schema.queries.jobs.tool_effects import begin_call, end_call

UNKNOWN = CallResult(
    ok=False,
    text="This call was interrupted, and nobody knows whether it was carried out. It was not repeated; look before you try.",
    code="tool_interrupted",
)


class JobLedger:
    """Implements `graphs.agents.contract.Ledger`."""

    def __init__(self, pool: Pool, job: ClaimedJob) -> None:
        self._pool, self._worker = pool, job.lease_owner
        self._job = (job.tenant_id, job.id, job.attempt)

    async def begin(self, call_id: str, tool: str, *, side_effects: bool) -> CallResult | None:
        """Raises Unavailable, and psycopg.Error for an attempt that no longer holds the job."""
        noted = await begin_call(self._pool, *self._job, worker=self._worker, call_id=call_id, tool=tool)
        if noted is None:
            return None
        if noted.result is not None:
            return msgspec.convert(noted.result, CallResult)
        return UNKNOWN if side_effects else None

    async def end(self, call_id: str, tool: str, result: CallResult) -> None:
        """Raises what `begin` raises."""
        told = msgspec.to_builtins(result) | {"ok": result.ok, "text": result.text}
        await end_call(self._pool, *self._job, worker=self._worker, call_id=call_id, tool=tool, result=told)
