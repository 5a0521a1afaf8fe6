"""Stubs for running pipelines in tests: models with given answers, tools that record their calls, a ledger in memory."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from dataclasses import replace
from typing import Any
from uuid import uuid4

from langgraph.checkpoint.memory import InMemorySaver

from graphs.agents.contract import AgentRun, AgentSpec, CallResult
from graphs.agents.graphs import AgentGraphs, Thread
from graphs.agents.state import AgentState
from graphs.data_marks import MARK
from graphs.pipelines.definition import Definition
from graphs.pipelines.run import PipelineGraphs
from graphs.pipelines.state import output_key
from graphs.pipelines.validation import check_definition
from graphs.providers.breakers import Breakers
from graphs.providers.contract import (
    Delta,
    Finished,
    Message,
    ModelRequest,
    TextDelta,
    ToolCallDelta,
    Usage,
)
from graphs.providers.fallback import ChainModel
from graphs.routing.contract import Route
from schema.events import Event, MessageDelta
from tests.tools.tool_contexts import make_context
from tools.contract import FunctionTool, Tool, ToolContext, ToolResult, ToolSpec

StubAnswer = str | list[tuple[str, str]] | Exception


class StubModel:
    """A model that answers with `answer(text of the last message without data marks)`: text, calls (name, arguments as
    JSON), or an error. Records its requests."""

    name = "test"

    def __init__(self, answer: Callable[[str], StubAnswer]) -> None:
        self._answer = answer
        self.requests: list[ModelRequest] = []

    async def stream(self, request: ModelRequest) -> AsyncGenerator[Delta, None]:
        self.requests.append(request)
        answer = self._answer(unmarked(request.messages[-1].text))
        if isinstance(answer, Exception):
            raise answer
        if isinstance(answer, str):
            for word in answer.split(" "):
                yield TextDelta(word if word == answer.split(" ")[0] else f" {word}")
        else:
            for index, (name, arguments) in enumerate(answer):
                yield ToolCallDelta(index=index, id="", name=name, arguments=arguments)
        yield Finished("stop", Usage(input_tokens=3, output_tokens=2, estimated=False))


def unmarked(text: str) -> str:
    """Return the text without its data marks."""
    return MARK.sub("", text).strip()


class CountingTool:
    """A tool that returns and records what it was called with. `crash_when`: its first call waits for this condition, then
    kills the process."""

    def __init__(
        self,
        name: str,
        *,
        untrusted: bool = False,
        side_effects: bool = False,
        crash_when: Callable[[], bool] | None = None,
    ) -> None:
        self.name, self.calls, self._crash_when = name, list[tuple[str, dict[str, Any]]](), crash_when
        schema = {"type": "object", "properties": {"q": {"type": ["string", "array"]}}, "additionalProperties": False}
        spec = ToolSpec(name=name, description=name, parameters=schema, untrusted=untrusted, side_effects=side_effects)
        self.tool: Tool = FunctionTool(spec, self._run)

    async def _run(self, arguments: dict[str, Any], context: ToolContext) -> ToolResult:
        self.calls.append((context.call_id, arguments))
        crash_when, self._crash_when = self._crash_when, None
        while crash_when is not None:
            await asyncio.sleep(0)
            if crash_when():
                raise ProcessKilled
        rows = [{"due": 7, "who": f"{self.name} of {arguments.get('q')}"}]
        return ToolResult(f"{self.name}({arguments.get('q')})", {"rows": rows})


class CrashingSaver(InMemorySaver):
    """A checkpointer whose process is killed before checkpoint number `crash_at`; what the tasks wrote is kept."""

    crash_at: int | None = None

    async def aput(self, *args: Any, **kwargs: Any) -> Any:
        if self.crash_at == 0:
            self.crash_at = None
            raise ProcessKilled
        self.crash_at = None if self.crash_at is None else self.crash_at - 1
        return await super().aput(*args, **kwargs)


class ProcessKilled(BaseException):
    """Stands for a killed process: nothing catches it."""


class MemoryLedger:
    """The calls of a job, in memory."""

    def __init__(self) -> None:
        self.results: dict[str, CallResult | None] = {}
        self.started: list[str] = []

    async def begin(self, call_id: str, tool: str, *, side_effects: bool) -> CallResult | None:
        self.started.append(call_id)
        return self.results.setdefault(call_id, None)

    async def end(self, call_id: str, tool: str, result: CallResult) -> None:
        self.results[call_id] = result


class PipelineHarness:
    """Checkpointer, ledger and thread of a job; `run` runs a definition and records its events."""

    def __init__(
        self, *tools: CountingTool, model: StubModel | None = None, agents: tuple[AgentSpec, ...] = ()
    ) -> None:
        self.saver, self.ledger, self.thread = CrashingSaver(), MemoryLedger(), Thread(f"t-{uuid4()}", str(uuid4()))
        self.tools = {tool.name: tool.tool for tool in tools}
        self.model = model or StubModel(lambda text: f"Answer to {text}")
        self.agents = {agent.name: agent for agent in agents}
        self.emitted: list[Event] = []
        self.version = (uuid4(), 1)

    def checked(self, steps: dict[str, Any], start: str) -> Definition:
        schemas = {name: tool.spec.parameters for name, tool in self.tools.items()}
        raw = {"name": "p", "start": start, "steps": steps}
        return check_definition(raw, agents=list(self.agents), tools=schemas)

    async def run(self, steps: dict[str, Any], start: str, text: str = "hello", *, resume: bool = False) -> Any:
        """Run with fresh graphs, as a new process would; return the final state."""
        graphs = PipelineGraphs(self.saver, AgentGraphs(self.saver))
        self.emitted = []
        definition = self.checked(steps, start)
        return await graphs.run(self.version, definition, self.agent_run(text), self.thread, resume=resume)

    async def run_agent(self, name: str, *, resume: bool = False, **fields: Any) -> AgentState:
        """Run an agent without a pipeline, with fresh graphs; `fields` are those of its run."""
        self.emitted = []
        graphs, run = AgentGraphs(self.saver), self.agent_run("hello", **fields)
        graph = "react" if self.agents[name].graph in ("react", "chat") else "plan_execute"
        state: AgentState = {"said": "", "at": 0, "intents": [{"agent": name, "text": "hello"}]}
        return await graphs.run(graph, run, state, self.thread, resume=resume)

    def is_checkpointed(self, step: str) -> bool:
        """Whether a step's output was written to the checkpoints."""
        written = (write for writes in self.saver.writes.values() for write in writes.values())
        return any(output_key(step) == channel for _, channel, *_ in written)

    def text(self) -> str:
        return "".join(event.text for event in self.emitted if isinstance(event, MessageDelta))

    def event_types(self) -> list[str]:
        return [event.type for event in self.emitted]

    def agent_run(self, text: str, **fields: Any) -> AgentRun:
        """Return a run that asks `text`."""

        async def context(call_id: str) -> ToolContext:
            return replace(make_context(), call_id=call_id)

        async def chain(agent: AgentSpec) -> list[ChainModel]:
            full_name = agent.models[0] if agent.models else "test/default"
            return [ChainModel(self.model, full_name.partition("/")[2], full_name, full_name)]

        async def route(text: str, context: object) -> Route:
            raise AssertionError("nothing is routed here")

        return AgentRun(
            agents=self.agents,
            tools=self.tools,
            question=Message.of("user", text),
            history=fields.pop("history", ()),
            request=ModelRequest(model="default", messages=()),
            chain=chain,
            route=route,
            ledger=self.ledger,
            context=context,
            emit=self.emitted.append,
            breakers=Breakers(),
            **fields,
        )
