"""`documents.ingest`: make uploaded files searchable."""

from typing import Any
from uuid import UUID

from schema.job_kinds import KINDS
from workers.celery.pool import CoroutineTask
from workers.ingestion.batch import ingest as work
from workers.queue.attempts import attempt_job


def register(app: Any) -> None:
    """Make the task known under its wire name."""

    @app.task(name=KINDS["ingestion"].task, base=CoroutineTask, shared=False)
    async def ingest(tenant_id: str, job_id: str, dispatch_seq: int, inbox: str | None = None) -> None:
        await attempt_job(app.worker_context, work, UUID(tenant_id), UUID(job_id), dispatch_seq)
