"""What the steps do. Each tells that it begins, does its work once, and leaves its output in the state.

A tool step is called because whoever wrote the pipeline says so, whatever texts before it say; only agents choose by
themselves, and are held back where they read text from outside (`agent_steps.py`).
"""

import re
from dataclasses import dataclass
from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.runtime import Runtime

from graphs.agents.contract import AgentRun, AgentSpec
from graphs.agents.emitter import Emitter
from graphs.agents.graphs import AgentGraphs
from graphs.agents.model_call import Reply, call_model
from graphs.agents.output_formats import parse_output
from graphs.agents.prompts import CARE
from graphs.agents.tool_calls import call_tools
from graphs.pipelines.agent_steps import AgentTask, run_agent
from graphs.pipelines.definition import AgentStep, AnyStep, ParallelStep, PromptStep, RouterStep, ToolStep
from graphs.pipelines.errors import StepFailed
from graphs.pipelines.state import Outputs, State, output_of
from graphs.pipelines.templates import fill_text, fill_tree
from graphs.providers.contract import Message
from schema.events import JobProgress


@dataclass(frozen=True)
class PipelineRun:
    """What one run is given: what an agent's run is, with the input as its question, and the graphs that agents run. `total`
    is the number of steps."""

    agents: AgentRun
    graphs: AgentGraphs
    total: int


@dataclass(frozen=True)
class Begun:
    """A step that has begun: its name, where it tells, and whether its output is the answer."""

    name: str
    run: PipelineRun
    state: State
    tell: Emitter
    is_last: bool
    config: RunnableConfig


Node = Any
"""An async function of the state, its config and its runtime; LangGraph finds the last two by their names."""


def build_node(name: str, step: AnyStep, *, is_last: bool) -> Node:
    """Return the function that does a step."""

    async def node(state: State, config: RunnableConfig, runtime: Runtime[PipelineRun]) -> State:
        run = runtime.context
        begun = Begun(name, run, state, Emitter(run.agents.emit), is_last, config)
        number = sum(output_of(other) in state for other in _names(state)) + 1
        begun.tell.event(JobProgress(text=f"Step {name}", done=min(number, run.total), total=run.total))
        return {**await _do(begun, step), "trail": begun.tell.trail}

    return node


def _names(state: State) -> list[str]:
    prefix = output_of("")
    return [name.removeprefix(prefix) for name in state if name.startswith(prefix)]


async def _do(begun: Begun, step: AnyStep) -> State:
    match step:
        case AgentStep():
            return await _agent(begun, step)
        case ToolStep():
            return await _tool(begun, step)
        case PromptStep():
            return await _prompt(begun, step)
        case RouterStep():
            return _route(begun, step)
        case ParallelStep():
            return {}


def build_join(name: str, step: ParallelStep, *, is_last: bool) -> Node:
    """Return the function that puts the outputs of a parallel step's branches together, in the order of the branches' names."""

    async def join(state: State, config: RunnableConfig, runtime: Runtime[PipelineRun]) -> State:
        begun = Begun(name, runtime.context, state, Emitter(runtime.context.agents.emit), is_last, config)
        ends = {branch: state[output_of(steps[-1])] for branch, steps in sorted(step.branches.items())}
        texts = {branch: output["text"] for branch, output in ends.items()}
        whole = "\n\n".join(text for text in texts.values() if text)
        untrusted = any(output["untrusted"] for output in ends.values())
        return {**_output(begun, whole, data=texts, untrusted=untrusted, told=False), "trail": begun.tell.trail}

    return join


def _output(
    begun: Begun, text: str, *, data: Any = None, ok: bool = True, untrusted: bool = False, told: bool
) -> State:
    """Return what a step leaves. What is the answer and was not `told` as it came is told now."""
    after: State = {output_of(begun.name): {"text": text, "data": data, "ok": ok, "untrusted": untrusted}}
    if not begun.is_last:
        return after
    if not told and text:
        begun.tell.text(text)
    return after | {"said": text, "data": data, "finish": "stop"}


