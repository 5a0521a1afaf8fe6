"""`plan`, `act`, `verify`, `answer`: for questions of several parts that don't wait for each other.

plan ──▶ act (what can run side by side does) ──▶ verify ── something is missing ──▶ plan (at most 3 times)
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
from graphs.agents.prompts import fence
from graphs.agents.react import counted, declared, finish
from graphs.agents.state import AgentState, restore
from graphs.providers.contract import Message
from schema.events import PlanCreated

ROUNDS = 3
MAX_STEPS = 8
_FENCE = re.compile(r"```(?:json)?\s*\n(.*?)```", re.DOTALL)
_PLACE = re.compile(r"\{\{(\w{1,20})\}\}")

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
PLAN = """Plan how to answer the user's last message with these tools:
{tools}

Answer with JSON only: {{"steps": [{{"id": "1", "task": "…", "tool": "NAME", "arguments": {{…}}, "depends_on": []}}]}}
At most {most} steps. Steps that need no other run at the same time; one that needs the result of step 1 has "depends_on": ["1"]
and may write {{{{1}}}} where its text belongs. No steps at all if no tool is needed.{missing}"""
VERIFY = """These are the results of the plan:

{results}

Is that enough to answer the user's last message? Answer with JSON only: {{"enough": true}}, or
{{"enough": false, "missing": "…"}} with what is missing."""
ANSWER = """Use these results to answer the user's last message. Results that are errors are to be told as such.

{results}"""


class Step(msgspec.Struct, frozen=True):
    """One step of a plan: a tool, its arguments, and the steps whose results it needs."""

    id: str
    task: str
    tool: str
    arguments: dict[str, Any] = {}
    depends_on: list[str] = []


class Plan(msgspec.Struct, frozen=True):
    """What is to be done."""

    steps: list[Step]


class Verdict(msgspec.Struct, frozen=True):
    """Whether the results are enough, and what is missing."""

    enough: bool
    missing: str = ""


async def plan(state: AgentState, runtime: Runtime[AgentRun]) -> AgentState:
    """Have the model write down the steps. One that can't gets no steps, and `act` leaves the rest to `think`."""
    run, tell = runtime.context, Emitter(runtime.context.emit)
    agent, rounds = run.agent(state["agent"]), state.get("rounds", 0) + 1
    tools = "\n".join(_line(declared(tool)["function"]) for tool in run.offer(agent))
    missing = f" The plan before missed: {state['missing']}" if state.get("missing") else ""
    prompt = Message.of("system", PLAN.format(tools=tools, most=MAX_STEPS, missing=missing))
    shape = {"type": "json_schema", "json_schema": {"name": "plan", "schema": PLAN_SCHEMA}}
    messages = [*restore(state["messages"]), prompt]
    reply = await call_model(run, agent, tell, messages, response_format=shape, aloud=False)
    steps = read_plan(reply.text)
    if steps:
        tell.event(PlanCreated(steps=[step.task for step in steps]))
    renamed = [msgspec.to_builtins(step) for step in steps]
    return {**counted(state, reply), "plan": renamed, "rounds": rounds, "trail": tell.trail}


def _line(function: dict[str, Any]) -> str:
    return f"- {function['name']}: {function['description']} {json.dumps(function['parameters'], ensure_ascii=False)}"


def read_plan(text: str) -> list[Step]:
    """Return the steps in a model's answer that can be done; none if there is no plan in it."""
    fenced = _FENCE.search(text)
    try:
        found = msgspec.json.decode((fenced[1] if fenced else text).strip().encode(), type=Plan, strict=False).steps
    except (msgspec.ValidationError, msgspec.DecodeError, UnicodeEncodeError):
        return []
    steps: dict[str, Step] = {}
    for step in found[:MAX_STEPS]:
        if step.tool and step.id and step.id not in steps:
            steps[step.id] = step
    known = set(steps)
    return [
        msgspec.structs.replace(s, depends_on=[a for a in s.depends_on if a in known and a != s.id])
        for s in steps.values()
    ]


