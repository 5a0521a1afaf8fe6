"""What a chat job does: answer one message."""

from collections.abc import Callable, Sequence

from graphs.providers.capabilities import capabilities
from graphs.providers.contract import Provider
from graphs.runner import read_chat, run_chat
from schema.events import Event, UsageRecorded
from schema.model_catalog.catalog import Model
from schema.queries.jobs.attempts import ClaimedJob
from schema.queries.sessions.sessions import StoredMessage
from workers.agents.context import AgentContext
from workers.agents.reasoning_seal import sealing
from workers.agents.run_agent import run_agent


async def answer_chat(
    context: AgentContext, job: ClaimedJob, messages: Sequence[StoredMessage], emit: Callable[[Event], None]
) -> None:
    """Run a claimed job's agent, or the plain chat. Chats over documents, and those with an output format, which is
    checked, run as an agent in any case."""
    emit = sealing(context.tools.vault, job, emit)
    if job.agent is not None or job.payload.get("collections") or job.payload.get("output_format"):
        await run_agent(context, job, messages, emit)
        return
    run = await context.attachments.read(job, read_chat(job.model, job.payload, messages))

    def emit_counted(event: Event) -> None:
        emit(event.with_own_key() if isinstance(event, UsageRecorded) and job.credential else event)

    provider = await context.models.get_provider(job)
    known = (await context.models.catalogs.at(job.models_version)).find(job.model)
    window = await _find_window(provider, job, known)
    await run_chat(provider, run, emit_counted, window=window, own_key=job.credential is not None)


async def _find_window(provider: Provider, job: ClaimedJob, known: Model | None) -> int | None:
    """Return how many tokens the job's model reads: by what is known of it, or as its provider says; None if neither does."""
    if known is not None and known.context_tokens is not None:
        return known.context_tokens
    return (await capabilities(provider, job.model.partition("/")[2], {"tools": False, "images": False})).context_tokens
