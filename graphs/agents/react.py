"""`think` and `use_tools`: the model says what it wants looked up, sees what came back, and goes on until it can answer.

think ── calls ──▶ use_tools ──▶ think … (at most max_steps times) ──▶ done
"""

from typing import Any

from langgraph.runtime import Runtime

from graphs.agents import tool_calls
from graphs.agents.citations import number_sources
from graphs.agents.contract import AgentRun, AgentSpec
from graphs.agents.emitter import Emitter
from graphs.agents.model_call import Reply, call_model
from graphs.agents.output_formats import parse_output
from graphs.agents.state import AgentState, restore, store
from graphs.providers.contract import Message
from tools.contract import Tool

SPENT = "Answer now with what you have; no tool can be called any more."


async def think(state: AgentState, runtime: Runtime[AgentRun]) -> AgentState:
    """Ask the model: it answers, or it calls tools."""
    run, tell = runtime.context, Emitter(runtime.context.emit, said=state.get("said", ""))
    agent, messages = run.agent(state["agent"]), restore(state["messages"])
    step, tools = state.get("step", 0), _offer(run, run.agent(state["agent"]))
    if state["graph"] == "chat" or step >= agent.max_steps:
        tools = tuple(run.client_tools) if state["graph"] == "chat" else ()
        if step:
            messages.append(Message.of("system", SPENT))
    reply = await call_model(run, agent, tell, messages, tools=tools, aloud=agent.output_format is None)
    if reply.calls and tools:
        return _calling(run, state, tell, messages, reply)
    return await finish(run, agent, state, tell, messages, reply)


def _offer(run: AgentRun, agent: AgentSpec) -> tuple[dict[str, Any], ...]:
    return (*(declared(tool) for tool in run.offer(agent)), *run.client_tools)


def declared(tool: Tool) -> dict[str, Any]:
    """Return a tool as models are told of it, in OpenAI's shape."""
    spec = tool.spec
    said = {"name": spec.name, "description": spec.description, "parameters": spec.parameters}
    return {"type": "function", "function": said}


def _calling(run: AgentRun, state: AgentState, tell: Emitter, messages: list[Message], reply: Reply) -> AgentState:
    """Keep the calls for `use_tools`, under ids that are the job's own: a vendor's may be missing, or come twice."""
    step, at = state.get("step", 0) + 1, state.get("at", 0)
    ids = [f"call_{at}_{step}_{number}" for number in range(len(reply.calls))]
    own = {tool["function"]["name"] for tool in run.client_tools}
    calls = [{**call, "id": i} for call, i in zip(reply.calls, ids, strict=True)]
    said = joined(state.get("said", ""), reply.text)
    after: AgentState = {**counted(state, reply), "messages": store([*messages, reply.message(ids)]), "step": step}
    after |= {"calls": [call for call in calls if call["name"] not in own], "said": said, "trail": tell.trail}
    clients = [{**c, "id": c["id"] or i} for c, i in zip(reply.calls, ids, strict=True) if c["name"] in own]
    return after | {"client_calls": clients, "finish": "tool_calls" if clients else "stop"}


async def use_tools(state: AgentState, runtime: Runtime[AgentRun]) -> AgentState:
    """Do the calls that wait and show the model what they brought."""
    run, tell = runtime.context, Emitter(runtime.context.emit)
    calls, agent = state["calls"], run.agent(state["agent"])
    results = await tool_calls.call_tools(run, agent, tell, calls, untrusted=state.get("untrusted", False))
    results, sources = number_sources(run, calls, results, state.get("sources") or ())
    shown = [tool_calls.result_message(run, c, r) for c, r in zip(calls, results, strict=True)]
    return {
        "messages": [*state["messages"], *store(shown)],
        "calls": [],
        "sources": sources,
        "asked_tools": True,
        "acted": state.get("acted", False) or tool_calls.has_acted(run, calls),
        "untrusted": state.get("untrusted", False) or tool_calls.is_untrusted(run, calls, results),
        "trail": tell.trail,
    }


async def finish(
    run: AgentRun, agent: AgentSpec, state: AgentState, tell: Emitter, messages: list[Message], reply: Reply
) -> AgentState:
    """Take the reply as the agent's answer; one that must have a form is checked, mended once, and told when it is right."""
    after, data, text = counted(state, reply), None, reply.text
    if agent.output_format is not None:
        data, wrong = parse_output(agent.output_format, agent.output_schema, text)
        if wrong:
            again = Message.of("user", f"That answer can't be used. {wrong} Send the whole answer again, mended.")
            mended = await call_model(run, agent, tell, [*messages, reply.message([]), again], aloud=False)
            after = counted({**state, **after}, mended)
            data, still_wrong = parse_output(agent.output_format, agent.output_schema, mended.text)
            text = text if still_wrong else mended.text
        tell.text(text)
    return after | {
        "said": joined(state.get("said", ""), text),
        "data": data,
        "calls": [],
        "finish": reply.finish,
        "trail": tell.trail,
    }


def joined(before: str, text: str) -> str:
    """Return two parts of an answer as one."""
    return "\n\n".join(part for part in (before, text) if part)


def counted(state: AgentState, reply: Reply) -> AgentState:
    """Return the tokens of the run with those of a reply."""
    return {
        "input_tokens": state.get("input_tokens", 0) + reply.input_tokens,
        "output_tokens": state.get("output_tokens", 0) + reply.output_tokens,
        "estimated": state.get("estimated", False) or reply.estimated,
        "model": reply.model,
    }
