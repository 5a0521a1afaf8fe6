"""When an agent's state is stored: with its calls of tools and no sooner; and what a worker that takes over makes of it."""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, cast

import pytest

from schema.events import decode_event
from tests.conftest import TestTenant
from tests.counterparts.behaviours import Turn, calls, says
from tests.journeys.agent_setup import add_agent, grant_tools
from tests.workers.agent_runs import MODEL, AgentWorker, open_agent_worker
from tests.workers.jobs import change, job_row, read_all, rows, turn
from tools.contract import FunctionTool, Tool, ToolContext, ToolResult, ToolSpec
from workers.agents.chat import answer_chat
from workers.queue.attempts import attempt_job
from workers.queue.submit import Submitted, submit

PLAN = """{"steps": [{"id": "a", "task": "look", "tool": "look", "arguments": {"at": "a"}},
  {"id": "b", "task": "send", "tool": "send", "arguments": {"at": "b"}, "depends_on": ["a"]}]}"""


@pytest.fixture(scope="module")
async def worker(database_url: str, redis_url: str) -> AsyncIterator[AgentWorker]:
    async with open_agent_worker(database_url, redis_url) as opened:
        yield opened


@dataclass
class Run:
    """One job of an agent with the tools `look` (changes nothing) and `send` (does). `on_call` is told of each call, and
    `on_request` of each request to the model; both may lose the worker."""

    worker: AgentWorker
    tenant: TestTenant
    made: list[str] = field(default_factory=list)
    seen: list[tuple[int, int]] = field(default_factory=list)
    on_call: Callable[[str], None] = field(default=lambda call: None)
    on_request: Callable[[int], None] = field(default=lambda number: None)
    job: Submitted | None = None

    async def call(self, name: str, arguments: dict[str, Any], context: ToolContext) -> ToolResult:
        call = f"{name} {arguments['at']}"
        self.made.append(call)
        self.on_call(call)
        await asyncio.sleep(0)
        return ToolResult(f"{call}: done")

    def answers(self, *turns: Turn) -> None:
        """Have the model take these turns; each time, note how much of the job is stored: checkpoints, calls."""
        left = list(turns)

        def answer(request: dict[str, Any]) -> Turn:
            self.seen.append((self.count("checkpoints"), self.count("tool_effects")))
            self.on_request(len(self.seen))
            return left.pop(0)

        self.worker.models.scripts._steps.pop("counting", None)
        self.worker.models.answer_with(answer, model="counting")

    def count(self, table: str) -> int:
        column = "thread_id LIKE 'tenant_' || %s || '%%'" if table == "checkpoints" else "tenant_id::text = %s"
        (row,) = rows(self.worker.url, f"SELECT count(*) AS n FROM {table} WHERE {column}", str(self.tenant.id))
        return row["n"]

    def lose_worker(self, *_: Any) -> None:
        """End the attempt as kill -9 does: nothing more is written."""
        assert self.job is not None
        self.worker.worker_context.queue.running._by_job[self.job.job_id].stop("fenced")

    async def ask(self, agent: str = "Guide") -> None:
        parts = [{"type": "text", "text": "Look at it, please."}]
        self.job = await submit(self.worker.core, turn(self.tenant, agent=agent, model=MODEL, parts=parts))
        await self.attempt(1)

    async def attempt(self, seq: int) -> None:
        """Attempt the job, again if `seq` is not 1: then it was lost before."""
        assert self.job is not None
        if seq > 1:
            sql = "UPDATE jobs SET state = 'dispatched', dispatch_seq = %s WHERE id = %s"
            change(self.worker.url, sql, seq, self.job.job_id)
        context = self.worker.worker_context
        await attempt_job(context.queue, partial(answer_chat, context.agents), self.tenant.id, self.job.job_id, seq)

    @property
    def state(self) -> str:
        assert self.job is not None
        return job_row(self.worker.url, self.job.job_id)["state"]

    async def event_types(self) -> list[str]:
        assert self.job is not None
        frames = await read_all(await self.worker.core.hub.join(self.tenant.id, self.job.job_id))
        return [decode_event(frame).type for frame in frames]


@pytest.fixture
def run(worker: AgentWorker, database_url: str, tenant: TestTenant):
    run = Run(worker, tenant)
    parameters = {"type": "object", "properties": {"at": {"type": "string"}}, "required": ["at"]}
    tools = cast(dict[str, Tool], worker.worker_context.agents.tools.builtin)
    for name in ("look", "send"):
        spec = ToolSpec(
            name=name, description=f"{name} at something", parameters=parameters, side_effects=name == "send"
        )
        tools[name] = FunctionTool(spec, partial(run.call, name))
    grant_tools(database_url, tenant, "look", "send")
    add_agent(database_url, tenant, "Guide", graph="react", tools=["look", "send"])
    add_agent(database_url, tenant, "Planner", graph="plan_execute", tools=["look", "send"])
    yield run
    for name in ("look", "send"):
        del tools[name]


async def test_nothing_is_stored_of_an_answer_without_tools(run: Run) -> None:
    run.answers(says("Hello."))
    await run.ask()
    assert ("succeeded", [(0, 0)]) == (run.state, run.seen)
    assert 0 == run.count("checkpoints")


