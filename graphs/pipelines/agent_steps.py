"""An agent as a step: its graph runs inside the pipeline's, with checkpoints of its own in the same thread.

LangGraph gives the inner run a namespace of the step's task, which is the same when the step is begun again; so an agent
that was killed goes on behind its last node too. Its tool calls get the step's name before their ids, for two agents of
one job would both begin at `call_0_1_0`.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from langchain_core.runnables import RunnableConfig

from graphs.agents.contract import AgentRun, CallResult, Ledger
from graphs.agents.emitter import Emitter, replay_trail
from graphs.agents.graphs import AgentGraphs
from graphs.agents.state import AgentState
from graphs.agents.tool_calls import confirmed_tools, unconfirmed
from graphs.pipelines.errors import StepFailed
from graphs.providers.contract import Message
from schema.events import Event, JobProgress, MessageDelta, ReasoningDelta, ToolFinished, ToolStarted
from tools.contract import FunctionTool, Tool, ToolContext, ToolResult
from tools.errors import ToolRefused

AUTO = "auto"
RECURSION = 100


@dataclasses.dataclass(frozen=True)
class AgentTask:
    """What an agent is to do in a step: `question` holds text from outside if `untrusted`, its words are told as the answer
    if `aloud`."""

    step: str
    agent: str
    question: Message
    untrusted: bool
    aloud: bool


async def run_agent(
    graphs: AgentGraphs, run: AgentRun, task: AgentTask, tell: Emitter, config: RunnableConfig
) -> AgentState:
    """Run an agent to its end and return its last state. `config` is that of the step's node. Raises StepFailed, and what the
    nodes of its graph raise."""
    name, state = _entry(run, task)
    inner = dataclasses.replace(
        run,
        question=task.question,
        client_tools=(),
        continued=(),
        emit=_inward(run, task, tell),
        ledger=StepLedger(run.ledger, task.step),
        context=_context(run, task.step),
        tools=_guarded(run, task),
    )
    graph, config = graphs.get(name), config.copy()
    config["recursion_limit"] = RECURSION
    # With the key `checkpoint_id`, None or not, LangGraph would leave out what nodes wrote after the last checkpoint.
    config["configurable"] = {k: v for k, v in config.get("configurable", {}).items() if k != "checkpoint_id"}
    kept = await graph.aget_state(config)
    replay_trail(kept.values.get("trail", ()), inner.emit)
    # A run that was begun goes on: LangGraph passes the state over, since the pipeline goes on too.
    return await graph.ainvoke(state, config, context=inner)  # type: ignore[return-value]


def _entry(run: AgentRun, task: AgentTask) -> tuple[str, AgentState]:
    """Return the graph of an agent, and the state to begin with."""
    begun: AgentState = {"said": "", "intents": [], "untrusted": task.untrusted}
    if task.agent == AUTO:
        return AUTO, {**begun, "graph": AUTO}
    agent = run.agents.get(task.agent)
    if agent is None:
        raise StepFailed(f"The step {task.step} needs the agent {task.agent}, which is not there any more.")
    if agent.graph == "supervisor":
        return "supervisor", begun
    graph = "react" if agent.graph in ("react", "chat") else "plan_execute"
    return graph, {**begun, "at": 0, "intents": [{"agent": task.agent, "text": task.question.text}]}


def _inward(run: AgentRun, task: AgentTask, tell: Emitter) -> Callable[[Event], None]:
    """Return where the agent's events go: into the step's telling, words only if they are the answer."""

    def emit(event: Event) -> None:
        match event:
            case MessageDelta():
                if task.aloud:
                    tell.text(event.text)
            case ToolStarted() | ToolFinished():
                tell.event(msgspec.structs.replace(event, call_id=_own(task.step, event.call_id)))
            case ReasoningDelta() | JobProgress():
                run.emit(event)
            case _:
                tell.event(event)

    return emit


def _own(step: str, call_id: str) -> str:
    return f"{step}.{call_id}"


def _context(run: AgentRun, step: str) -> Callable[[str], ToolContext]:
    return lambda call_id: run.context(_own(step, call_id))


def _guarded(run: AgentRun, task: AgentTask) -> Mapping[str, Tool]:
    """Return the agent's tools. A question that holds text from outside could spell out a confirmation, so those that change
    something are refused unless the user's own words confirm them (G13)."""
    if not task.untrusted:
        return run.tools
    confirmed = confirmed_tools(run.question.text, list(run.tools))
    return {
        name: _refusing(tool) if tool.spec.side_effects and name not in confirmed else tool
        for name, tool in run.tools.items()
    }


def _refusing(tool: Tool) -> Tool:
    async def refuse(arguments: dict[str, Any], context: ToolContext) -> ToolResult:
        raise ToolRefused(unconfirmed(tool.spec.name))

    return FunctionTool(tool.spec, refuse)


class StepLedger:
    """The job's ledger, as an agent in a step uses it."""

    def __init__(self, ledger: Ledger, step: str) -> None:
        self._ledger, self._step = ledger, step

    async def begin(self, call_id: str, tool: str, *, side_effects: bool) -> CallResult | None:
        """As the job's."""
        return await self._ledger.begin(_own(self._step, call_id), tool, side_effects=side_effects)

    async def end(self, call_id: str, tool: str, result: CallResult) -> None:
        """As the job's."""
        await self._ledger.end(_own(self._step, call_id), tool, result)
