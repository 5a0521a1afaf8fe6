"""A job that runs a tenant's pipeline: reads the version that it names, gathers what its steps need, says what came of it."""

from collections.abc import Callable, Sequence
from uuid import UUID

import msgspec

from graphs.agents.building import Thread
from graphs.agents.saver import Holder, TenantSaver, held_by
from graphs.pipelines.definition import Definition
from graphs.pipelines.running import PipelineGraphs, Version
from graphs.pipelines.state import State
from graphs.runner import read_chat
from schema.db import tenant_tx
from schema.errors import NotFound
from schema.events import Event, MessageCompleted
from schema.queries.attempts import ClaimedJob
from schema.queries.configuration import read_needs
from schema.queries.pipelines import find_version
from schema.queries.sessions import StoredMessage
from schema.threads import thread_name
from workers.agents.work import prepare, used
from workers.workshop import Workshop

GONE = "The pipeline of this job was deleted. Create it again and run it."


class Pipelines:
    """The compiled pipelines of a worker process; as `workers.attempts.Work`."""

    def __init__(self) -> None:
        self._graphs: PipelineGraphs | None = None

    async def __call__(
        self, shop: Workshop, job: ClaimedJob, messages: Sequence[StoredMessage], emit: Callable[[Event], None]
    ) -> None:
        """Run the version that a claimed job names. Raises NotFound, StepFailed, ProviderError, Unavailable."""
        if self._graphs is None:
            self._graphs = PipelineGraphs(TenantSaver(shop.pool), shop.agents)
        version, definition = await _read(shop, job)
        needs = await read_needs(
            shop.pool, job.tenant_id, job_id=job.id, session_id=job.session_id, user_id=job.user_id
        )
        configuration = await shop.configurations.get(job.tenant_id, needs.version)
        asked = read_chat(job.model, job.payload, messages)
        run, _ = await prepare(shop, job, needs, configuration, asked, emit)
        thread = Thread(thread_name(job.tenant_id, job.user_id, job.session_id or job.id), str(job.id))
        with held_by(Holder(job.tenant_id, job.id, job.attempt)):
            ended = await self._graphs.run(version, definition, run, thread, resume=job.attempt > 1)
        emit(_completed(ended))
        emit(used(job, ended))


async def _read(shop: Workshop, job: ClaimedJob) -> tuple[Version, Definition]:
    """Return the version that a job names. It was checked when it was stored."""
    version = UUID(job.payload["pipeline"]), int(job.payload["version"])
    async with tenant_tx(shop.pool, job.tenant_id) as db:
        row = await find_version(db, job.tenant_id, *version)
    if row is None:
        raise NotFound(GONE)
    return version, msgspec.convert(row["definition"], Definition)


def _completed(state: State) -> MessageCompleted:
    return MessageCompleted(
        text=state.get("said", ""),
        finish_reason=state.get("finish", "stop"),
        data=state.get("data"),
        renderer=state.get("renderer"),
    )
