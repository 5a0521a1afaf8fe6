"""Asks an agent the questions of a dataset, each by itself: without session, memories or cached answers.

Its tools are called as in a chat, but for those that change something: a benchmark must not send the same order a hundred
times. Where they are allowed, each such call is made once, whichever worker is lost (the job's ledger).
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import msgspec

from graphs.agents.contract import AgentRun, CallResult, Ledger
from graphs.agents.graphs import AgentGraphs, Thread
from graphs.runner import read_chat
from schema.errors import ProviderError
from schema.events import Event, MessageDelta, ToolFinished, UsageRecorded
from schema.events.base import ModelUsage
from schema.queries.agents.agent_config import RunInputs, read_run_inputs
from schema.queries.jobs.attempts import ClaimedJob
from tools.contract import FunctionTool, Tool, ToolContext, ToolResult
from tools.errors import ToolRefused
from workers.agents.configuration import Configuration
from workers.agents.context import AgentContext
from workers.agents.ledger import JobLedger
from workers.agents.run_agent import initial_state, prepare_run, usage_from_state
from workers.benchmarks.measure import CALL_TIMEOUT_S, Measured, Stopwatch
from workers.benchmarks.quality.settings import QualitySettings

NOT_CALLED = "Not called: it changes something, and this benchmark may only look. Answer without it."


@dataclass(frozen=True)
class AgentAnswer:
    """What an agent said: as a call of a model is measured, by whom, which tools were called, and the tokens of each model."""

    measured: Measured
    agent: str | None = None
    tools: Sequence[str] = ()
    used: Sequence[ModelUsage] = ()


class AgentAsker:
    """Asks the agent of a claimed job. Use `open` first."""

    def __init__(self, context: AgentContext, job: ClaimedJob, settings: QualitySettings) -> None:
        self._context, self._job, self._settings = context, job, settings
        self._graphs = AgentGraphs(None)  # a question whose worker is lost is asked anew
        self._inputs: RunInputs
        self._configuration: Configuration

    async def open(self) -> None:
        """Read the tenant's agents. Raises Unavailable."""
        job = self._job
        inputs = await read_run_inputs(
            self._context.pool, job.tenant_id, job_id=job.id, session_id=None, user_id=job.user_id
        )
        self._inputs = msgspec.structs.replace(inputs, memories=0, last_agent=None)
        self._configuration = await self._context.configurations.get(job.tenant_id, inputs.version)

    async def ask(self, place: int, question: str) -> AgentAnswer:
        """Ask, and return what came of it. Raises UnknownAgent, NotFound (a collection), Unavailable."""
        started_at, heard = datetime.now(UTC), _Heard()
        try:
            async with asyncio.timeout(CALL_TIMEOUT_S):
                state = await self._run(place, question, heard)
        except ProviderError as error:
            reason = {"code": error.code, "message": error.message}
            return AgentAnswer(Measured(started_at, heard.watch.total_ms, error=reason), tools=heard.tools)
        except TimeoutError:
            reason = {"code": "timeout", "message": f"The answer took longer than {CALL_TIMEOUT_S:.0f} s."}
            return AgentAnswer(Measured(started_at, heard.watch.total_ms, error=reason), tools=heard.tools)
        usage = usage_from_state(self._job, state)
        measured = Measured(
            started_at,
            heard.watch.total_ms,
            state.get("said", ""),
            heard.watch.first_token_ms,
            heard.watch.tokens_per_second(usage.output_tokens),
            usage.input_tokens,
            usage.output_tokens,
            usage.estimated,
        )
        return AgentAnswer(measured, state.get("agent") or None, heard.tools, usages(usage))

    async def _run(self, place: int, question: str, heard: "_Heard") -> Any:
        job = self._question_job(question)
        asked = read_chat(job.model, job.payload, ())
        run, _ = await prepare_run(self._context, job, self._inputs, self._configuration, asked, heard.emit)
        run = self._restrained(run, place)
        name, state = initial_state(job, run)
        return await self._graphs.run(name, run, state, Thread(f"{job.id}-{place}", str(job.id)), resume=False)

    def _question_job(self, question: str) -> ClaimedJob:
        """Return the chat that asks the question, in the job's name."""
        settings = self._settings
        wanted = {"max_tokens": settings.max_tokens, "temperature": settings.temperature, "seed": settings.seed}
        options = {name: value for name, value in wanted.items() if value is not None}
        payload: dict[str, Any] = {"messages": [{"role": "user", "content": question}], "options": options}
        if settings.collections:
            payload["collections"] = settings.collections
        return msgspec.structs.replace(self._job, agent=settings.agent, session_id=None, payload=payload)

    def _restrained(self, run: AgentRun, place: int) -> AgentRun:
        allowed = self._settings.allow_side_effects
        tools = {name: tool if allowed else _refused(tool) for name, tool in run.tools.items()}
        ledger = QuestionLedger(JobLedger(self._context.pool, self._job), place, self._job.attempt)
        return replace(run, tools=tools, ledger=ledger)


class QuestionLedger:
    """The calls of one question in its job's ledger. What changes something is known by its turn in the question, so that an
    attempt that asks again doesn't repeat it; what doesn't is made again."""

    def __init__(self, ledger: Ledger, place: int, attempt: int) -> None:
        self._ledger, self._place, self._attempt = ledger, place, attempt
        self._effects: dict[str, str] = {}

    async def begin(self, call_id: str, tool: str, *, side_effects: bool) -> CallResult | None:
        """See `Ledger.begin`."""
        if not side_effects:
            return None
        known = self._effects.setdefault(call_id, f"question-{self._place}-effect-{len(self._effects)}")
        return await self._ledger.begin(known, tool, side_effects=True)

    async def end(self, call_id: str, tool: str, result: CallResult) -> None:
        """See `Ledger.end`."""
        known = self._effects.get(call_id) or f"question-{self._place}-attempt-{self._attempt}-{call_id}"
        await self._ledger.end(known, tool, result)


def usages(usage: UsageRecorded) -> list[ModelUsage]:
    """Return the tokens of each model."""
    if usage.models:
        return usage.models
    fields = {name: getattr(usage, name) for name in ModelUsage.__struct_fields__ if name != "model"}
    return [ModelUsage(model=usage.model, **fields)]


class _Heard:
    """What an answer's events tell: when its text came, and which tools were called."""

    def __init__(self) -> None:
        self.watch = Stopwatch()
        self.tools: list[str] = []

    def emit(self, event: Event) -> None:
        if isinstance(event, MessageDelta):
            self.watch.token(len(event.text))
        elif isinstance(event, ToolFinished):
            self.tools.append(event.name if event.ok else f"{event.name} (failed)")


def _refused(tool: Tool) -> Tool:
    """Return a tool as it is offered by a benchmark: one that changes something is not called."""
    if not tool.spec.side_effects:
        return tool

    async def refuse(arguments: dict[str, Any], context: ToolContext) -> ToolResult:
        raise ToolRefused(NOT_CALLED)

    return FunctionTool(replace(tool.spec, side_effects=False, untrusted=False), refuse)
