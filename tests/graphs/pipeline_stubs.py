"""What a pipeline's run is given in tests: models that answer as a test says, tools that count their calls, a ledger."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from typing import Any
from uuid import uuid4

from langgraph.checkpoint.memory import InMemorySaver

from graphs.agents.contract import AgentRun, AgentSpec, CallResult
from graphs.agents.graphs import AgentGraphs, Thread
from graphs.pipelines.definition import Definition
from graphs.pipelines.run import PipelineGraphs
from graphs.pipelines.state import output_of
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
from graphs.providers.fallback import Choice
from graphs.routing.contract import Route
from schema.events import Event, MessageDelta
from tests.tools.tool_contexts import make_context
from tools.contract import FunctionTool, Tool, ToolContext, ToolResult, ToolSpec

Answer = str | list[tuple[str, str]] | Exception


class Model:
    """A model that answers by what it is asked: `answer(the last message's words)` gives words, calls (name, arguments as
    JSON), or an error. Keeps its requests."""

    name = "test"

    def __init__(self, answer: Callable[[str], Answer]) -> None:
        self._answer = answer
        self.requests: list[ModelRequest] = []

    async def stream(self, request: ModelRequest) -> AsyncGenerator[Delta, None]:
        self.requests.append(request)
        answer = self._answer(request.messages[-1].text)
        if isinstance(answer, Exception):
            raise answer
        if isinstance(answer, str):
            for word in answer.split(" "):
                yield TextDelta(word if word == answer.split(" ")[0] else f" {word}")
        else:
            for index, (name, arguments) in enumerate(answer):
                yield ToolCallDelta(index=index, id="", name=name, arguments=arguments)
        yield Finished("stop", Usage(input_tokens=3, output_tokens=2, estimated=False))


class Counted:
    """A tool that says what it was called with. `dies`: the first call does not come back, once what it waits for is true."""

    def __init__(
        self,
        name: str,
        *,
        untrusted: bool = False,
        side_effects: bool = False,
        dies: Callable[[], bool] | None = None,
    ) -> None:
        self.name, self.calls, self._dies = name, list[tuple[str, dict[str, Any]]](), dies
        schema = {"type": "object", "properties": {"q": {"type": ["string", "array"]}}, "additionalProperties": False}
        spec = ToolSpec(name=name, description=name, parameters=schema, untrusted=untrusted, side_effects=side_effects)
        self.tool: Tool = FunctionTool(spec, self._run)

    async def _run(self, arguments: dict[str, Any], context: ToolContext) -> ToolResult:
        self.calls.append((context.call_id, arguments))
        dies, self._dies = self._dies, None
        while dies is not None:
            await asyncio.sleep(0)
            if dies():
                raise KilledHere
        rows = [{"due": 7, "who": f"{self.name} of {arguments.get('q')}"}]
        return ToolResult(f"{self.name}({arguments.get('q')})", {"rows": rows})


class MortalSaver(InMemorySaver):
    """A saver in whose process the lights go out before checkpoint number `dies_at`, when what the tasks wrote is kept."""

    dies_at: int | None = None

    async def aput(self, *args: Any, **kwargs: Any) -> Any:
        if self.dies_at == 0:
            self.dies_at = None
            raise KilledHere
        self.dies_at = None if self.dies_at is None else self.dies_at - 1
        return await super().aput(*args, **kwargs)


class KilledHere(BaseException):
    """Stands for the end of a process: nothing catches it."""


class Ledger:
    """The calls of a job, in memory."""

    def __init__(self) -> None:
        self.results: dict[str, CallResult | None] = {}
        self.begun: list[str] = []

    async def begin(self, call_id: str, tool: str, *, side_effects: bool) -> CallResult | None:
        self.begun.append(call_id)
        return self.results.setdefault(call_id, None)

    async def end(self, call_id: str, tool: str, result: CallResult) -> None:
        self.results[call_id] = result


class Bed:
    """A process's graphs, a job's ledger and thread; `run` runs a definition and keeps what is told."""

    def __init__(self, *tools: Counted, model: Model | None = None, agents: tuple[AgentSpec, ...] = ()) -> None:
        self.saver, self.ledger, self.thread = MortalSaver(), Ledger(), Thread(f"t-{uuid4()}", str(uuid4()))
        self.tools = {tool.name: tool.tool for tool in tools}
        self.model = model or Model(lambda said: f"Answer to {said}")
        self.agents = {agent.name: agent for agent in agents}
        self.told: list[Event] = []
        self.version = (uuid4(), 1)

    def checked(self, steps: dict[str, Any], start: str) -> Definition:
        schemas = {name: tool.spec.parameters for name, tool in self.tools.items()}
        raw = {"name": "p", "start": start, "steps": steps}
        return check_definition(raw, agents=list(self.agents), tools=schemas)

    async def run(self, steps: dict[str, Any], start: str, said: str = "hello", *, resume: bool = False) -> Any:
        """Run in a process of its own; return the last state."""
        graphs = PipelineGraphs(self.saver, AgentGraphs(self.saver))
        self.told = []
        definition = self.checked(steps, start)
        return await graphs.run(self.version, definition, self._run(said), self.thread, resume=resume)

    def is_kept(self, step: str) -> bool:
        """Whether a step's output was written to the checkpoints."""
        written = (write for writes in self.saver.writes.values() for write in writes.values())
        return any(output_of(step) == channel for _, channel, *_ in written)

    def words(self) -> str:
        return "".join(event.text for event in self.told if isinstance(event, MessageDelta))

    def kinds(self) -> list[str]:
        return [event.type for event in self.told]

    def _run(self, said: str) -> AgentRun:
        async def chain(agent: AgentSpec) -> list[Choice]:
            full_name = agent.models[0] if agent.models else "test/default"
            return [Choice(self.model, full_name.partition("/")[2], full_name, full_name)]

        async def route(text: str, context: object) -> Route:
            raise AssertionError("nothing is routed here")

        return AgentRun(
            agents=self.agents,
            tools=self.tools,
            question=Message.of("user", said),
            history=(),
            request=ModelRequest(model="default", messages=()),
            chain=chain,
            route=route,
            ledger=self.ledger,
            context=lambda call_id: make_context().__class__(**{**vars(make_context()), "call_id": call_id}),
            emit=self.told.append,
            breakers=Breakers(),
        )
