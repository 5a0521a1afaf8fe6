"""Runs the steps. Each reports that it begins, does its work once, and leaves its output in the state.

A tool step runs because the pipeline's author says so, whatever text came before it; only agents choose by themselves, and
are restricted when they read text from outside (`agent_steps.py`).
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
from graphs.agents.prompts import safety_instructions
from graphs.agents.state import data_mark
from graphs.agents.tool_calls import call_tools
from graphs.pipelines.agent_steps import AgentTask, run_agent
from graphs.pipelines.definition import AgentStep, AnyStep, ParallelStep, PromptStep, RouterStep, ToolStep
from graphs.pipelines.errors import StepFailed
from graphs.pipelines.state import TOKENS, PlaceholderValues, State, output_key
from graphs.pipelines.templates import fill_text, fill_tree
from graphs.providers.contract import Message
from schema.events import JobProgress


@dataclass(frozen=True)
class PipelineRun:
    """What one run is given: an agent's run whose question is the input, the agents' graphs, and the number of steps."""

    agent_run: AgentRun
    graphs: AgentGraphs
    step_count: int


@dataclass(frozen=True)
class StepContext:
    """A step under way: its name, the emitter for its events, and whether its output is the answer."""

    name: str
    run: PipelineRun
    state: State
    emitter: Emitter
    is_last: bool
    config: RunnableConfig


Node = Any
"""An async function of state, config and runtime; LangGraph finds the last two by their parameter names."""


def build_node(name: str, step: AnyStep, *, is_last: bool) -> Node:
    """Return the function that runs a step."""

    async def node(state: State, config: RunnableConfig, runtime: Runtime[PipelineRun]) -> State:
        run = runtime.context
        ctx = StepContext(name, run, state, Emitter(run.agent_run.emit), is_last, config)
        number = sum(output_key(other) in state for other in _finished_steps(state)) + 1
        ctx.emitter.emit(JobProgress(text=f"Step {name}", done=min(number, run.step_count), total=run.step_count))
        return {**await _run_step(ctx, step), "trail": ctx.emitter.trail}

    return node


def _finished_steps(state: State) -> list[str]:
    prefix = output_key("")
    return [name.removeprefix(prefix) for name in state if name.startswith(prefix)]


async def _run_step(ctx: StepContext, step: AnyStep) -> State:
    match step:
        case AgentStep():
            return await _agent(ctx, step)
        case ToolStep():
            return await _tool(ctx, step)
        case PromptStep():
            return await _prompt(ctx, step)
        case RouterStep():
            return _route(ctx, step)
        case ParallelStep():
            return {}


def build_join(name: str, step: ParallelStep, *, is_last: bool) -> Node:
    """Return the function that joins the outputs of a parallel step's branches, ordered by the branches' names."""

    async def join(state: State, config: RunnableConfig, runtime: Runtime[PipelineRun]) -> State:
        ctx = StepContext(name, runtime.context, state, Emitter(runtime.context.agent_run.emit), is_last, config)
        ends = {branch: state[output_key(steps[-1])] for branch, steps in sorted(step.branches.items())}
        texts = {branch: output["text"] for branch, output in ends.items()}
        text_of_branches = "\n\n".join(text for text in texts.values() if text)
        untrusted = any(output["untrusted"] for output in ends.values())
        return {
            **_output(ctx, text_of_branches, data=texts, untrusted=untrusted, streamed=False),
            "trail": ctx.emitter.trail,
        }

    return join


def _output(
    ctx: StepContext, text: str, *, data: Any = None, ok: bool = True, untrusted: bool = False, streamed: bool
) -> State:
    """Return a step's output for the state. If it is the answer and was not streamed, emit it now."""
    update: State = {output_key(ctx.name): {"text": text, "data": data, "ok": ok, "untrusted": untrusted}}
    if not ctx.is_last:
        return update
    if not streamed and text:
        ctx.emitter.emit_text(text)
    return update | {"said": text, "data": data, "finish": "stop"}


