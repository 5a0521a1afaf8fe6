"""The job that reads documents, as uploads, retries and changes of a collection submit it."""

from typing import Any
from uuid import UUID

from api.auth.principals import Principal
from schema.batch import Statement
from schema.job_kinds import KINDS
from schema.queries.jobs.submissions import Idempotency, Submission, Submitter


def ingestion(
    principal: Principal,
    job_id: UUID,
    request_id: str,
    key: Idempotency | None,
    extra_statements: tuple[Statement, ...],
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
        submitted_by=Submitter(principal.actor, principal.user_id, principal.visible_user_id, principal.address),
        extra_statements=extra_statements,
    )
