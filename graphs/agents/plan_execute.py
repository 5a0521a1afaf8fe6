"""`plan`, `act`, `verify`, `answer`: for questions with several independent parts.

plan ──▶ act (independent steps in parallel) ──▶ verify ── something is missing ──▶ plan (at most 3 times)
                                                   └── enough ──▶ answer
"""

import asyncio
import json
import re
from typing import Any

import msgspec
from langgraph.runtime import Runtime

from graphs.agents import tool_calls
from graphs.agents.citations import number_sources
from graphs.agents.contract import AgentRun, CallResult
from graphs.agents.emitter import Emitter
from graphs.agents.model_call import call_model
from graphs.agents.react import add_usage, as_openai_tool, finish
from graphs.agents.state import AgentState, data_mark, load_messages
from graphs.data_marks import DataMark
from graphs.providers.contract import Message
from schema.events import PlanCreated

MAX_ROUNDS = 3
MAX_STEPS = 8
_CODE_FENCE = re.compile(r"```(?:json)?\s*\n(.*?)```", re.DOTALL)
_PLACEHOLDER = re.compile(r"\{\{(\w{1,20})\}\}")

PLAN_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "steps": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "id": {"type": "string"},
                    "task": {"type": "string"},
                    "tool": {"type": "string"},
                    "arguments": {"type": "object"},
                    "depends_on": {"type": "array", "items": {"type": "string"}},
                },
                "required": ["id", "task", "tool", "arguments"],
            },
        }
    },
    "required": ["steps"],
}
VERDICT_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"enough": {"type": "boolean"}, "missing": {"type": "string"}},
    "required": ["enough"],
}
PLAN_PROMPT = """\
Plan how to answer the user's last message with these tools:
{tools}

Answer with JSON only: {{"steps": [{{"id": "1", "task": "…", "tool": "NAME", "arguments": {{…}}, "depends_on": []}}]}}
At most {most} steps. Steps that need no other run at the same time; one that needs the result of step 1 has "depends_on": ["1"]
and may write {{{{1}}}} where its text belongs. No steps at all if no tool is needed.{missing}"""
VERIFY_PROMPT = """\
These are the results of the plan:

{results}

Is that enough to answer the user's last message? Answer with JSON only: {{"enough": true}}, or
{{"enough": false, "missing": "…"}} with what is missing."""
ANSWER_PROMPT = """\
Use these results to answer the user's last message. Results that are errors are to be told as such.

{results}"""


class Step(msgspec.Struct, frozen=True):
    """A step of a plan: a tool, its arguments, and the ids of the steps whose results it needs."""

    id: str
    task: str
    tool: str
    arguments: dict[str, Any] = {}
    depends_on: list[str] = []


class Plan(msgspec.Struct, frozen=True):
    """A plan as the model writes it."""

    steps: list[Step]


class Verdict(msgspec.Struct, frozen=True):
    """Whether the results are enough, and what is missing."""

    enough: bool
    missing: str = ""


async def plan(state: AgentState, runtime: Runtime[AgentRun]) -> AgentState:
    """Ask the model for the steps. If it gives none, `think` answers instead."""
    run, emitter = runtime.context, Emitter(runtime.context.emit)
    agent, rounds = run.agent(state["agent"]), state.get("rounds", 0) + 1
    tools = "\n".join(_tool_line(as_openai_tool(tool)["function"]) for tool in run.offered_tools(agent))
    # What is missing was said by a model that had read results, so it may repeat them.
    missing = f" The plan before missed:\n{data_mark(state).wrap(state['missing'])}" if state.get("missing") else ""
    prompt = Message.of("system", PLAN_PROMPT.format(tools=tools, most=MAX_STEPS, missing=missing))
    response_format = {"type": "json_schema", "json_schema": {"name": "plan", "schema": PLAN_SCHEMA}}
    messages = [*load_messages(state["messages"]), prompt]
    reply = await call_model(run, agent, emitter, messages, response_format=response_format, stream_text=False)
    steps = parse_plan(reply.text)
    if steps:
        emitter.emit(PlanCreated(steps=[step.task for step in steps]))
    plan_steps = [msgspec.to_builtins(step) for step in steps]
    return {**add_usage(state, reply), "plan": plan_steps, "rounds": rounds, "trail": emitter.trail}


def _tool_line(function: dict[str, Any]) -> str:
    return f"- {function['name']}: {function['description']} {json.dumps(function['parameters'], ensure_ascii=False)}"


def parse_plan(text: str) -> list[Step]:
    """Return the usable steps of a model's plan; none if the text has no plan."""
    fenced = _CODE_FENCE.search(text)
    try:
        found = msgspec.json.decode((fenced[1] if fenced else text).strip().encode(), type=Plan, strict=False).steps
    except (msgspec.ValidationError, msgspec.DecodeError, UnicodeEncodeError):
        return []
    steps: dict[str, Step] = {}
    for step in found[:MAX_STEPS]:
        if step.tool and step.id and step.id not in steps:
            steps[step.id] = step
    return [
        msgspec.structs.replace(step, depends_on=[i for i in step.depends_on if i in steps and i != step.id])
        for step in steps.values()
    ]


