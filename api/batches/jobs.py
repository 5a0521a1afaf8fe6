"""The job of a batch, whichever API it came by: submitting it, finding it, stopping it."""

from typing import Any
from uuid import UUID

from api.auth.principals import Principal
from api.http.bodies.json_body import JsonRequest
from api.http.headers import read_idempotency
from api.jobs.submit import submitter
from api.resources import Resources
from api.webhooks.callbacks import read_callback
from schema.job_kinds import KINDS
from schema.queries.batches import batches
from schema.queries.batches.batches import Batch
from schema.queries.jobs.submissions import Submission
from schema.states import TERMINAL
from workers.job_tokens import sorted_rights
from workers.queue.cancel import cancel
from workers.queue.submit import submit

MODEL = "none"
"""Of a batch's job: its lines name models of their own."""


async def submit_batch(
    resources: Resources,
    principal: Principal,
    request: JsonRequest,
    data: Any,
    *,
    route: str,
    job_id: UUID,
    input_file_id: UUID,
    endpoint: str,
    output_ttl_s: int | None,
    total: int | None = None,
    metadata: dict[str, str] | None = None,
) -> UUID:
    """Submit the batch of a request to `route`, whose body is `data`, and return its id: that of an earlier one if the request
    was sent before. `total` is how many lines it has, where that is known already. Raises QueueFull, Unavailable."""
    rows = batches.add_batch(
        principal.tenant_id,
        job_id,
        rights=sorted_rights(principal.rights),
        input_file_id=input_file_id,
        endpoint=endpoint,
        output_ttl_s=output_ttl_s,
        total=total,
    )
    submission = Submission(
        tenant_id=principal.tenant_id,
        job_id=job_id,
        kind=KINDS["batch"],
        payload={},
        model=MODEL,
        metadata=metadata,
        idempotency=read_idempotency(request.headers, route, data, visible_user_id=principal.visible_user_id),
        request_id=request.request_id,
        callback=await read_callback(resources, principal, request.headers),
        submitted_by=submitter(resources, principal, job_id),
        extra_statements=rows,
    )
    return (await submit(resources.core, submission)).job_id


async def find_batch(resources: Resources, principal: Principal, batch_id: UUID) -> Batch | None:
    """Return a batch that the caller may see."""
    async with principal.tx(resources.core.pool) as db:
        return await batches.find_batch(db, principal.tenant_id, batch_id)


async def stop_batch(resources: Resources, principal: Principal, batch: Batch) -> None:
    """Cancel a batch; one that has ended stays as it is."""
    if batch.state in TERMINAL:
        return
    async with principal.tx(resources.core.pool) as db:
        await batches.mark_cancelling(db, principal.tenant_id, batch.id)
    await cancel(resources.core, principal.tenant_id, batch.id, visible_user_id=principal.visible_user_id)
