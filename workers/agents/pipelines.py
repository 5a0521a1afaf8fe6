"""What a pipeline job does: run the version that it names."""

from collections.abc import Callable, Sequence
from uuid import UUID

import msgspec

from graphs.agents.checkpointer import LeaseHolder, lease_holder
from graphs.agents.graphs import Thread
from graphs.pipelines.definition import Definition
from graphs.pipelines.run import Version
from graphs.pipelines.state import State
from graphs.runner import read_chat
from schema.errors import NotFound
from schema.events import Event, MessageCompleted
from schema.postgres.connections import Pool, tenant_tx
from schema.postgres.outages import retry_while_down
from schema.queries.agents.agent_config import read_run_inputs
from schema.queries.agents.pipelines import find_version
from schema.queries.jobs.attempts import ClaimedJob
from schema.queries.sessions.sessions import StoredMessage
from schema.thread_id import thread_name
from workers.agents.context import AgentContext
from workers.agents.run_agent import prepare_run, usage_from_state

DELETED = "The pipeline of this job was deleted. Create it again and run it."


async def run_pipeline(
    context: AgentContext, job: ClaimedJob, messages: Sequence[StoredMessage], emit: Callable[[Event], None]
) -> None:
    """Run a claimed job's pipeline version. Raises NotFound, StepFailed, ProviderError, Unavailable."""
    version, definition = await retry_while_down(lambda: _read(context.pool, job))
    inputs = await retry_while_down(
        lambda: read_run_inputs(
            context.pool, job.tenant_id, job_id=job.id, session_id=job.session_id, user_id=job.user_id
        )
    )
    configuration = await context.configurations.get(job.tenant_id, inputs.version)
    asked = read_chat(job.model, job.payload, messages)
    run, _ = await prepare_run(context, job, inputs, configuration, asked, emit)
    thread = Thread(thread_name(job.tenant_id, job.user_id, job.session_id or job.id), str(job.id))
    with lease_holder(LeaseHolder(job.tenant_id, job.id, job.attempt, job.lease_owner)):
        ended = await context.pipeline_graphs.run(version, definition, run, thread, resume=job.attempt > 1)
    emit(_completed(ended))
    emit(usage_from_state(job, ended))


async def _read(pool: Pool, job: ClaimedJob) -> tuple[Version, Definition]:
    """Return the version that a job names. Its definition was validated when it was stored."""
    version = UUID(job.payload["pipeline"]), int(job.payload["version"])
    async with tenant_tx(pool, job.tenant_id) as db:
        row = await find_version(db, job.tenant_id, *version)
    if row is None:
        raise NotFound(DELETED)
    return version, msgspec.convert(row.definition, Definition)


def _completed(state: State) -> MessageCompleted:
    return MessageCompleted(
        text=state.get("said", ""),
        finish_reason=state.get("finish", "stop"),
        data=state.get("data"),
        renderer=state.get("renderer"),
    )
