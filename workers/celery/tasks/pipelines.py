"""`pipeline.run`: run a tenant's pipeline."""

from typing import Any
from uuid import UUID

from schema.job_kinds import KINDS
from workers.agents.pipelines import Pipelines
from workers.celery.pool import CoroutineTask
from workers.queue.attempts import attempt_job


def register(app: Any) -> None:
    """Make the task known under its wire name."""
    pipelines = Pipelines()

    @app.task(name=KINDS["pipeline"].task, base=CoroutineTask, shared=False)
    async def run(tenant_id: str, job_id: str, dispatch_seq: int, inbox: str | None = None) -> None:
        await attempt_job(app.worker_context, pipelines, UUID(tenant_id), UUID(job_id), dispatch_seq)