async def _tool(ctx: StepContext, step: ToolStep) -> State:
    run = ctx.run.agent_run
    tool = run.tools.get(step.tool)
    if tool is None:
        raise StepFailed(f"The step {ctx.name} needs the tool {step.tool}, which no longer exists.")
    values = PlaceholderValues(run, ctx.state, wrap_untrusted=False)
    call = {"id": f"call_{ctx.name}", "name": step.tool, "arguments": fill_tree(step.arguments, values)}
    offered = AgentSpec(name=ctx.name, tools=(step.tool,))
    (result,) = await call_tools(run, offered, ctx.emitter, [call], untrusted=False)
    if not result.ok and not step.optional:
        raise StepFailed(f"The step {ctx.name} failed: {result.text}")
    untrusted = values.untrusted or tool.spec.untrusted
    update = _output(ctx, result.text, data=result.data, ok=result.ok, untrusted=untrusted, streamed=False)
    return update | ({"renderer": {"type": result.renderer}} if ctx.is_last and result.renderer else {})


async def _prompt(ctx: StepContext, step: PromptStep) -> State:
    run = ctx.run.agent_run
    values = PlaceholderValues(run, ctx.state, wrap_untrusted=True)
    prompt = Message.of("user", fill_text(step.prompt, values))
    safety = safety_instructions(data_mark(ctx.state) if values.untrusted else None)
    system = Message.of("system", "\n\n".join(part for part in (run.persona, safety) if part))
    agent = AgentSpec(name=ctx.name, models=(step.model,) if step.model else ())
    reply = await call_model(run, agent, ctx.emitter, [system, prompt], stream_text=ctx.is_last)
    said = reply.text or reply.refusal
    data, wrong = parse_output("structured_json", None, said)
    update = _output(ctx, said, data=None if wrong else data, untrusted=values.untrusted, streamed=True)
    return update | _usage(reply) | ({"finish": reply.finish} if ctx.is_last else {})


def _usage(reply: Reply) -> State:
    return {"model": reply.model, **reply.usage}


async def _agent(ctx: StepContext, step: AgentStep) -> State:
    run = ctx.run.agent_run
    values = PlaceholderValues(run, ctx.state, wrap_untrusted=True)
    # A question that is passed on unchanged keeps its images.
    is_whole = step.input.strip() == "{{input}}"
    question = run.question if is_whole else Message.of("user", fill_text(step.input, values))
    task = AgentTask(ctx.name, step.agent, question, values.untrusted, ctx.is_last, ctx.state.get("mark", ""))
    final_state = await run_agent(ctx.run.graphs, run, task, ctx.emitter, ctx.config)
    untrusted = values.untrusted or final_state.get("untrusted", False)
    update = _output(ctx, final_state.get("said", ""), data=final_state.get("data"), untrusted=untrusted, streamed=True)
    counts = {name: final_state[name] for name in ("model", "estimated", "used", *TOKENS) if name in final_state}
    if ctx.is_last:
        agent = run.agents.get(final_state.get("agent", ""))
        update |= {
            "finish": final_state.get("finish", "stop"),
            "renderer": agent.renderer if agent is not None else None,
        }
    return update | counts


def _route(ctx: StepContext, step: RouterStep) -> State:
    text = fill_text(step.by, PlaceholderValues(ctx.run.agent_run, ctx.state, wrap_untrusted=False))
    target = choose_case(text, step)
    ctx.emitter.emit(JobProgress(text=f"Step {ctx.name} goes on with {target}"))
    return {output_key(ctx.name): {"next": target}}


def choose_case(text: str, step: RouterStep) -> str:
    """Return the next step: that of the case which equals the text, else of the longest that it contains as whole words."""
    normalised = _normalise(text)
    # Postgres doesn't keep the order of keys, so the order in which cases were written can't matter.
    cases = sorted(step.cases, key=lambda case: (-len(case), case))
    same = (case for case in cases if _normalise(case) == normalised)
    within = (case for case in cases if re.search(rf"(?<!\w){re.escape(_normalise(case))}(?!\w)", normalised))
    found = next(same, None) or next(within, None)
    return step.otherwise if found is None else step.cases[found]


def _normalise(text: str) -> str:
    return " ".join(text.casefold().split()).strip(" .!\"'`*")
