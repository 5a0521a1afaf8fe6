"""`chat.answer`: answer one message."""

from collections.abc import Callable, Sequence
from typing import Any
from uuid import UUID

from graphs.runner import read_chat, run_chat
from schema.events import Event
from schema.job_kinds import KINDS
from schema.queries.jobs.attempts import ClaimedJob
from schema.queries.sessions.sessions import StoredMessage
from workers.agents.run_agent import run_agent
from workers.celery.pool import CoroutineTask
from workers.context import WorkerContext
from workers.queue.attempts import attempt_job


def register(app: Any) -> None:
    """Make the task known under its wire name."""

    @app.task(name=KINDS["chat"].task, base=CoroutineTask, shared=False)
    async def answer(tenant_id: str, job_id: str, dispatch_seq: int, inbox: str | None = None) -> None:
        await attempt_job(app.worker_context, work, UUID(tenant_id), UUID(job_id), dispatch_seq)


async def work(
    worker: WorkerContext, job: ClaimedJob, messages: Sequence[StoredMessage], emit: Callable[[Event], None]
) -> None:
    """Run the chat graph for a claimed job, or its agent's; the model alone is an agent too where it answers from documents."""
    if job.agent is not None or job.payload.get("collections"):
        await run_agent(worker, job, messages, emit)
        return
    run = read_chat(job.model, job.payload, messages)
    await run_chat(worker.graphs, worker.provider_of(job), run, emit)
