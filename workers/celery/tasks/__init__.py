"""The Celery tasks: one for each kind of job, and what it does. The claim, the lease and the end of an attempt are the same
for all kinds (`workers/queue/attempts.py`)."""

from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

from schema.job_kinds import KINDS, Kind
from workers.agents.pipelines import Pipelines
from workers.celery.pool import CoroutineTask
from workers.celery.tasks import chat
from workers.ingestion.batch import ingest
from workers.queue.attempts import Work, attempt_job


def work_by_kind() -> dict[Kind, Work]:
    """Return what each kind of job does."""
    return {
        "chat": chat.work,
        "pipeline": Pipelines(),
        "ingestion": ingest,
    }


def register(app: Any) -> None:
    """Add a task for every kind to the application, under its wire name."""
    for kind, work in work_by_kind().items():
        app.task(name=KINDS[kind].task, base=CoroutineTask, shared=False)(_task(app, work))


def _task(app: Any, work: Work) -> Callable[..., Awaitable[None]]:
    async def run(tenant_id: str, job_id: str, dispatch_seq: int, inbox: str | None = None) -> None:
        await attempt_job(app.worker_context, work, UUID(tenant_id), UUID(job_id), dispatch_seq)

    return run
