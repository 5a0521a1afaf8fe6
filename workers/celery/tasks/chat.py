"""What a chat job does: answer one message."""

from collections.abc import Callable, Sequence

from graphs.runner import read_chat, run_chat
from schema.events import Event
from schema.queries.jobs.attempts import ClaimedJob
from schema.queries.sessions.sessions import StoredMessage
from workers.agents.run_agent import run_agent
from workers.context import WorkerContext


async def work(
    worker: WorkerContext, job: ClaimedJob, messages: Sequence[StoredMessage], emit: Callable[[Event], None]
) -> None:
    """Run the chat graph for a claimed job, or its agent's; the model alone is an agent too where it answers from documents."""
    if job.agent is not None or job.payload.get("collections"):
        await run_agent(worker, job, messages, emit)
        return
    run = read_chat(job.model, job.payload, messages)
    await run_chat(worker.graphs, worker.provider_of(job), run, emit)
