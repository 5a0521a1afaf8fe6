"""The ledger of a job's tool calls, in Postgres (`schema/queries/jobs/tool_effects.py`).

Whoever resumes a run must come to the same calls, so the state of the run is stored in the same transaction as the first note
that they leave. A call that changes nothing leaves one only when it has ended; it may be made again until then.
"""

import msgspec

from graphs.agents.checkpointer import storing_state
from graphs.agents.contract import CallResult
from schema.ids import new_id
from schema.postgres.connections import Pool
from schema.postgres.outages import retry_while_down
from schema.queries.jobs.attempts import ClaimedJob
from schema.queries.jobs.tool_effects import RecordedCall, ToolCall, begin_call, end_call
from tools.errors import ToolInterrupted

UNKNOWN = CallResult(
    ok=False,
    text="This call was interrupted, and nobody knows whether it was carried out. It was not repeated; look before you try.",
    code=ToolInterrupted.code,
)


class JobLedger:
    """Implements `graphs.agents.contract.Ledger`. Waits for Postgres while that is unavailable."""

    def __init__(self, pool: Pool, job: ClaimedJob) -> None:
        self._pool, self._job = pool, job

    async def begin(self, call_id: str, tool: str, *, side_effects: bool) -> CallResult | None:
        """Raises Unavailable, and psycopg.Error for an attempt that no longer holds the job."""
        if self._job.attempt == 1 and not side_effects:
            return None
        noted = await retry_while_down(lambda: self._begin(self._call(call_id, tool)))
        if noted is None:
            return None
        if noted.result is not None:
            return msgspec.convert(noted.result, CallResult)
        # An attempt makes a call once: its own note is from a commit whose reply was lost.
        return UNKNOWN if side_effects and noted.attempt != self._job.attempt else None

    async def _begin(self, call: ToolCall) -> RecordedCall | None:
        async with storing_state() as state:
            return await begin_call(self._pool, call, state=state)

    async def end(self, call_id: str, tool: str, result: CallResult) -> None:
        """Raises what `begin` raises."""
        told = msgspec.to_builtins(result) | {"ok": result.ok, "text": result.text}
        call, audit_id = self._call(call_id, tool), new_id()

        async def store() -> None:
            async with storing_state() as state:
                await end_call(self._pool, call, told, audit_id=audit_id, state=state)

        await retry_while_down(store)

    def _call(self, call_id: str, tool: str) -> ToolCall:
        job = self._job
        return ToolCall(
            tenant_id=job.tenant_id,
            job_id=job.id,
            attempt=job.attempt,
            worker=job.lease_owner,
            call_id=call_id,
            tool=tool,
        )
