"""The Celery tasks: one for each kind of job. Claim, lease and finish are the same for all kinds
(`workers/queue/attempts.py`)."""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any
from uuid import UUID

from schema.job_kinds import KINDS, Kind
from workers.agents.chat import answer_chat
from workers.agents.pipelines import run_pipeline
from workers.batches.run import run_batch
from workers.benchmarks.context import BenchmarkContext
from workers.benchmarks.run import run_benchmark
from workers.celery.outcomes import EXPECTED, tell_celery
from workers.celery.pool import CoroutineTask
from workers.context import WorkerContext
from workers.ingestion.batch import ingest
from workers.queue.attempts import Work, attempt_job


def work_by_kind() -> dict[Kind, Callable[[WorkerContext], Work]]:
    """Return, for each kind of job, what binds its work to the part of the worker's context that it needs."""
    return {
        "chat": lambda worker: partial(answer_chat, worker.agents),
        "pipeline": lambda worker: partial(run_pipeline, worker.agents),
        "ingestion": _ingest,
        "benchmark": lambda worker: partial(run_benchmark, BenchmarkContext(worker.agents, worker.queue.limits)),
        "batch": _run_batch,
    }


def _ingest(worker: WorkerContext) -> Work:
    assert worker.ingestion is not None, "only workers that serve the queue of ingestion receive its messages"
    return partial(ingest, worker.ingestion)


def _run_batch(worker: WorkerContext) -> Work:
    assert worker.batches is not None, "only workers that serve the queue of batches receive its messages"
    return partial(run_batch, worker.batches)


def register(app: Any) -> None:
    """Register a task for each kind, under its wire name."""
    for kind, bind in work_by_kind().items():
        app.task(name=KINDS[kind].task, base=CoroutineTask, throws=EXPECTED, shared=False)(_task(app, bind))


def _task(app: Any, bind: Callable[[WorkerContext], Work]) -> Callable[..., Awaitable[None]]:
    async def run(tenant_id: str, job_id: str, dispatch_seq: int, inbox: str | None = None) -> None:
        worker: WorkerContext = app.worker_context
        tell_celery(await attempt_job(worker.queue, bind(worker), UUID(tenant_id), UUID(job_id), dispatch_seq))

    return run
