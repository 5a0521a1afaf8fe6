"""Submits the job of a call, in the name of whoever saved the trigger and within the tenant's limits."""

from uuid import UUID

import msgspec

from schema.errors import NotFound
from schema.ids import new_id
from schema.job_kinds import KINDS
from schema.postgres.connections import tenant_tx
from schema.queries.jobs.submissions import Idempotency, Submission
from schema.queries.triggers.triggers import StoredTrigger
from schema.vault import Vault
from workers.limits.reservation import reserved_payload, settle_reservation
from workers.queue.job_core import JobCore
from workers.queue.submit import Submitted, submit
from workers.schedules.owners import require_permission, submitter
from workers.schedules.reserve import reserve
from workers.schedules.template import CompiledJob


def read_template(trigger: StoredTrigger) -> CompiledJob:
    """Return what a trigger submits. Raises NotFound for what another version has saved."""
    try:
        return msgspec.convert(trigger.compiled, CompiledJob)
    except msgspec.ValidationError as error:
        raise NotFound("The job of this trigger was saved by another version of headrace. Save it anew.") from error


async def submit_call(
    core: JobCore,
    vault: Vault,
    tenant_id: UUID,
    trigger: StoredTrigger,
    compiled: CompiledJob,
    *,
    idempotency: Idempotency | None,
) -> Submitted:
    """Submit the job of a call; one that was submitted with this idempotency key before is returned again.

    Raises Forbidden, UnknownAgent, UnknownModel and NotFound if it may no longer run, and what a submit raises.
    """
    async with tenant_tx(core.pool, tenant_id) as db:
        permission = await require_permission(db, tenant_id, trigger, compiled, what="trigger")
    job_id, in_session = new_id(), compiled.parts is not None
    verdict = await reserve(core, permission, compiled, job_id)
    payload = {**compiled.payload, **permission.payload, **reserved_payload(verdict, permission.budgets)}
    submission = Submission(
        tenant_id=tenant_id,
        job_id=job_id,
        kind=KINDS[compiled.kind],
        payload=payload,
        model=permission.model,
        agent=compiled.agent,
        parts=compiled.parts,
        new_session=in_session,
        title=trigger.name if in_session else "",
        idempotency=idempotency,
        callback=compiled.callback,
        request_id=f"trigger-{trigger.id}",
        submitted_by=submitter(vault, tenant_id, trigger, permission, job_id, for_tools=compiled.agent is not None),
    )
    try:
        submitted = await submit(core, submission)
    except BaseException:
        await _release(core, submission)
        raise
    if submitted.replayed:
        await _release(core, submission)
    return submitted


async def _release(core: JobCore, submission: Submission) -> None:
    if "reserved" in submission.payload:
        tenant_id, job_id = submission.tenant_id, submission.job_id
        await settle_reservation(core.limits, tenant_id, job_id, tokens=0, nanos=0, refund_request=True)