async def _tool(begun: Begun, step: ToolStep) -> State:
    run = begun.run.agents
    tool = run.tools.get(step.tool)
    if tool is None:
        raise StepFailed(f"The step {begun.name} needs the tool {step.tool}, which is not there any more.")
    seen = Outputs(run, begun.state, fenced=False)
    call = {"id": f"call_{begun.name}", "name": step.tool, "arguments": fill_tree(step.arguments, seen)}
    offered = AgentSpec(name=begun.name, tools=(step.tool,))
    (result,) = await call_tools(run, offered, begun.tell, [call], untrusted=False)
    if not result.ok and not step.optional:
        raise StepFailed(f"The step {begun.name} failed: {result.text}")
    untrusted = seen.untrusted or tool.spec.untrusted
    after = _output(begun, result.text, data=result.data, ok=result.ok, untrusted=untrusted, told=False)
    return after | ({"renderer": {"type": result.renderer}} if begun.is_last and result.renderer else {})


async def _prompt(begun: Begun, step: PromptStep) -> State:
    run = begun.run.agents
    seen = Outputs(run, begun.state, fenced=True)
    asked = Message.of("user", fill_text(step.prompt, seen))
    told = Message.of("system", "\n\n".join(part for part in (run.persona, CARE) if part))
    agent = AgentSpec(name=begun.name, models=(step.model,) if step.model else ())
    reply = await call_model(run, agent, begun.tell, [told, asked], aloud=begun.is_last)
    data, wrong = parse_output("structured_json", None, reply.text)
    after = _output(begun, reply.text, data=None if wrong else data, untrusted=seen.untrusted, told=True)
    return after | _counted(reply) | ({"finish": reply.finish} if begun.is_last else {})


def _counted(reply: Reply) -> State:
    return {
        "model": reply.model,
        "input_tokens": reply.input_tokens,
        "output_tokens": reply.output_tokens,
        "estimated": reply.estimated,
    }


async def _agent(begun: Begun, step: AgentStep) -> State:
    run = begun.run.agents
    seen = Outputs(run, begun.state, fenced=True)
    # A question that is passed on as it is keeps its pictures.
    is_whole = step.input.strip() == "{{input}}"
    question = run.question if is_whole else Message.of("user", fill_text(step.input, seen))
    task = AgentTask(begun.name, step.agent, question, seen.untrusted, begun.is_last)
    ended = await run_agent(begun.run.graphs, run, task, begun.tell, begun.config)
    untrusted = seen.untrusted or ended.get("untrusted", False)
    after = _output(begun, ended.get("said", ""), data=ended.get("data"), untrusted=untrusted, told=True)
    counts = {name: ended[name] for name in ("model", "input_tokens", "output_tokens", "estimated") if name in ended}
    if begun.is_last:
        agent = run.agents.get(ended.get("agent", ""))
        after |= {"finish": ended.get("finish", "stop"), "renderer": agent.renderer if agent is not None else None}
    return after | counts


def _route(begun: Begun, step: RouterStep) -> State:
    text = fill_text(step.by, Outputs(begun.run.agents, begun.state, fenced=False))
    target = choose_case(text, step)
    begun.tell.event(JobProgress(text=f"Step {begun.name} goes on with {target}"))
    return {output_of(begun.name): {"next": target}}


def choose_case(text: str, step: RouterStep) -> str:
    """Return the step to go on with: that of the case which the text is, else of the longest that stands in it as words."""
    said = _plain(text)
    # Postgres keeps objects in no order of ours, so the order in which cases were written can't count.
    cases = sorted(step.cases, key=lambda case: (-len(case), case))
    same = (case for case in cases if _plain(case) == said)
    within = (case for case in cases if re.search(rf"(?<!\w){re.escape(_plain(case))}(?!\w)", said))
    found = next(same, None) or next(within, None)
    return step.otherwise if found is None else step.cases[found]


def _plain(text: str) -> str:
    return " ".join(text.casefold().split()).strip(" .!\"'`*")
