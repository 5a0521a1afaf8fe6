"""The ledger of tool calls: a call is noted before it is made and when it has ended, by the attempt that holds the job."""

from typing import Any
from uuid import UUID

import msgspec

from schema.ids import new_id
from schema.postgres.batch import run_batch
from schema.postgres.connections import Pool
from schema.storable import storable_json

LEASE_LOST = "HR004"

LOCK_LEASE = f"""
SELECT CASE WHEN (
    SELECT attempt FROM jobs WHERE tenant_id = %(tenant_id)s AND id = %(job_id)s AND state = %(running)s
      AND lease_owner = %(worker)s FOR SHARE)
  IS DISTINCT FROM %(attempt)s::int THEN refuse('{LEASE_LOST}') END
"""
"""Raises LEASE_LOST for an attempt and worker that no longer hold the job; until the transaction ends nobody takes it away."""

BEGIN = """
WITH begun AS (
  INSERT INTO tool_effects (tenant_id, job_id, call_id, tool, attempt)
  VALUES (%(tenant_id)s, %(job_id)s, %(call_id)s, %(tool)s, %(attempt)s::int) ON CONFLICT DO NOTHING RETURNING call_id)
SELECT result, true AS known FROM tool_effects
WHERE tenant_id = %(tenant_id)s AND job_id = %(job_id)s AND call_id = %(call_id)s AND NOT EXISTS (SELECT 1 FROM begun)
"""
END = """
UPDATE tool_effects SET result = %(result)s::jsonb, ended_at = now()
WHERE tenant_id = %(tenant_id)s AND job_id = %(job_id)s AND call_id = %(call_id)s
"""
ADD_AUDIT_ENTRY = """
INSERT INTO audit_log (tenant_id, id, actor, action, target, result, address, request_id, detail)
SELECT tenant_id, %(audit_id)s::uuid, coalesce(actor, 'system'), 'tool.called', 'tool/' || %(tool)s, %(outcome)s, address,
  request_id, jsonb_build_object('job_id', id, 'call_id', %(call_id)s::text)
FROM jobs WHERE tenant_id = %(tenant_id)s AND id = %(job_id)s
"""


class RecordedCall(msgspec.Struct, frozen=True):
    """A call that was noted before, with what it brought; None of one that has not ended."""

    result: dict[str, Any] | None


async def begin_call(
    pool: Pool, tenant_id: UUID, job_id: UUID, attempt: int, *, worker: str, call_id: str, tool: str
) -> RecordedCall | None:
    """Note that a call begins; None when it is new, else what was noted before.

    Raises psycopg.Error with the state LEASE_LOST when the attempt no longer holds the job.
    """
    values: dict[str, Any] = {"tenant_id": tenant_id, "job_id": job_id, "attempt": attempt, "running": "running"}
    values |= {"worker": worker, "call_id": call_id, "tool": tool}
    _, found = await run_batch(pool, tenant_id, [(LOCK_LEASE, values), (BEGIN, values)])
    return next(iter(found.into(RecordedCall)), None)


async def end_call(
    pool: Pool,
    tenant_id: UUID,
    job_id: UUID,
    attempt: int,
    *,
    worker: str,
    call_id: str,
    tool: str,
    result: dict[str, Any],
) -> None:
    """Keep what a call brought, and write it into the audit log. Raises as `begin_call`."""
    values: dict[str, Any] = {"tenant_id": tenant_id, "job_id": job_id, "attempt": attempt, "running": "running"}
    outcome = "ok" if result["ok"] else result.get("code") or "failed"
    values |= {
        "worker": worker,
        "call_id": call_id,
        "tool": tool,
        "result": storable_json(result),
        "outcome": outcome,
        "audit_id": new_id(),
    }
    await run_batch(pool, tenant_id, [(LOCK_LEASE, values), (END, values), (ADD_AUDIT_ENTRY, values)])
