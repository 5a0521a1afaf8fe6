"""The ledger of tool calls: what a call brought is noted, and of one that changes something also that it begins, by the attempt
that holds the job."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any
from uuid import UUID

import msgspec

from schema.postgres.batch import Statement, run_batch
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
SELECT result, attempt FROM tool_effects
WHERE tenant_id = %(tenant_id)s AND job_id = %(job_id)s AND call_id = %(call_id)s AND NOT EXISTS (SELECT 1 FROM begun)
"""
END = """
INSERT INTO tool_effects (tenant_id, job_id, call_id, tool, attempt, result, ended_at)
VALUES (%(tenant_id)s, %(job_id)s, %(call_id)s, %(tool)s, %(attempt)s::int, %(result)s::jsonb, now())
ON CONFLICT (tenant_id, job_id, call_id) DO UPDATE SET result = excluded.result, ended_at = excluded.ended_at
"""
ADD_AUDIT_ENTRY = """
INSERT INTO audit_log (tenant_id, id, actor, action, target, result, address, request_id, detail)
SELECT tenant_id, %(audit_id)s::uuid, coalesce(actor, 'system'), 'tool.called', 'tool/' || %(tool)s, %(outcome)s, address,
  request_id, jsonb_build_object('job_id', id, 'call_id', %(call_id)s::text)
FROM jobs WHERE tenant_id = %(tenant_id)s AND id = %(job_id)s ON CONFLICT DO NOTHING
"""


@dataclass(frozen=True, kw_only=True)
class ToolCall:
    """A call of a tool, and the attempt and worker that make it."""

    tenant_id: UUID
    job_id: UUID
    attempt: int
    worker: str
    call_id: str
    tool: str


class RecordedCall(msgspec.Struct, frozen=True):
    """A call that was noted before, by which attempt, and what it brought; None of one that has not ended."""

    result: dict[str, Any] | None
    attempt: int


async def begin_call(pool: Pool, call: ToolCall, *, state: Sequence[Statement] = ()) -> RecordedCall | None:
    """Note that a call begins, with the `state` from which it is made; None when it is new, else what was noted before.

    Raises psycopg.Error with the state LEASE_LOST when the attempt no longer holds the job.
    """
    values = _values(call)
    found = (await run_batch(pool, call.tenant_id, [(LOCK_LEASE, values), *state, (BEGIN, values)]))[-1]
    return next(iter(found.into(RecordedCall)), None)


async def end_call(
    pool: Pool, call: ToolCall, result: dict[str, Any], *, audit_id: UUID, state: Sequence[Statement] = ()
) -> None:
    """Keep what a call brought, whether or not its beginning was noted, and write it into the audit log, once. Raises as
    `begin_call`."""
    values = _values(call) | {
        "result": storable_json(result),
        "outcome": "ok" if result["ok"] else result.get("code") or "failed",
        "audit_id": audit_id,
    }
    statements = [(LOCK_LEASE, values), *state, (END, values), (ADD_AUDIT_ENTRY, values)]
    await run_batch(pool, call.tenant_id, statements)


def _values(call: ToolCall) -> dict[str, Any]:
    return {**asdict(call), "running": "running"}
