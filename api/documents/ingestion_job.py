"""Builds the job that ingests documents, for uploads, retries and changes of a collection."""

from datetime import datetime
from typing import Any
from uuid import UUID

from api.auth.principals import Principal
from schema.job_kinds import KINDS
from schema.postgres.batch import Statement
from schema.queries.jobs.submissions import Callback, Idempotency, Submission, Submitter


def ingestion_job(
    principal: Principal,
    job_id: UUID,
    request_id: str,
    key: Idempotency | None,
    extra_statements: tuple[Statement, ...],
    *,
    model: str,
    payload: dict[str, Any] | None = None,
    callback: Callback | None = None,
    run_at: datetime | None = None,
) -> Submission:
    """Return an ingestion job. `extra_statements` assign its documents in the same transaction; `model` is the embedder."""
    return Submission(
        tenant_id=principal.tenant_id,
        job_id=job_id,
        kind=KINDS["ingestion"],
        payload=payload or {},
        model=model,
        idempotency=key,
        request_id=request_id,
        callback=callback,
        run_at=run_at,
        submitted_by=Submitter(principal.actor, principal.user_id, principal.visible_user_id, principal.address),
        extra_statements=extra_statements,
    )
