"""An agent as a step: its graph runs inside the pipeline's, with checkpoints of its own in the same thread.

LangGraph gives the inner run the namespace of the step's task, which is the same when the step starts again, so a killed
agent resumes after its last node too. Its call ids are prefixed with the step's name: two agents of one job would both
start at `call_0_1_0`.
"""

import dataclasses
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, cast

import msgspec
from langchain_core.runnables import RunnableConfig

from graphs.agents.contract import AgentRun, CallResult, Ledger
from graphs.agents.emitter import Emitter, replay_trail
from graphs.agents.graphs import AgentGraphs
from graphs.agents.state import AgentState
from graphs.agents.tool_calls import confirmation_request, confirmed_tools
from graphs.pipelines.errors import StepFailed
from graphs.providers.contract import Message
from schema.events import Event, JobProgress, MessageDelta, ReasoningDelta, ToolFinished, ToolStarted
from tools.contract import FunctionTool, Tool, ToolContext, ToolResult
from tools.errors import ToolUnconfirmed

AUTO = "auto"
RECURSION_LIMIT = 100


@dataclasses.dataclass(frozen=True)
class AgentTask:
    """An agent's task in a step. `untrusted`: the question contains text from outside. `is_answer`: the agent's text is the
    pipeline's answer. `mark`: the code of the pipeline's data marks, which the question may have."""

    step: str
    agent: str
    question: Message
    untrusted: bool
    is_answer: bool
    mark: str


async def run_agent(
    graphs: AgentGraphs, run: AgentRun, task: AgentTask, emitter: Emitter, config: RunnableConfig
) -> AgentState:
    """Run an agent to its end and return its final state. `config` is the step node's. Raises StepFailed, and what the nodes
    of its graph raise."""
    name, state = _initial_state(run, task)
    inner_run = dataclasses.replace(
        run,
        question=task.question,
        client_tools=(),
        continued=(),
        emit=_step_emitter(run, task, emitter),
        ledger=StepLedger(run.ledger, task.step),
        context=_tool_context(run, task.step),
        tools=_guarded_tools(run, task),
    )
    graph, config = graphs.get(name), config.copy()
    config["recursion_limit"] = RECURSION_LIMIT
    # With the key `checkpoint_id`, None or not, LangGraph would ignore what nodes wrote after the last checkpoint.
    config["configurable"] = {k: v for k, v in config.get("configurable", {}).items() if k != "checkpoint_id"}
    snapshot = await graph.aget_state(config)
    replay_trail(snapshot.values.get("trail", ()), inner_run.emit)
    # A run that has begun resumes: LangGraph ignores the state passed here, since the pipeline resumes too.
    return cast(AgentState, await graph.ainvoke(state, config, context=inner_run))


def _initial_state(run: AgentRun, task: AgentTask) -> tuple[str, AgentState]:
    """Return the name of the agent's graph, and its initial state."""
    base: AgentState = {"mark": task.mark, "said": "", "intents": [], "untrusted": task.untrusted}
    if task.agent == AUTO:
        return AUTO, {**base, "graph": AUTO}
    agent = run.agents.get(task.agent)
    if agent is None:
        raise StepFailed(f"The step {task.step} needs the agent {task.agent}, which no longer exists.")
    if agent.graph == "supervisor":
        return "supervisor", base
    graph = "react" if agent.graph in ("react", "chat") else "plan_execute"
    return graph, {**base, "at": 0, "intents": [{"agent": task.agent, "text": task.question.text}]}


def _step_emitter(run: AgentRun, task: AgentTask, emitter: Emitter) -> Callable[[Event], None]:
    """Return the function that passes the agent's events to the step's emitter; text only if it is the answer."""

    def emit(event: Event) -> None:
        match event:
            case MessageDelta():
                if task.is_answer and event.refusal:
                    emitter.emit_refusal(event.refusal)
                elif task.is_answer:
                    emitter.emit_text(event.text)
            case ToolStarted() | ToolFinished():
                emitter.emit(msgspec.structs.replace(event, call_id=_step_call_id(task.step, event.call_id)))
            case ReasoningDelta() | JobProgress():
                run.emit(event)
            case _:
                emitter.emit(event)

    return emit


def _step_call_id(step: str, call_id: str) -> str:
    return f"{step}.{call_id}"


def _tool_context(run: AgentRun, step: str) -> Callable[[str], Awaitable[ToolContext]]:
    return lambda call_id: run.context(_step_call_id(step, call_id))


def _guarded_tools(run: AgentRun, task: AgentTask) -> Mapping[str, Tool]:
    """Return the agent's tools. A question with text from outside could contain a confirmation, so tools with side effects
    refuse unless the user's own message confirms them."""
    if not task.untrusted:
        return run.tools
    confirmed = confirmed_tools(run.question.text, list(run.tools))
    return {
        name: _refusing_tool(tool) if tool.spec.side_effects and name not in confirmed else tool
        for name, tool in run.tools.items()
    }


def _refusing_tool(tool: Tool) -> Tool:
    async def refuse(arguments: dict[str, Any], context: ToolContext) -> ToolResult:
        raise ToolUnconfirmed(confirmation_request(tool.spec.name))

    return FunctionTool(tool.spec, refuse)


class StepLedger:
    """The job's ledger as seen by an agent in a step: call ids get the step's name."""

    def __init__(self, ledger: Ledger, step: str) -> None:
        self._ledger, self._step = ledger, step

    async def begin(self, call_id: str, tool: str, *, side_effects: bool) -> CallResult | None:
        """As `Ledger.begin`."""
        return await self._ledger.begin(_step_call_id(self._step, call_id), tool, side_effects=side_effects)

    async def end(self, call_id: str, tool: str, result: CallResult) -> None:
        """As `Ledger.end`."""
        await self._ledger.end(_step_call_id(self._step, call_id), tool, result)
