"""The job that reads documents, as uploads, retries and changes of a collection submit it."""

from typing import Any
from uuid import UUID

from api.principals import Principal
from schema.batch import Statement
from schema.kinds import KINDS
from workers.submit import Idempotency, Submission, Submitter


def ingestion(
    principal: Principal,
    job_id: UUID,
    request_id: str,
    key: Idempotency | None,
    comes_with: tuple[Statement, ...],
    *,
    model: str,
    payload: dict[str, Any] | None = None,
) -> Submission:
    """Return a job of ingestion with the statements that give it its work; `model` is what embeds."""
    return Submission(
        tenant_id=principal.tenant_id,
        job_id=job_id,
        kind=KINDS["ingestion"],
        payload=payload or {},
        model=model,
        idempotency=key,
        request_id=request_id,
        by=Submitter(principal.actor, principal.user_id, principal.sees, principal.address),
        comes_with=comes_with,
    )
