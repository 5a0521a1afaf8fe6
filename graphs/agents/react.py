"""`think` and `use_tools`: the model calls tools, sees their results, and goes on until it can answer.

think ── calls ──▶ use_tools ──▶ think … (at most max_steps times) ──▶ done
"""

from typing import Any, cast

from langgraph.runtime import Runtime

from graphs.agents import tool_calls
from graphs.agents.citations import number_sources
from graphs.agents.contract import AgentRun, AgentSpec
from graphs.agents.emitter import Emitter
from graphs.agents.model_call import Reply, call_model
from graphs.agents.output_formats import json_text, parse_output
from graphs.agents.state import AgentState, data_mark, dump_messages, load_messages, merge_used
from graphs.providers.contract import Message
from tools.contract import Tool

NO_MORE_TOOLS_PROMPT = "Answer now with what you have; no tool can be called any more."


async def think(state: AgentState, runtime: Runtime[AgentRun]) -> AgentState:
    """Call the model, which answers or calls tools."""
    run, emitter = runtime.context, Emitter(runtime.context.emit, already_sent=state.get("said", ""))
    agent, messages = run.agent(state["agent"]), load_messages(state["messages"])
    step, tools = state.get("step", 0), _all_tools(run, run.agent(state["agent"]))
    if state["graph"] == "chat" or step >= agent.max_steps:
        tools = tuple(run.client_tools) if state["graph"] == "chat" else ()
        if step:
            messages.append(Message.of("system", NO_MORE_TOOLS_PROMPT))
    response_format = run.request.response_format if agent.output_format is not None and not tools else None
    reply = await call_model(
        run,
        agent,
        emitter,
        messages,
        tools=tools,
        response_format=response_format,
        stream_text=agent.output_format is None,
    )
    if reply.calls and tools:
        return _record_calls(run, state, emitter, messages, reply)
    return await finish(run, agent, state, emitter, messages, reply)


def _all_tools(run: AgentRun, agent: AgentSpec) -> tuple[dict[str, Any], ...]:
    return (*(as_openai_tool(tool) for tool in run.offered_tools(agent)), *run.client_tools)


def as_openai_tool(tool: Tool) -> dict[str, Any]:
    """Return a tool's declaration in OpenAI's format."""
    spec = tool.spec
    function = {"name": spec.name, "description": spec.description, "parameters": spec.parameters}
    return {"type": "function", "function": function}


def _record_calls(
    run: AgentRun, state: AgentState, emitter: Emitter, messages: list[Message], reply: Reply
) -> AgentState:
    """Leave the calls to `use_tools`, with ids of our own: a vendor's may be missing or repeated."""
    step, at = state.get("step", 0) + 1, state.get("at", 0)
    ids = [f"call_{at}_{step}_{number}" for number in range(len(reply.calls))]
    client_tools = {tool["function"]["name"] for tool in run.client_tools}
    calls = [{**call, "id": i} for call, i in zip(reply.calls, ids, strict=True)]
    answer_so_far = join_texts(state.get("said", ""), reply.text)
    update: AgentState = {
        **add_usage(state, reply),
        "messages": dump_messages([*messages, reply.message(ids)]),
        "step": step,
    }
    update |= {
        "calls": [call for call in calls if call["name"] not in client_tools],
        "said": answer_so_far,
        "trail": emitter.trail,
    }
    client_calls = [
        {**c, "id": c["id"] or i} for c, i in zip(reply.calls, ids, strict=True) if c["name"] in client_tools
    ]
    finish = "tool_calls" if client_calls else "stop"
    return cast(AgentState, {**update, **reply.answer, "client_calls": client_calls, "finish": finish})


async def use_tools(state: AgentState, runtime: Runtime[AgentRun]) -> AgentState:
    """Make the pending calls and show the model their results."""
    run, emitter = runtime.context, Emitter(runtime.context.emit)
    calls, agent = state["calls"], run.agent(state["agent"])
    results = await tool_calls.call_tools(run, agent, emitter, calls, untrusted=state.get("untrusted", False))
    results, sources = number_sources(run, calls, results, state.get("sources") or ())
    shown = [tool_calls.result_message(c, r, data_mark(state)) for c, r in zip(calls, results, strict=True)]
    return {
        "messages": [*state["messages"], *dump_messages(shown)],
        "calls": [],
        "sources": sources,
        "asked_tools": True,
        "acted": state.get("acted", False) or tool_calls.has_side_effects(run, calls),
        "untrusted": state.get("untrusted", False) or tool_calls.returned_untrusted(run, calls, results),
        "trail": emitter.trail,
    }


async def finish(
    run: AgentRun, agent: AgentSpec, state: AgentState, emitter: Emitter, messages: list[Message], reply: Reply
) -> AgentState:
    """Take the reply as the agent's answer. With an output format it is checked, corrected at most once, and emitted then."""
    update, data, text, missed = add_usage(state, reply), None, reply.text, state.get("missed", [])
    if agent.output_format is not None and reply.refusal:
        emitter.emit_refusal(reply.refusal)
    elif agent.output_format is not None:
        data, problem = parse_output(agent.output_format, agent.output_schema, text)
        if problem:
            # The problem may repeat a part of the answer, which may repeat text from outside.
            reason = f"\n{data_mark(state).wrap(problem)}\n" if state.get("untrusted") else f" {problem} "
            again = Message.of("user", f"That answer can't be used.{reason}Send the whole answer again, mended.")
            corrected = await call_model(
                run,
                agent,
                emitter,
                [*messages, reply.message([]), again],
                response_format=run.request.response_format,
                stream_text=False,
            )
            update = add_usage({**state, **update}, corrected)
            data, still_a_problem = parse_output(agent.output_format, agent.output_schema, corrected.text)
            if still_a_problem:
                missed = [agent.output_format, still_a_problem]
            else:
                reply, text = corrected, corrected.text
        text = json_text(text) if run.request.response_format is not None and data is not None else text
        emitter.emit_text(text)
    ended = {
        "said": join_texts(state.get("said", ""), text),
        "data": data,
        "missed": missed,
        "calls": [],
        "finish": reply.finish,
        "trail": emitter.trail,
    }
    return cast(AgentState, {**update, **reply.answer, **ended})


def join_texts(before: str, text: str) -> str:
    """Join two parts of an answer."""
    return "\n\n".join(part for part in (before, text) if part)


def add_usage(state: AgentState, reply: Reply) -> AgentState:
    """Return the run's token counts with those of a reply added."""
    usage = reply.usage
    counts = {name: state.get(name, 0) + value for name, value in usage.items() if name not in ("estimated", "used")}
    used = merge_used(state.get("used", {}), usage["used"])
    estimated = state.get("estimated", False) or reply.estimated
    return cast(AgentState, {**counts, "used": used, "estimated": estimated, "model": reply.model})