async def act(state: AgentState, runtime: Runtime[AgentRun]) -> AgentState:
    """Do the steps, each as soon as those before it are done."""
    run, tell = runtime.context, Emitter(runtime.context.emit)
    agent, steps = run.agent(state["agent"]), msgspec.convert(state["plan"], list[Step])
    results: dict[str, CallResult] = {}
    untrusted, at, rounds = state.get("untrusted", False), state.get("at", 0), state["rounds"]
    calls: list[dict[str, Any]] = []
    sources = state.get("sources") or []
    while waiting := [step for step in steps if step.id not in results]:
        ready = [step for step in waiting if all(before in results for before in step.depends_on)] or waiting
        wave = [_call(step, results, f"call_{at}_{rounds}_{step.id}") for step in ready]
        done = await tool_calls.call_tools(run, agent, tell, wave, untrusted=untrusted)
        done, sources = number_sources(run, wave, done, sources)
        results |= {step.id: result for step, result in zip(ready, done, strict=True)}
        untrusted = untrusted or tool_calls.is_untrusted(run, wave, done)
        calls += wave
        await asyncio.sleep(0)
    told = {f"{rounds}.{s.id}": {"task": s.task, "tool": s.tool, **msgspec.to_builtins(results[s.id])} for s in steps}
    return {
        "results": {**state.get("results", {}), **told},
        "sources": sources,
        "asked_tools": bool(calls) or state.get("asked_tools", False),
        "acted": state.get("acted", False) or tool_calls.has_acted(run, calls),
        "untrusted": untrusted,
        "trail": tell.trail,
    }


def _call(step: Step, results: dict[str, CallResult], call_id: str) -> dict[str, Any]:
    def filled(value: Any) -> Any:
        if isinstance(value, str) and (whole := _PLACE.fullmatch(value.strip())) and whole[1] in results:
            return _value(results[whole[1]].text)
        if isinstance(value, str):
            return _PLACE.sub(lambda m: results[m[1]].text if m[1] in results else m[0], value)
        if isinstance(value, dict):
            return {key: filled(inner) for key, inner in value.items()}
        return [filled(inner) for inner in value] if isinstance(value, list) else value

    return {"id": call_id, "name": step.tool, "arguments": filled(step.arguments)}


def _value(text: str) -> Any:
    """Return a result that is put in alone as what it is: a number stays one."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return text
    return found if isinstance(found, int | float) else text


async def verify(state: AgentState, runtime: Runtime[AgentRun]) -> AgentState:
    """Have the model say whether the results are enough."""
    run, tell = runtime.context, Emitter(runtime.context.emit)
    agent = run.agent(state["agent"])
    prompt = Message.of("system", VERIFY.format(results=_told(run, state["results"])))
    shape = {"type": "json_schema", "json_schema": {"name": "verdict", "schema": VERDICT_SCHEMA}}
    messages = [*restore(state["messages"]), prompt]
    reply = await call_model(run, agent, tell, messages, response_format=shape, aloud=False)
    verdict = _read_verdict(reply.text)
    return {
        **counted(state, reply),
        "missing": "" if verdict.enough else verdict.missing or "something",
        "trail": tell.trail,
    }


def _read_verdict(text: str) -> Verdict:
    fenced = _FENCE.search(text)
    try:
        return msgspec.json.decode((fenced[1] if fenced else text).strip().encode(), type=Verdict, strict=False)
    except (msgspec.ValidationError, msgspec.DecodeError, UnicodeEncodeError):
        return Verdict(enough=True)  # a model that can't say what is missing would ask for the same again


async def answer(state: AgentState, runtime: Runtime[AgentRun]) -> AgentState:
    """Have the model answer from the results."""
    run, tell = runtime.context, Emitter(runtime.context.emit, said=state.get("said", ""))
    agent = run.agent(state["agent"])
    messages = [*restore(state["messages"]), Message.of("system", ANSWER.format(results=_told(run, state["results"])))]
    reply = await call_model(run, agent, tell, messages, aloud=agent.output_format is None)
    return await finish(run, agent, state, tell, messages, reply)


def _told(run: AgentRun, results: dict[str, Any]) -> str:
    return "\n\n".join(_told_one(run, name, one) for name, one in results.items())


def _told_one(run: AgentRun, name: str, one: dict[str, Any]) -> str:
    tool = run.tools.get(one["tool"])
    text = fence(one["text"]) if tool is not None and tool.spec.untrusted else one["text"]
    return f"[{name}] {one['task']} ({one['tool']}{'' if one['ok'] else ', failed'}):\n{text}"
