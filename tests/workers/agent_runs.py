"""Agents that answer in this process, for tests of what is kept, liked and summed up: a worker's resources, and a model that
numbers its answers."""

import itertools
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any
from uuid import UUID

from psycopg.rows import DictRow

from graphs.providers.settings import ProviderSettings
from schema.events import Event, decode_event
from schema.queries.jobs.submissions import Submitter
from tests.conftest import TestTenant
from tests.counterparts.behaviours import Turn, says
from tests.counterparts.openai.server import OpenAIServer
from tests.workers.jobs import job_row, read_all, rows, submission, turn, worker_context
from workers.agents.chat import answer_chat
from workers.context import WorkerContext
from workers.queue.attempts import attempt_job
from workers.queue.job_core import JobCore, JobCoreSettings, open_job_core
from workers.queue.submit import submit

MODEL = "openai/counting"


@dataclass(frozen=True)
class Answered:
    """What became of a question: its job's row, its events, and the stored message, if it was asked in a session."""

    job: DictRow
    events: list[Event]
    message: DictRow | None

    @property
    def text(self) -> str:
        return self.job["result"]["text"]

    @property
    def is_kept(self) -> bool:
        """Whether it is marked as an answer that was given before."""
        return self.job["result"].get("cached", False)

    @property
    def kinds(self) -> list[str]:
        return [event.type for event in self.events]


class Asker:
    """Somebody of a tenant who asks."""

    def __init__(
        self, core: JobCore, worker: WorkerContext, models: OpenAIServer, url: str, tenant: TestTenant
    ) -> None:
        self.core, self.worker, self.models, self.url, self.tenant = core, worker, models, url, tenant

    async def ask(
        self,
        question: str,
        *,
        agent: str | None = "Guide",
        user_id: UUID | None = None,
        session_id: UUID | None = None,
        model: str = MODEL,
        **changes: Any,
    ) -> Answered:
        """Ask in a session, a new one if none is named, and return what came of it."""
        parts = [{"type": "text", "text": question}]
        by = Submitter(user_id=user_id)
        given = turn(self.tenant, session_id, agent=agent, model=model, submitted_by=by, **({"parts": parts} | changes))
        return await self._run(given)

    async def complete(self, messages: Sequence[dict[str, Any]], **options: Any) -> Answered:
        """Ask without a session, as OpenAI's clients do."""
        payload = {"messages": list(messages), "options": options}
        return await self._run(submission(self.tenant, agent="Guide", model=MODEL, payload=payload))

    async def _run(self, given: Any) -> Answered:
        submitted = await submit(self.core, given)
        work = partial(answer_chat, self.worker.agents)
        await attempt_job(self.worker.queue, work, self.tenant.id, submitted.job_id, 1)
        frames = await read_all(await self.core.hub.join(self.tenant.id, submitted.job_id))
        sql = "SELECT * FROM messages WHERE job_id = %s AND role = 'assistant'"
        found = rows(self.url, sql, submitted.job_id)
        job = job_row(self.url, submitted.job_id)
        return Answered(job, [decode_event(frame) for frame in frames], found[0] if found else None)


@dataclass(frozen=True)
class AgentWorker:
    """A worker's resources, the API's side of the job core, and the models behind them: for all tests of a module."""

    core: JobCore
    worker_context: WorkerContext
    models: OpenAIServer
    url: str

    def asker(self, tenant: TestTenant) -> Asker:
        """Return somebody of a tenant; the model says "answer 1", "answer 2" …, whatever it is asked, until it is scripted."""
        numbers = itertools.count(1)
        self.models.scripts._steps.pop("counting", None)
        self.models.answer_with(lambda _: says(f"answer {next(numbers)}"), model="counting")
        return Asker(self.core, self.worker_context, self.models, self.url, tenant)


@asynccontextmanager
async def open_agent_worker(database_url: str, redis_url: str) -> AsyncIterator[AgentWorker]:
    """Open everything."""
    async with OpenAIServer() as models, open_job_core(JobCoreSettings(database_url, redis_url)) as core:
        env = {"OPENAI_API_KEY": "sk-x", "OPENAI_BASE_URL": models.base_url}
        async with worker_context(database_url, redis_url, providers=ProviderSettings.from_env(env)) as opened:
            yield AgentWorker(core, opened, models, database_url)


def script(asker: Asker, *turns: Turn) -> None:
    """Have the model take these turns next, and only these."""
    asker.models.scripts._chooser.pop("counting", None)
    asker.models.scripts._steps.pop("counting", None)
    asker.models.script(*turns, model="counting")