async def act(state: AgentState, runtime: Runtime[AgentRun]) -> AgentState:
    """Run the steps in batches: each step as soon as those that it depends on are done."""
    run, emitter = runtime.context, Emitter(runtime.context.emit)
    agent, steps = run.agent(state["agent"]), msgspec.convert(state["plan"], list[Step])
    results: dict[str, CallResult] = {}
    untrusted, at, rounds = state.get("untrusted", False), state.get("at", 0), state["rounds"]
    calls: list[dict[str, Any]] = []
    sources = state.get("sources") or []
    while waiting := [step for step in steps if step.id not in results]:
        ready = [step for step in waiting if all(before in results for before in step.depends_on)] or waiting
        batch = [_call(step, results, f"call_{at}_{rounds}_{step.id}") for step in ready]
        batch_results = await tool_calls.call_tools(run, agent, emitter, batch, untrusted=untrusted)
        batch_results, sources = number_sources(run, batch, batch_results, sources)
        results |= {step.id: result for step, result in zip(ready, batch_results, strict=True)}
        untrusted = untrusted or tool_calls.returned_untrusted(run, batch, batch_results)
        calls += batch
        await asyncio.sleep(0)
    recorded = {
        f"{rounds}.{s.id}": {"task": s.task, "tool": s.tool, **msgspec.to_builtins(results[s.id])} for s in steps
    }
    return {
        "results": {**state.get("results", {}), **recorded},
        "sources": sources,
        "asked_tools": bool(calls) or state.get("asked_tools", False),
        "acted": state.get("acted", False) or tool_calls.has_side_effects(run, calls),
        "untrusted": untrusted,
        "trail": emitter.trail,
    }


def _call(step: Step, results: dict[str, CallResult], call_id: str) -> dict[str, Any]:
    def filled(value: Any) -> Any:
        if (
            isinstance(value, str)
            and (sole_placeholder := _PLACEHOLDER.fullmatch(value.strip()))
            and sole_placeholder[1] in results
        ):
            return _number_or_text(results[sole_placeholder[1]].text)
        if isinstance(value, str):
            return _PLACEHOLDER.sub(lambda m: results[m[1]].text if m[1] in results else m[0], value)
        if isinstance(value, dict):
            return {key: filled(inner) for key, inner in value.items()}
        return [filled(inner) for inner in value] if isinstance(value, list) else value

    return {"id": call_id, "name": step.tool, "arguments": filled(step.arguments)}


def _number_or_text(text: str) -> Any:
    """Return a result that fills an argument alone: a number stays a number."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return text
    return found if isinstance(found, int | float) else text


async def verify(state: AgentState, runtime: Runtime[AgentRun]) -> AgentState:
    """Ask the model whether the results are enough."""
    run, emitter = runtime.context, Emitter(runtime.context.emit)
    agent = run.agent(state["agent"])
    prompt = Message.of("system", VERIFY_PROMPT.format(results=_format_results(state)))
    response_format = {"type": "json_schema", "json_schema": {"name": "verdict", "schema": VERDICT_SCHEMA}}
    messages = [*load_messages(state["messages"]), prompt]
    reply = await call_model(run, agent, emitter, messages, response_format=response_format, stream_text=False)
    verdict = _parse_verdict(reply.text)
    return {
        **add_usage(state, reply),
        "missing": "" if verdict.enough else verdict.missing or "something",
        "trail": emitter.trail,
    }


def _parse_verdict(text: str) -> Verdict:
    fenced = _CODE_FENCE.search(text)
    try:
        return msgspec.json.decode((fenced[1] if fenced else text).strip().encode(), type=Verdict, strict=False)
    except (msgspec.ValidationError, msgspec.DecodeError, UnicodeEncodeError):
        return Verdict(enough=True)  # a model that can't say what is missing would only repeat its plan


async def answer(state: AgentState, runtime: Runtime[AgentRun]) -> AgentState:
    """Ask the model to answer from the results."""
    run, emitter = runtime.context, Emitter(runtime.context.emit, already_sent=state.get("said", ""))
    agent = run.agent(state["agent"])
    messages = [
        *load_messages(state["messages"]),
        Message.of("system", ANSWER_PROMPT.format(results=_format_results(state))),
    ]
    reply = await call_model(run, agent, emitter, messages, stream_text=agent.output_format is None)
    return await finish(run, agent, state, emitter, messages, reply)


def _format_results(state: AgentState) -> str:
    mark = data_mark(state)
    return "\n\n".join(_format_result(name, result, mark) for name, result in state["results"].items())


def _format_result(name: str, result: dict[str, Any], mark: DataMark) -> str:
    text = tool_calls.mark_result(msgspec.convert(result, CallResult), mark)
    return f"[{name}] {result['task']} ({result['tool']}{'' if result['ok'] else ', failed'}):\n{text}"