@pytest.mark.parametrize("tool", ["look", "send"])
async def test_the_state_is_stored_with_each_round_of_calls_and_deleted_at_the_end(run: Run, tool: str) -> None:
    run.answers(calls((tool, {"at": "a"})), calls((tool, {"at": "b"}), (tool, {"at": "c"})), says("Done."))
    await run.ask()
    assert "succeeded" == run.state
    assert [(0, 0), (1, 1), (2, 3)] == run.seen
    assert (0, 3) == (run.count("checkpoints"), run.count("tool_effects"))


async def test_a_call_that_changes_something_is_noted_with_the_state_before_it_is_made(run: Run) -> None:
    stored: dict[str, tuple[int, int]] = {}
    run.on_call = lambda call: stored.update({call: (run.count("checkpoints"), run.count("tool_effects"))})
    run.answers(calls(("look", {"at": "a"})), calls(("send", {"at": "b"})), says("Done."))
    await run.ask()
    assert {"look a": (0, 0), "send b": (2, 2)} == stored


async def test_a_worker_lost_before_the_first_call_leaves_nothing_and_the_run_begins_anew(run: Run) -> None:
    run.on_request = lambda number: run.lose_worker() if number == 1 else None
    run.answers(says("Half"), calls(("look", {"at": "b"})), says("Done."))
    await run.ask()
    assert ("running", 0) == (run.state, run.count("checkpoints"))
    await run.attempt(2)
    assert ("succeeded", ["look b"]) == (run.state, run.made)


async def test_a_run_that_is_taken_over_is_given_what_its_calls_brought(run: Run) -> None:
    run.on_request = lambda number: run.lose_worker() if number == 3 else None
    run.answers(calls(("look", {"at": "a"})), calls(("send", {"at": "b"})), says("Lost"), says("Done."))
    await run.ask()
    assert "running" == run.state
    await run.attempt(2)
    assert ("succeeded", ["look a", "send b"]) == (run.state, run.made)
    told = await run.event_types()
    assert 2 == told[told.index("job.restarted") :].count("tool.finished")


async def test_a_call_that_changes_something_is_not_repeated_when_its_worker_was_lost(run: Run) -> None:
    run.on_call = run.lose_worker
    run.answers(calls(("send", {"at": "a"})), says("I don't know whether it was sent."))
    await run.ask()
    await run.attempt(2)
    assert ("succeeded", ["send a"]) == (run.state, run.made)
    (row,) = rows(run.worker.url, "SELECT result FROM tool_effects WHERE tenant_id = %s", run.tenant.id)
    assert row["result"] is None


async def test_a_call_that_changes_nothing_is_made_again_when_its_worker_was_lost(run: Run) -> None:
    run.on_call = lambda call: run.lose_worker() if len(run.made) == 1 else None
    run.answers(calls(("look", {"at": "a"})), calls(("look", {"at": "b"})), says("Done."))
    await run.ask()
    await run.attempt(2)
    assert ("succeeded", ["look a", "look b"]) == (run.state, run.made)


async def test_a_plan_is_stored_with_its_first_call_and_its_verdict_when_it_is_paid(run: Run) -> None:
    run.answers(says(PLAN), says('{"enough": true}'), says("Done."))
    await run.ask("Planner")
    assert "succeeded" == run.state
    assert [(0, 0), (1, 2), (2, 2)] == run.seen


async def test_a_plan_that_is_taken_over_is_carried_out_once(run: Run) -> None:
    run.on_request = lambda number: run.lose_worker() if number == 3 else None
    run.answers(says(PLAN), says('{"enough": true}'), says("Lost"), says("Done."))
    await run.ask("Planner")
    await run.attempt(2)
    assert ("succeeded", ["look a", "send b"]) == (run.state, run.made)
    assert 4 == len(run.seen), "neither the plan nor the verdict was asked for again"


async def test_the_next_question_of_a_session_begins_without_the_state_of_the_last(run: Run) -> None:
    run.answers(calls(("look", {"at": "a"})), says("One."))
    await run.ask()
    first = run.job
    run.answers(says("Two."))
    await run.ask()
    assert first != run.job
    assert ("succeeded", ["look a"]) == (run.state, run.made)


@pytest.mark.parametrize(("lost_at", "codes"), [(1, 2), (2, 1), (3, 1)])
async def test_a_run_that_is_taken_over_keeps_its_code_once_its_state_is_stored(
    run: Run, lost_at: int, codes: int
) -> None:
    """Before the first call nothing is stored, and the run begins anew, with a code of its own (`graphs/data_marks.py`)."""
    run.answers(calls(("look", {"at": "a"})), calls(("look", {"at": "b"})), says("Done."))
    asked = len(run.worker.models.records)
    lost: list[int] = []

    def lose_once(number: int) -> None:
        if number == lost_at and not lost:
            lost.append(number)
            run.lose_worker()

    run.on_request = lose_once
    await run.ask()
    again = {1: [calls(("look", {"at": "a"})), calls(("look", {"at": "b"}))], 2: [calls(("look", {"at": "b"}))], 3: []}
    run.answers(*again[lost_at], says("Done."))
    await run.attempt(2)
    assert "succeeded" == run.state
    texts = [json.dumps(record.body["messages"]) for record in run.worker.models.records[asked:]]
    assert codes == len({code for text in texts for code in re.findall(r"<data ([0-9a-f]{16})>", text)})
