"""`chat.answer`: answer one message."""

from collections.abc import Callable, Sequence
from typing import Any
from uuid import UUID

from graphs.runner import read_chat, run_chat
from schema.events import Event
from schema.kinds import KINDS
from schema.queries.attempts import ClaimedJob
from schema.queries.sessions import StoredMessage
from workers.agents.work import answer_by_agent
from workers.attempts import attempt_job
from workers.pool import CoroutineTask
from workers.workshop import Workshop


def register(app: Any) -> None:
    """Make the task known under its wire name."""

    @app.task(name=KINDS["chat"].task, base=CoroutineTask, shared=False)
    async def answer(tenant_id: str, job_id: str, dispatch_seq: int, inbox: str | None = None) -> None:
        await attempt_job(app.workshop, work, UUID(tenant_id), UUID(job_id), dispatch_seq)


async def work(
    shop: Workshop, job: ClaimedJob, messages: Sequence[StoredMessage], emit: Callable[[Event], None]
) -> None:
    """Run the chat graph for a claimed job, or its agent's; the model alone is an agent too where it answers from documents."""
    if job.agent is not None or job.payload.get("collections"):
        await answer_by_agent(shop, job, messages, emit)
        return
    run = read_chat(job.model, job.payload, messages)
    await run_chat(shop.graphs, shop.provider_of(job), run, emit)
